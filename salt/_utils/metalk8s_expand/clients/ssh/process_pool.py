"""Run the same work on many hosts in parallel, so that silent hosts do not delay the others.

One thread per host waits. The pool limits the number of processes, because each takes some
megabytes and much of a CPU.

* ``max_parallel`` processes work at a time. A host takes a place when its process starts and
  releases it when the process ends.
* A host that does not send the SSH banner within two seconds has its process ended. A thread
  without a place then watches its port through a socket (``network.look``). When the banner comes,
  the host requests a place again.
* A process that uses no CPU time for some seconds hangs (the home directory, PAM, the command).
  It moves to one of ``max_parallel`` extra places for hanging processes. When these are full,
  further hanging processes keep their working places.

A silent host therefore holds a place for two seconds, regardless of its deadline. There are never
more than twice ``max_parallel`` processes. The clock of a host stops while the host waits for a
place, see ``Allowance``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event, Semaphore
from typing import Protocol, TypeVar

from metalk8s_expand.clients.ssh import process
from metalk8s_expand.errors import UnreachableError

# Extra threads for silent hosts: with more silent hosts than this, other hosts wait as well.
WATCHED = 512
HANGS_S = 3.0


class Named(Protocol):
    """An object whose name identifies its result."""

    @property
    def name(self) -> str: ...


Host = TypeVar("Host", bound=Named)
Result = TypeVar("Result")


def on_all(
    targets: Iterable[Host], work: Callable[[Host], Result], max_parallel: int = 32
) -> dict[str, Result | UnreachableError]:
    """Run the work on many hosts in parallel.

    Return, by host name, the result or the UnreachableError of the host. The limit applies to
    processes that the work starts through ``run``: at most ``max_parallel`` work, and as many
    hang. Any other exception ends the work on all hosts.
    """
    chosen = list(targets)
    places = ProcessPool(max(1, max_parallel))

    def attempt(target: Host) -> Result | UnreachableError:
        _current.set(places)
        try:
            return work(target)
        except UnreachableError as exc:
            return exc

    with ThreadPoolExecutor(max_workers=max(1, min(len(chosen), max_parallel + WATCHED))) as pool:
        try:
            return dict(
                zip((target.name for target in chosen), pool.map(attempt, chosen), strict=True)
            )
        except BaseException:
            places.close()
            raise


class Allowance:
    """The seconds that one host has. The time that it waits for a place does not count."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    @contextmanager
    def spent(self) -> Iterator[None]:
        """Subtract the time of the enclosed block."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.left = max(0.0, self.left - (time.monotonic() - started))

    def at_least(self, seconds: float) -> None:
        """Raise the remaining time to ``seconds``, to diagnose a host that has used up its time."""
        self.left = max(self.left, seconds)


def run(arguments: Sequence[str], allowance: Allowance, stdin: str = "") -> process.ProcessResult:
    """Run a program within a host's allowance; inside ``on_all`` it takes a place in the pool."""
    places = _current.get()
    if places is None:
        with allowance.spent():
            return process.run(arguments, stdin, allowance.left)
    with places.taken() as place, allowance.spent():
        return process.run(arguments, stdin, allowance.left, place.tick)


class ProcessPool:
    """Places for working processes and for hanging processes."""

    def __init__(self, max_parallel: int) -> None:
        self.working = Semaphore(max_parallel)
        self.hanging = Semaphore(max_parallel)
        self._closed = Event()

    @contextmanager
    def taken(self) -> Iterator[_Place]:
        """Wait for a place, and release it when the block ends."""
        self.working.acquire()
        place = _Place(self)
        try:
            self.refuse_when_closed()
            yield place
        finally:
            place.leave()

    def close(self) -> None:
        """Prevent new processes; running processes end within about a second."""
        self._closed.set()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def refuse_when_closed(self) -> None:
        if self.closed:
            raise UnreachableError("was not asked: the run stopped the work on all hosts")


class _Place:
    def __init__(self, places: ProcessPool) -> None:
        self._places = places
        self._held = places.working

    def tick(self, idle: float) -> bool:
        """Move a hanging process to a hanging place; return False once the pool is closed."""
        places = self._places
        if (
            idle >= HANGS_S
            and self._held is places.working
            and places.hanging.acquire(blocking=False)
        ):
            places.working.release()
            self._held = places.hanging
        return not places.closed

    def leave(self) -> None:
        self._held.release()


_current: ContextVar[ProcessPool | None] = ContextVar("places", default=None)
