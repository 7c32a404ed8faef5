"""The lock, which lets one run at a time change the cluster: a Lease in the API.

A run acquires the Lease, renews it, releases it, and detects when it has lost it.

The loop of the expansion renews the Lease (``tick``). A thread does not, for two reasons: a loop
that hangs must lose the Lease, and threads do not survive the fork with which Salt starts a job.
The preflight of many hosts is a long call without such a fork. Around it, a thread renews the
Lease for a bounded time (``renewing``).

A Lease cannot prevent a former holder from acting, so every job carries ``epoch``; see
``minion/fence.py``.
"""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from metalk8s_expand.clients.host.clock import Clock, Pending, Wait, poll_until
from metalk8s_expand.clients.kubernetes.lease import Leases, has_ended, stamp
from metalk8s_expand.domain.runs import lease_rules as rules
from metalk8s_expand.domain.runs.lease_rules import (
    DURATION_S,
    NAME,
    NAMESPACE,
    Lease,
    LeaseHolder,
    LockLostError,
    RenewalWatch,
)
from metalk8s_expand.errors import ConflictError, ExpandError, LockedError, UnreachableError

log = logging.getLogger(__name__)

# The average pause. The pauses are random, so that candidates that started to wait at the same time
# do not poll at the same time forever.
POLL_S = 0.5
# The maximum age of the API server's last confirmation before a change, while it answers.
FRESH_S = 1.0
# The limit of writes that conflict with another writer. A candidate that waits polls again after
# these attempts.
ATTEMPTS = 5

LOOK = f"kubectl -n {NAMESPACE} get lease {NAME} -o yaml"


def acquire(
    leases: Leases,
    claim: LeaseHolder,
    wait_s: float = 0.0,
    *,
    clock: Clock,
    duration: int = DURATION_S,
    waiting: Callable[[str], None] = lambda holder: None,
) -> Lock:
    """Acquire the Lease and return the lock, after a wait of at most ``wait_s`` seconds.

    ``waiting`` is called with the title of each holder that the candidate waits for. Raises
    LockedError with the holder. If the holder has died, the candidate takes the Lease over, given
    that ``wait_s`` is longer than the lease duration.
    """
    candidate = Candidate(leases, claim, duration, clock)
    shown = ""

    def attempt() -> Lock | Pending:
        nonlocal shown
        try:
            lock = candidate.attempt()
        except UnreachableError as error:
            # The API server may be restarting, as it does during an expansion.
            return Pending((), error)
        if lock is not None:
            return lock
        if wait_s and candidate.lease and candidate.lease.holder != shown:
            shown = candidate.lease.holder
            waiting(candidate.lease.title)
        return Pending((), _held(candidate.lease, wait_s))

    wait = Wait("the lock", wait_s, interval=lambda: POLL_S * random.uniform(0.5, 1.5))
    return poll_until(wait, attempt, clock)


class Candidate:
    """A process that tries to acquire the Lease and remembers its last observed state."""

    def __init__(self, leases: Leases, claim: LeaseHolder, duration: int, clock: Clock) -> None:
        self.lease: Lease | None = None
        self._leases = leases
        self._claim = claim
        self._duration = duration
        self._clock = clock
        self._watch = RenewalWatch()

    def attempt(self) -> Lock | None:
        """Return the lock if the candidate may acquire the Lease, else None.

        ``lease`` is the Lease that was stored before.
        """
        failure: UnreachableError | None = None
        for _ in range(ATTEMPTS):
            stored = self._leases.get()
            self.lease = rules.of(stored)
            if self.lease and not self._may_take(self.lease):
                return None
            sent = self._clock.monotonic()
            try:
                written = self._write()
            except ConflictError:
                continue
            except UnreachableError as exc:
                # If only the reply was lost, the next read shows this run as the holder.
                failure = exc
                continue
            if written is not None:
                return Lock(
                    self._leases, self._claim, Lease.from_stored(written), sent, self._clock
                )
        if failure:
            raise failure
        return None

    def _may_take(self, lease: Lease) -> bool:
        moment = self._clock.monotonic()
        self._watch = self._watch.saw(lease, moment)
        return has_ended(lease.process) or self._watch.may_take(lease, self._claim.identity, moment)

    def _write(self) -> dict[str, Any] | None:
        now = self._clock.now()
        body = rules.taken(self.lease, self._claim, stamp(now), now, self._duration)
        return self._leases.create(body) if self.lease is None else self._leases.update(body)


class Lock:
    """The Lease while this run holds it. As a context manager it always releases the Lease."""

    def __init__(
        self, leases: Leases, claim: LeaseHolder, lease: Lease, confirmed: float, clock: Clock
    ) -> None:
        self.epoch = lease.epoch
        self._leases = leases
        self._claim = claim
        self._lease = lease
        self._confirmed = self._tried = confirmed
        self._clock = clock
        self._lost = ""
        self._failure: ExpandError | None = None
        self._mutex = threading.Lock()
        self._process = os.getpid()

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def tick(self) -> None:
        """Renew the Lease when the renewal is due; the run calls this often.

        ``tick`` does not report a lost Lease; ``check`` does.
        """
        self._keep(self._lease.duration / rules.RENEWALS)

    @property
    def stop(self) -> str:
        """Who requested that this run stop; empty without a request.

        The value is from the last renewal; ``check`` makes it recent.
        """
        return self._lease.stop

    def check(self) -> None:
        """Confirm that the run may make the next change.

        Raises LockLostError if the Lease is lost or was not renewed in time.
        """
        self._keep(FRESH_S)
        if self._lost:
            raise LockLostError(
                f"this run has lost the lock, so it stops before its next change: {self._lost}",
                hint=(
                    f"see who holds it: {LOOK}; then run the same command again, which skips what"
                    " is done"
                ),
                log="/var/log/salt/master",
            )

    @contextmanager
    def renewing(self, at_most: float) -> Iterator[None]:
        """Renew the Lease from a thread, for at most ``at_most`` seconds, while a long call blocks.

        Do not use it around a call in which Salt starts jobs.
        """
        until = self._clock.monotonic() + at_most
        done = threading.Event()

        def keep() -> None:
            while self._clock.monotonic() < until and not done.wait(self._pace):
                self.tick()

        thread = threading.Thread(target=keep, name="renew the lock", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def release(self) -> None:
        """Release the Lease, so that another run can acquire it at once.

        If the API server does not accept the release, the Lease expires by itself.
        """
        # A job that was forked from this process does not hold the Lease of its parent.
        if os.getpid() != self._process:
            return
        with self._mutex:
            try:
                self._write(rules.released)
            except LockLostError as exc:
                log.info("nothing to release: %s", exc.message)
            except ExpandError as exc:
                log.warning("the lock was not released and expires by itself: %s", exc.message)
            self._lost = self._lost or "it was released"

    @property
    def _pace(self) -> float:
        """Seconds from a failed renewal to the next attempt."""
        return self._lease.duration / rules.RENEWALS / 10

    def _keep(self, older: float) -> None:
        """Renew the Lease if its last confirmation is at least ``older`` seconds old."""
        with self._mutex:
            self._judge()
            moment = self._clock.monotonic()
            if (
                not self._lost
                and moment - self._confirmed >= older
                and moment - self._tried >= min(older, self._pace)
            ):
                self._tried = moment
                self._renew()
                self._judge()

    def _judge(self) -> None:
        """Mark the Lease as lost if, by the run's own clock, it was not renewed in time.

        A later answer of the API server does not change that.
        """
        moment = self._clock.monotonic()
        if not self._lost and rules.is_over(self._confirmed, self._lease.duration, moment):
            reason = self._failure.message if self._failure else "the run was busy or frozen"
            self._lost = f"it was not renewed for {moment - self._confirmed:.0f} s: {reason}"

    def _renew(self) -> None:
        sent = self._clock.monotonic()
        try:
            self._write(rules.renewed)
        except LockLostError as exc:
            self._lost = exc.message
        except ExpandError as exc:
            log.warning("the lock was not renewed: %s", exc.message)
            self._failure = exc
        else:
            self._confirmed, self._failure = sent, None

    def _write(self, change: Callable[[Lease, str], dict[str, Any]]) -> None:
        """Change the Lease. Raises LockLostError if this run no longer holds it."""
        for _ in range(ATTEMPTS):
            try:
                written = self._leases.update(change(self._lease, stamp(self._clock.now())))
            except ConflictError:
                written = None
            if written is not None:
                self._lease = Lease.from_stored(written)
                return
            # Another writer changed the Lease, or this run did and the reply was lost. The stored
            # holder decides.
            self._lease = self._still_ours()
        raise ConflictError("another client changes the Lease all the time", hint=LOOK)

    def _still_ours(self) -> Lease:
        """Return the stored Lease. Raises LockLostError if this run does not hold it."""
        stored = self._leases.get()
        if stored is None:
            raise LockLostError("another client deleted the Lease", hint=LOOK)
        lease = Lease.from_stored(stored)
        if lease.holder != self._claim.identity:
            reason = (
                f"it is held by {lease.title}"
                if lease.holder
                else "another client cleared its holder"
            )
            raise LockLostError(reason, hint=LOOK)
        return lease


def _held(lease: Lease | None, wait_s: float) -> LockedError:
    if lease is None or not lease.holder:
        return LockedError(
            "the lock could not be acquired: other processes acquired it first",
            hint="run the same command again",
        )
    waited = f" after {wait_s:.0f} s of waiting" if wait_s else ""
    return LockedError(
        f"another run holds the lock{waited}: {lease.title}",
        hint=(
            f"wait for it with wait_s=SECONDS. If it is dead, more than {lease.duration:.0f} s are"
            f" enough. Look: {LOOK}"
        ),
        log=f"/var/log/salt/master on {lease.host}",
    )
