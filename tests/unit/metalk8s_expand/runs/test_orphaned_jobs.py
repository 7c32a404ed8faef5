"""Jobs of a killed run: the next run waits for them within a limit, and for no other jobs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from metalk8s_expand.clients.salt.running_jobs import Runner
from metalk8s_expand.domain.runs.journal_record import JournalRecord
from metalk8s_expand.errors import LockedError, StoppedError
from metalk8s_expand.runs import orphaned_jobs
from tests.fakes.clock import FakeClock
from tests.fakes.minions import FakeMinions

BEFORE = JournalRecord("r1", "expand", "boot", 7, 1.0)
BY_TITLE = Runner(
    ("metalk8s_expand.expand", "ProcessFunc(x,", "fun=state.orchestrate", "jid=42)"), 100
)
BY_FILE = Runner(("state.orchestrate", "metalk8s.orchestrate.deploy_node"), 101, "42")
BY_HAND = Runner(("state.orchestrate", "metalk8s.orchestrate.deploy_node"), 102, "43")


class World:
    opts: ClassVar[dict[str, Any]] = {}


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the answers to successive queries (runners on the master, jobs on minions), and the
    minions whose key the master has not accepted.
    """
    seen: dict[str, Any] = {"runners": iter(()), "minions": iter(()), "without_key": set()}
    monkeypatch.setattr(
        orphaned_jobs.running_jobs, "running", lambda opts: next(seen["runners"], [])
    )

    class Busy(FakeMinions):
        def ask(self, minions: Any, function: str, arguments: Any) -> Any:
            assert function == "saltutil.running"
            return next(seen["minions"], {"w-1": []})

    monkeypatch.setattr(
        orphaned_jobs.minions, "Minions", lambda opts: Busy(without_key=seen["without_key"])
    )
    return seen


def wait(
    before: JournalRecord, clock: FakeClock, timeout: float = 60.0, tick: Any = lambda: None
) -> list[str]:
    told: list[str] = []
    run = SimpleNamespace(
        cluster=World(),
        clock=clock,
        journal=SimpleNamespace(now=before),
        progress=lambda node, step, text: told.append(text),
        ensure_not_stopped=tick,
    )
    orphaned_jobs.wait(run, timeout)  # type: ignore[arg-type]
    return told


def test_wait_without_jobs_returns_at_once(running: Any, clock: FakeClock) -> None:
    started = clock.time
    assert wait(BEFORE, clock) == []
    assert clock.time == started


@pytest.mark.parametrize("runner", [BY_TITLE, BY_FILE])
def test_orchestration_of_dead_run_is_reported_once(
    running: Any, clock: FakeClock, runner: Runner
) -> None:
    running["runners"] = iter([[runner]] * 5)
    before = BEFORE.step_started("w-1", "deploy", 1.0).job_started("w-1", "42")
    [told] = wait(before, clock)
    assert str(runner.pid) in told


def test_orchestration_of_operator_is_ignored(running: Any, clock: FakeClock) -> None:
    running["runners"] = iter([[BY_HAND]] * 5)
    assert wait(BEFORE, clock) == []


def test_state_job_of_minion_is_reported(running: Any, clock: FakeClock) -> None:
    busy = {"w-1": [{"jid": "44", "fun": "state.sls"}, {"jid": "45", "fun": "saltutil.running"}]}
    running["minions"] = iter([busy, busy, {"w-1": []}])
    [told] = wait(BEFORE.step_started("w-1", "deploy", 1.0), clock)
    assert "job 44 (state.sls) on w-1" in told
    assert "45" not in told


def test_minion_without_valid_answer_is_idle(running: Any, clock: FakeClock) -> None:
    running["minions"] = iter([{"w-1": "The minion function caused an exception"}])
    assert wait(BEFORE.step_started("w-1", "deploy", 1.0), clock) == []


def test_minion_that_connects_again_is_not_idle(running: Any, clock: FakeClock) -> None:
    """The master was killed too: the minion still applies states when it is not connected yet."""
    busy = {"w-1": [{"jid": "44", "fun": "state.apply"}]}
    running["minions"] = iter([{}, {}, busy, busy])
    told = wait(BEFORE.step_started("w-1", "prepare", 1.0), clock)
    assert len(told) == 2
    assert "w-1, whose minion does not answer" in told[0]
    assert "job 44 (state.apply) on w-1" in told[1]


def test_minion_that_stays_silent_is_idle(running: Any, clock: FakeClock) -> None:
    running["minions"] = iter([{}] * 500)
    started = clock.time
    wait(BEFORE.step_started("w-1", "prepare", 1.0), clock, 600.0)
    assert clock.time - started == pytest.approx(orphaned_jobs.RECONNECT_S, abs=5.0)


def test_host_without_accepted_key_is_idle(running: Any, clock: FakeClock) -> None:
    running["minions"] = iter([{}] * 500)
    running["without_key"] = {"w-1"}
    assert wait(BEFORE.step_started("w-1", "prepare", 1.0), clock) == []


def test_wait_is_bounded(running: Any, clock: FakeClock) -> None:
    running["runners"] = iter([[BY_TITLE]] * 500)
    with pytest.raises(LockedError, match="still active"):
        wait(BEFORE, clock, 60.0)
    assert clock.time < 1000 + 70


def test_wait_ends_on_stop_request(running: Any, clock: FakeClock) -> None:
    running["runners"] = iter([[BY_TITLE]] * 500)

    def stop() -> None:
        raise StoppedError("asked")

    with pytest.raises(StoppedError):
        wait(BEFORE, clock, 60.0, stop)
