"""Stop requests, and following a run from another process."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.errors import DeadlineError
from metalk8s_expand.runs import follow, stop
from metalk8s_expand.runs.lock import acquire
from tests.fakes.clock import FakeClock
from tests.fakes.journal import writer
from tests.fakes.kube import FakeKube
from tests.fakes.leases import FakeLeases, hold, who


@pytest.fixture
def leases() -> FakeLeases:
    return FakeLeases()


class TestStop:
    def test_stop_without_run_changes_nothing(self, leases: FakeLeases) -> None:
        assert stop.stop(leases, "me", clock=Clock()).ended
        assert leases.stored is None

    def test_holder_reads_request_before_its_next_step(
        self, leases: FakeLeases, clock: FakeClock
    ) -> None:
        with hold(leases, clock) as lock:
            found = stop.stop(leases, "asked by me", clock=Clock())
            assert (found.run, found.ended) == ("run-of-a", False)
            assert lock.stop == ""
            clock.sleep(2.0)
            lock.check()
            assert lock.stop == "asked by me"
            clock.sleep(30.0)
            lock.tick()
            assert lock.stop == "asked by me", "it stays asked"
        with hold(leases, clock, "b") as lock:
            assert lock.stop == "", "it was not meant for the next one"

    def test_takeover_clears_request(self, leases: FakeLeases, clock: FakeClock) -> None:
        hold(leases, clock)
        stop.stop(leases, "asked by me", clock=Clock())
        with hold(leases, clock, "b", wait_s=100.0) as lock:
            assert lock.stop == ""

    def test_second_request_writes_nothing(self, leases: FakeLeases, clock: FakeClock) -> None:
        hold(leases, clock)
        stop.stop(leases, "one", clock=Clock())
        writes = leases.writes
        stop.stop(leases, "two", clock=Clock())
        assert leases.writes == writes

    def test_request_survives_concurrent_renewal(
        self, leases: FakeLeases, clock: FakeClock
    ) -> None:
        hold(leases, clock)
        notes = iter([True])
        leases.before = lambda: leases.note() if next(notes, False) else None
        assert stop.stop(leases, "me", clock=Clock()).run == "run-of-a"

    def test_wait_for_hung_run_raises_deadline_error(
        self, leases: FakeLeases, clock: FakeClock
    ) -> None:
        hold(leases, clock)
        with pytest.raises(DeadlineError, match="run-of-a"):
            stop.stop(leases, "me", 30.0, clock=clock)

    def test_wait_for_run_returns_after_release(self, leases: FakeLeases, clock: FakeClock) -> None:
        lock = hold(leases, clock)
        sleep = clock.sleep

        def ends(seconds: float) -> None:
            sleep(seconds)
            lock.release()

        clock.sleep = ends  # type: ignore[method-assign]
        found = stop.stop(leases, "me", 30.0, clock=clock)
        assert found.ended
        assert "Stopped" in stop.render_stop(found)


class TestFollow:
    def run(self, kube: FakeKube, leases: FakeLeases) -> list[str]:
        told: list[str] = []
        follow.follow(kube, leases, told.append, kube.clock)
        return told

    def begun(self, leases: FakeLeases, kube: FakeKube) -> Any:
        lock = acquire(leases, who("a"), clock=kube.clock)
        one = writer(kube, lock.epoch, "run-of-a")
        one.keep()
        return lock, one

    def test_follow_without_run_prints_one_line(self, leases: FakeLeases) -> None:
        assert self.run(FakeKube(), leases) == ["No run is active."]

    def test_follow_prints_every_line_once_and_the_end(self, leases: FakeLeases) -> None:
        kube = FakeKube()
        lock, one = self.begun(leases, kube)
        sleep, turn = kube.clock.sleep, iter(range(100))

        def works(seconds: float) -> None:
            sleep(seconds)
            lock.tick()
            number = next(turn)
            one.log_line(f"line {number}")
            one.close("ended") if number == 80 else one.keep()

        kube.clock.sleep = works  # type: ignore[method-assign]
        told = self.run(kube, leases)
        assert told[1:-1] == [f"line {number}" for number in range(81)]
        assert "has ended" in told[-1]
        assert follow.current(kube, leases, 0.0) is None

    def test_follow_of_dead_run_raises_deadline_error(self, leases: FakeLeases) -> None:
        kube = FakeKube()
        _, one = self.begun(leases, kube)
        one.step_started("w-1", "deploy")
        with pytest.raises(DeadlineError, match="does not renew its lock"):
            self.run(kube, leases)

    def test_follow_waits_for_restarting_api_server(self, leases: FakeLeases) -> None:
        kube = FakeKube()
        lock, one = self.begun(leases, kube)
        kube.down_until = kube.clock.time + 20
        sleep = kube.clock.sleep

        def works(seconds: float) -> None:
            sleep(seconds)
            lock.tick()
            if kube.clock.time > kube.down_until + 1:
                one.close("failed")

        kube.clock.sleep = works  # type: ignore[method-assign]
        # The run starts before the API server stops answering.
        kube.down_until, down = 0.0, kube.down_until
        first = follow._Watched(kube, leases, kube.clock).look()
        kube.down_until = down
        assert first is not None
        assert "has failed" in self.run(kube, leases)[-1]

    def test_status_shows_steps_and_whether_run_is_alive(self, leases: FakeLeases) -> None:
        kube = FakeKube()
        lock, one = self.begun(leases, kube)
        one.step_started("w-1", "deploy")
        one.job_started("w-1", "42")
        now = follow.current(kube, leases, kube.clock.time + 5)
        assert now is not None
        assert now["alive"] is True
        assert "w-1: deploy for 5 s, job 42" in follow.render_status(now)
        lock.release()
        now = follow.current(kube, leases, kube.clock.time + 5)
        assert "was interrupted" in follow.render_status(now)
