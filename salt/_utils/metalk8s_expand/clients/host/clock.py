"""Clocks as values that tests can replace, and the bounded waits that all code uses."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from metalk8s_expand.errors import ConflictError, DeadlineError, ExpandError, UnreachableError

Result = TypeVar("Result")


class Clock:
    """The host's clocks: wall time for people, monotonic time for deadlines."""

    def now(self) -> float:
        """Return the wall time in seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return a time in seconds that never decreases."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep for a number of seconds."""
        time.sleep(seconds)


class TickingClock(Clock):
    """A clock that calls a function while it sleeps: ``tick``, at least twice a second."""

    TICK_S = 0.5

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick

    def sleep(self, seconds: float) -> None:
        """Sleep for a number of seconds, in parts."""
        until = self.monotonic() + seconds
        while True:
            self._tick()
            left = until - self.monotonic()
            if left <= 0:
                return
            super().sleep(min(left, self.TICK_S))


@dataclass(frozen=True)
class Wait:
    """A bounded wait: what it waits for, its timeout in seconds, and the error when it expires.

    ``interval`` is the pause between two attempts in seconds, or a function that returns it.
    """

    what: str
    timeout: float
    interval: float | Callable[[], float] = 0.5
    node: str | None = None
    hint: str | None = None
    log: str | None = None
    error: type[ExpandError] = DeadlineError

    def pause(self) -> float:
        """Return the seconds until the next attempt."""
        return self.interval() if callable(self.interval) else self.interval

    def expired(self, elapsed: float, reasons: Sequence[str]) -> ExpandError:
        """Return the error that reports the last reasons."""
        return self.error(
            f"waited {elapsed:.0f} s for {self.what}",
            node=self.node,
            hint=self.hint,
            log=self.log,
            problems=reasons,
        )


@dataclass(frozen=True)
class Pending:
    """The result of an attempt that has to be repeated.

    ``error`` replaces the error of the wait if the wait expires.
    """

    reasons: Sequence[str]
    error: ExpandError | None = None


def poll(
    wait: Wait, attempt: Callable[[], Result | Pending], clock: Clock
) -> Generator[float, None, Result]:
    """Attempt until the result is not Pending, and return that result.

    Yield the seconds to pause between two attempts. The caller decides how to spend them: it
    sleeps, or it advances other work. Raises ``wait.error`` with the last reasons when the wait
    expires.
    """
    started = clock.monotonic()
    while True:
        result = attempt()
        if not isinstance(result, Pending):
            return result
        elapsed = clock.monotonic() - started
        if elapsed >= wait.timeout:
            raise result.error or wait.expired(elapsed, result.reasons)
        # The last attempt happens at the deadline, not after it.
        yield min(wait.pause(), wait.timeout - elapsed)


def poll_problems(
    wait: Wait, problems: Callable[[], Sequence[str]], clock: Clock
) -> Generator[float, None, float]:
    """Poll a question until it returns no problem, and return the seconds that this took."""
    started = clock.monotonic()

    def ask() -> float | Pending:
        reasons = current_problems(problems)
        return Pending(reasons) if reasons else clock.monotonic() - started

    return (yield from poll(wait, ask, clock))


def wait_until(wait: Wait, problems: Callable[[], Sequence[str]], clock: Clock) -> float:
    """Sleep until ``problems`` returns none, and return the seconds that this took.

    ``problems`` is a question and changes nothing. An ExpandError that may pass counts as a
    problem. Raises ``wait.error`` with the last reasons when the wait expires.
    """
    return _sleep_through(poll_problems(wait, problems, clock), clock)


def poll_until(wait: Wait, attempt: Callable[[], Result | Pending], clock: Clock) -> Result:
    """Sleep between attempts until the result is not Pending, and return that result.

    Every error of the attempt ends the wait. The attempt may renew the lock and show progress.
    """
    return _sleep_through(poll(wait, attempt, clock), clock)


def retry_until(wait: Wait, attempt: Callable[[], Result | Pending], clock: Clock) -> Result:
    """Repeat an attempt that may change something until it returns a result, and return that.

    The attempt must read the current state first: if a reply was lost, the change may be done.
    An ExpandError that may pass makes the attempt pending.
    """

    def guarded() -> Result | Pending:
        try:
            return attempt()
        except ExpandError as error:
            if not error.retry:
                raise
            return Pending((error.summary,))

    return _sleep_through(poll(wait, guarded, clock), clock)


def retry_on_conflict(
    attempt: Callable[[], Result], patience: float, pause: Callable[[], float], clock: Clock
) -> Result:
    """Repeat an attempt that meets a conflict or no answer, for ``patience`` seconds.

    The attempt must read the current state first: if a reply was lost, the change may be done.
    Raises the last error.
    """

    def guarded() -> Result | Pending:
        try:
            return attempt()
        except (ConflictError, UnreachableError) as error:
            return Pending((), error)

    wait = Wait("the API to accept a change", patience, interval=pause)
    return _sleep_through(poll(wait, guarded, clock), clock)


def current_problems(problems: Callable[[], Sequence[str]]) -> tuple[str, ...]:
    """Return the problems that hold now.

    An ExpandError that may pass, such as that of an API server that restarts, is a problem.
    """
    try:
        return tuple(problems())
    except ExpandError as error:
        if not error.retry:
            raise
        return (error.summary,)


def _sleep_through(polling: Generator[float, None, Result], clock: Clock) -> Result:
    while True:
        try:
            pause = next(polling)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        clock.sleep(pause)
