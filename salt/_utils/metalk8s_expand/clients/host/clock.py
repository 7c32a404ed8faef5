"""Time as a value that tests can replace, and the one bounded wait that every step uses."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from metalk8s_expand.errors import ConflictError, DeadlineError, ExpandError, UnreachableError

Result = TypeVar("Result")


class Clock:
    """The host's clocks: wall time for people, monotonic time for deadlines."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def wait_until(
    what: str,
    problems: Callable[[], Sequence[str]],
    timeout: float,
    *,
    interval: float = 0.5,
    clock: Clock | None = None,
    node: str | None = None,
    hint: str | None = None,
    log: str | None = None,
    error: type[ExpandError] = DeadlineError,
) -> float:
    """Ask until ``problems`` returns none; the seconds it took.

    An ExpandError of the question is a problem too. Raises ``error`` with the last reason after ``timeout`` seconds.
    """
    clock = clock or Clock()
    started = clock.monotonic()
    while True:
        reasons = asked(problems)
        elapsed = clock.monotonic() - started
        if not reasons:
            return elapsed
        if elapsed >= timeout:
            raise error(
                f"waited {elapsed:.0f} s for {what}: " + "; ".join(reasons),
                node=node,
                hint=hint,
                log=log,
                problems=reasons,
            )
        clock.sleep(min(interval, timeout - elapsed) or interval)


def asked(problems: Callable[[], Sequence[str]]) -> tuple[str, ...]:
    """The problems that hold now: what may be otherwise later (an API server that restarts) is one, and no failure."""
    try:
        return tuple(problems())
    except ExpandError as exc:
        if not exc.retry:
            raise
        return (exc.args[0],)


def persisted(
    attempt: Callable[[], Result], patience: float, pause: Callable[[], float], clock: Clock
) -> Result:
    """Repeat what somebody else came before, or what the API did not answer, for ``patience`` seconds; the last error then.

    The attempt must read anew: a reply that was lost may have been a success.
    """
    deadline = clock.monotonic() + patience
    while True:
        try:
            return attempt()
        except (ConflictError, UnreachableError):
            if clock.monotonic() >= deadline:
                raise
            clock.sleep(pause())
