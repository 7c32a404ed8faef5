"""The lock: acquire, renew, lose and release the Lease, with a fake API and fake clocks."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.kubernetes.lease import claim
from metalk8s_expand.errors import ConflictError, LockedError, UnreachableError
from metalk8s_expand.runs import lock
from metalk8s_expand.runs.lock import Lock, acquire
from tests.fakes.clock import FakeClock, OffsetClock
from tests.fakes.kube import DOWN
from tests.fakes.leases import FakeLeases, hold, who


@pytest.fixture
def leases() -> FakeLeases:
    return FakeLeases()


def once(error: Exception) -> Callable[[], None]:
    """Return a function that raises the error on its first call only."""
    left = [error]

    def act() -> None:
        if left:
            raise left.pop()

    return act


# Acquire


def test_second_candidate_is_refused_with_holder(leases: FakeLeases, clock: FakeClock) -> None:
    held = hold(leases, clock)
    with pytest.raises(LockedError) as error:
        hold(leases, clock, "b")
    assert (error.value.retcode, error.value.retry) == (9, True)
    assert str(error.value).startswith(
        "another run holds the lock: expand (run run-of-a of root on host-of-a, a), since "
    )
    assert "wait_s" in str(error.value.hint)
    assert error.value.log == "/var/log/salt/master on host-of-a"
    held.check()
    assert clock.time == 1000.0, "nobody waited"


def test_epoch_grows_with_each_holder(leases: FakeLeases, clock: FakeClock) -> None:
    epochs = []
    for name in "abc":
        with hold(leases, clock, name) as held:
            epochs.append(held.epoch)
    assert epochs == [epochs[0], epochs[0] + 1, epochs[0] + 2]
    assert leases.holder == ""


def test_candidate_that_waits_gets_lock_and_holder_title(
    leases: FakeLeases, clock: FakeClock
) -> None:
    first = hold(leases, clock)
    heard: list[str] = []

    def waiting(holder: str) -> None:
        heard.append(holder)
        first.release()

    acquire(leases, who("b"), 10.0, clock=clock, waiting=waiting).check()
    assert [item.partition(" (")[0] for item in heard] == ["expand"]
    assert clock.time <= 1000.0 + 2 * lock.POLL_S


def test_candidate_waits_no_longer_than_wait_s(leases: FakeLeases, clock: FakeClock) -> None:
    held = hold(leases, clock)
    clock.sleep(15)
    held.tick()
    with pytest.raises(LockedError, match="another run holds the lock after 30 s of waiting"):
        hold(leases, clock, "b", wait_s=30)
    assert clock.time == pytest.approx(1045.0)


def test_dead_holder_loses_lock_only_after_lease_duration(
    leases: FakeLeases, clock: FakeClock
) -> None:
    held = hold(leases, clock)
    with pytest.raises(LockedError):
        hold(leases, clock, "b", wait_s=60)
    start = clock.time
    new = hold(leases, clock, "c", wait_s=61)
    assert 60 < clock.time - start <= 60 + 2 * lock.POLL_S, (
        "what another candidate has seen is not ours"
    )
    assert new.epoch == held.epoch + 1
    new.check()
    with pytest.raises(LockedError):
        held.check()


def test_dates_of_other_hosts_do_not_matter(leases: FakeLeases, clock: FakeClock) -> None:
    holder = OffsetClock(clock, offset=5e6, date=4e9)
    candidate = OffsetClock(clock, offset=-900.0, date=0.0)
    held = hold(leases, holder)
    for date in (0.0, 9e9, 1.0, 1.7e9):
        clock.sleep(15)
        holder.date = candidate.date = date
        held.check()
        with pytest.raises(LockedError):
            hold(leases, candidate, "b", wait_s=20)
    candidate.date = 9e9
    start = clock.time
    hold(leases, candidate, "b", wait_s=61)
    assert clock.time - start > 60


def test_loser_of_simultaneous_create_is_refused(leases: FakeLeases, clock: FakeClock) -> None:
    """The other candidate creates the Lease between the read and the write of the first."""

    def other() -> None:
        leases.before = lambda: None
        hold(leases, clock, "b")

    leases.before = other
    with pytest.raises(LockedError, match="host-of-b"):
        hold(leases, clock, "a")
    assert leases.holder == "b"


def test_endless_conflicts_end_acquire(leases: FakeLeases, clock: FakeClock) -> None:
    leases.before = once(ConflictError("x"))

    def always() -> None:
        raise ConflictError("x")

    leases.before = always
    with pytest.raises(LockedError, match="other processes acquired it first"):
        hold(leases, clock)


@pytest.mark.parametrize("exists", [False, True])
def test_lost_reply_to_acquire_is_detected(
    leases: FakeLeases, clock: FakeClock, exists: bool
) -> None:
    before = 0
    if exists:
        first = hold(leases, clock, "z")
        first.release()
        before = first.epoch + 1
    leases.after = once(DOWN)
    held = hold(leases, clock)
    held.check()
    assert leases.holder == "a"
    assert not exists or held.epoch == before, "it was taken once"


def test_unreachable_api_server_is_reported_after_wait(
    leases: FakeLeases, clock: FakeClock
) -> None:
    leases.down = True
    with pytest.raises(UnreachableError):
        hold(leases, clock)
    with pytest.raises(UnreachableError):
        hold(leases, clock, wait_s=5)
    assert clock.time == 1005.0

    class Restarting(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            leases.down = self.time < 1004

    hold(leases, Restarting(), wait_s=5).check()


def test_failed_writes_are_reported(leases: FakeLeases, clock: FakeClock) -> None:
    def refuse() -> None:
        raise DOWN

    leases.before = refuse
    with pytest.raises(UnreachableError):
        hold(leases, clock)


# Renew


def test_lease_is_renewed_every_third_of_its_duration(leases: FakeLeases, clock: FakeClock) -> None:
    held = hold(leases, clock)
    for _ in range(1500):
        clock.sleep(0.2)
        held.tick()
    assert 14 <= leases.writes - 1 <= 15
    held.check()


def test_check_confirms_lease_with_api_server(leases: FakeLeases, clock: FakeClock) -> None:
    """The clock of a suspended host may have stood still, so the holder asks the API server."""
    held = hold(leases, clock)
    held.check()
    assert leases.writes == 1, "it was taken just now"
    assert leases.stored
    leases.stored["spec"]["holderIdentity"] = "b"
    leases.note()
    clock.sleep(1.5)
    with pytest.raises(
        LockedError,
        match="this run has lost the lock, so it stops before its next change: it is held by",
    ):
        held.check()


def test_loop_that_hangs_loses_lock_before_takeover(leases: FakeLeases, clock: FakeClock) -> None:
    held = hold(leases, clock)
    clock.sleep(53.9)
    held.check()
    clock.sleep(54.0)
    writes = leases.writes
    with pytest.raises(
        LockedError, match=r"it was not renewed for 54 s: the run was busy or frozen"
    ) as error:
        held.check()
    assert leases.writes == writes, "it is not tried any more"
    assert (error.value.retcode, error.value.retry) == (9, False), "a wait ends with it"
    held.tick()
    with pytest.raises(LockedError):
        held.check()


def test_failures_within_lease_duration_keep_lock(leases: FakeLeases, clock: FakeClock) -> None:
    held = hold(leases, clock)
    clock.sleep(19)
    leases.down = True
    for _ in range(150):
        clock.sleep(0.2)
        held.tick()
        held.check()
    leases.down = False
    clock.sleep(2)
    held.tick()
    clock.sleep(50)
    held.check()


def test_failures_beyond_safe_time_lose_lock(leases: FakeLeases, clock: FakeClock) -> None:
    held = hold(leases, clock)
    leases.down = True
    for _ in range(269):
        clock.sleep(0.2)
        held.tick()
    held.check()
    clock.sleep(0.3)
    leases.down = False
    with pytest.raises(LockedError, match=r"not renewed for 54 s: the API does not answer"):
        held.check()


def test_lease_time_counts_from_before_the_request(leases: FakeLeases, clock: FakeClock) -> None:
    held = hold(leases, clock)
    clock.sleep(20)
    leases.after = lambda: clock.sleep(50)
    held.tick()
    leases.after = lambda: None
    clock.sleep(3)
    held.check()
    clock.sleep(20)
    leases.before = lambda: clock.sleep(54)
    with pytest.raises(LockedError, match="was not renewed for 54 s"):
        held.check()


def test_retries_of_renewal_are_paced(leases: FakeLeases, clock: FakeClock) -> None:
    held = hold(leases, clock)
    clock.sleep(20)
    tried = []

    def refuse() -> None:
        tried.append(clock.time)
        raise DOWN

    leases.before = refuse
    for _ in range(50):
        held.tick()
        clock.sleep(0.2)
    assert 4 <= len(tried) <= 5


@pytest.mark.parametrize("act", ["note", "lost reply"])
def test_conflict_with_same_holder_keeps_lock(
    leases: FakeLeases, clock: FakeClock, act: str
) -> None:
    held = hold(leases, clock)
    if act == "note":
        leases.note()
    else:
        clock.sleep(25)
        leases.after = once(DOWN)
        held.tick()
        leases.after = lambda: None
    clock.sleep(25)
    held.check()
    assert leases.stored
    assert ("labels" in leases.stored["metadata"]) is (act == "note"), "what others wrote stays"
    clock.sleep(50)
    held.check()


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("deleted", "another client deleted the Lease"),
        ("cleared", "another client cleared its holder"),
    ],
)
def test_lease_that_operator_removed_is_lost(
    leases: FakeLeases, clock: FakeClock, gone: str, words: str
) -> None:
    held = hold(leases, clock)
    assert leases.stored
    if gone == "deleted":
        leases.delete()
    else:
        leases.stored["spec"]["holderIdentity"] = ""
        leases.note()
    clock.sleep(2)
    with pytest.raises(LockedError, match=words):
        held.check()


def test_constant_writes_of_other_client_lose_lock(leases: FakeLeases, clock: FakeClock) -> None:
    held = hold(leases, clock)
    leases.before = leases.note
    clock.sleep(53)
    held.check()
    clock.sleep(1)
    with pytest.raises(LockedError, match="another client changes the Lease all the time"):
        held.check()


# Renew during a call that blocks


def test_long_call_renews_lease_for_bounded_time() -> None:
    leases = FakeLeases()
    held = acquire(leases, who("a"), clock=Clock(), duration=1)
    with held.renewing(at_most=10):
        time.sleep(1.5)
        held.check()
    held.check()
    with held.renewing(at_most=0.5):
        time.sleep(1.6)
        with pytest.raises(LockedError, match="the run was busy or frozen"):
            held.check()


def test_renewal_thread_ends_with_the_call() -> None:
    import threading

    before = threading.active_count()
    held = acquire(FakeLeases(), who("a"), clock=Clock())
    with pytest.raises(ZeroDivisionError), held.renewing(at_most=100):
        assert threading.active_count() == before + 1
        raise ZeroDivisionError
    assert threading.active_count() == before


# Release


def test_released_lock_is_free_at_once_and_unusable(leases: FakeLeases, clock: FakeClock) -> None:
    with hold(leases, clock) as held:
        pass
    assert leases.holder == ""
    with pytest.raises(LockedError, match="it was released"):
        held.check()
    hold(leases, clock, "b").check()


def test_failure_releases_lock(leases: FakeLeases, clock: FakeClock) -> None:
    with pytest.raises(KeyboardInterrupt), hold(leases, clock):
        raise KeyboardInterrupt
    assert leases.holder == ""


def test_release_keeps_lease_of_other_holder(leases: FakeLeases, clock: FakeClock) -> None:
    held = hold(leases, clock)
    hold(leases, clock, "b", wait_s=70)
    held.release()
    held.release()
    assert leases.holder == "b"


def test_expired_lease_without_new_holder_is_released(leases: FakeLeases, clock: FakeClock) -> None:
    held = hold(leases, clock)
    clock.sleep(1000)
    with pytest.raises(LockedError):
        held.check()
    held.release()
    assert leases.holder == ""


def test_release_without_api_server_raises_nothing(leases: FakeLeases, clock: FakeClock) -> None:
    held = hold(leases, clock)
    leases.down = True
    held.release()
    leases.down = False
    assert leases.holder == "a"
    hold(leases, clock, "b", wait_s=61)


def test_forked_job_releases_nothing(
    leases: FakeLeases, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = hold(leases, clock)
    pid = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    held.release()
    assert leases.holder == "a"


# Random faults: frozen or isolated holders, clock jumps, and an API server that is slow, fails, or
# loses replies


class Actor:
    """A run on its own host."""

    def __init__(
        self, number: int, leases: FakeLeases, clock: FakeClock, chance: random.Random
    ) -> None:
        self.name = f"actor-{number}"
        self.leases = leases
        self.clock = OffsetClock(clock, chance.uniform(-1e6, 1e6), chance.uniform(0, 4e9))
        self.chance = chance
        self.frozen_until = self.cut_off_until = 0.0
        self.held: Lock | None = None
        self.candidate = self._candidate()

    def act(self) -> bool:
        """Execute one step and return whether the run may make a change now."""
        self.clock.date += self.chance.choice([0.1, 0.1, -5000, 5000]) + self.chance.random() / 1000
        try:
            if self.held is None:
                self.held = self.candidate.attempt()
                return False
            return self._hold(self.held)
        except UnreachableError:
            return False

    def _hold(self, held: Lock) -> bool:
        held.tick()
        if self.chance.random() < 0.02:
            held.release()
        try:
            held.check()
        except LockedError:
            self.held, self.candidate = None, self._candidate()
            return False
        return True

    def _candidate(self) -> lock.Candidate:
        return lock.Candidate(self.leases, claim("run", self.name), 60, self.clock)


@pytest.mark.parametrize("fresh", [lock.FRESH_S, 1e9], ids=["confirmed", "by the own clock alone"])
@pytest.mark.parametrize("seed", range(10))
def test_random_faults_never_allow_two_holders(
    seed: int, fresh: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the holder that the API names passes ``check``, and epochs only grow."""
    monkeypatch.setattr(lock, "FRESH_S", fresh)
    chance, clock, leases = random.Random(seed), FakeClock(), FakeLeases()
    actors = [Actor(number, leases, clock, chance) for number in range(4)]

    def after() -> None:
        clock.time += chance.choice([0.01, 0.01, 0.01, 3.0])
        if chance.random() < 0.1:
            raise DOWN

    leases.after = after
    epochs: list[int] = []
    changes = 0
    for _ in range(3000):
        clock.time += chance.uniform(0.01, 1.0)
        actor = chance.choice(actors)
        if actor.frozen_until > clock.time:
            continue
        if chance.random() < 0.01:
            actor.frozen_until = clock.time + chance.uniform(0, 200)
            continue
        if chance.random() < 0.01:
            actor.cut_off_until = clock.time + chance.uniform(0, 200)
        leases.down = actor.cut_off_until > clock.time or chance.random() < 0.05
        if actor.act() and actor.held:
            changes += 1
            assert leases.holder == actor.held._claim.identity
            if not epochs or epochs[-1] != actor.held.epoch:
                epochs.append(actor.held.epoch)
    assert changes > 100
    assert len(epochs) > 5
    assert epochs == sorted(epochs)
