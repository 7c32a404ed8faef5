"""The same work on many hosts at a time, where hosts that do not answer take nothing from those that do.

A thread per host waits; what is bounded is the number of processes, as each takes some megabytes and much of a CPU.

* ``max_parallel`` processes work at a time. A host gets its place when its process starts and gives it back with its end.
* A host that does not even show SSH's banner within two seconds has no process any more: its port is watched through a
  socket (``network.look``) by a thread that holds no place. When the banner comes, the host asks for a place again.
* A process that has not computed for some seconds hangs (the home directory, PAM, the command), and steps aside: of
  such there are ``max_parallel`` at most, beside those that work. When there are more, the next ones keep their places.

So silent hosts cost two seconds of a place each, whatever their deadline, and there are never more than twice
``max_parallel`` processes. The clock of a host stands still while it waits for a place, see ``Allowance``.
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

# Threads that wait: more silent hosts than these make others wait as well.
WATCHED = 512
HANGS_S = 3.0


class Named(Protocol):
    """Whatever has a name to tell its result by."""

    @property
    def name(self) -> str: ...


Host = TypeVar("Host", bound=Named)
Result = TypeVar("Result")


def on_all(
    targets: Iterable[Host], work: Callable[[Host], Result], max_parallel: int = 32
) -> dict[str, Result | UnreachableError]:
    """Do the same on many hosts at a time; the result or the reason why a host could not be reached, by name.

    What the work runs through ``run`` is counted: at most ``max_parallel`` processes work, and as many hang. Any other
    exception ends the whole.
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
    """The seconds that one host has. Only what it does itself is spent, not its waiting for a place."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    @contextmanager
    def spent(self) -> Iterator[None]:
        """Whatever is done inside counts."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.left = max(0.0, self.left - (time.monotonic() - started))

    def at_least(self, seconds: float) -> None:
        """For the diagnosis of a host that has used up its time."""
        self.left = max(self.left, seconds)


def run(arguments: Sequence[str], allowance: Allowance, stdin: str = "") -> process.ProcessResult:
    """Run a program within a host's allowance, at a place of its own when there are many hosts."""
    places = _current.get()
    if places is None:
        with allowance.spent():
            return process.run(arguments, stdin, allowance.left)
    with places.taken() as place, allowance.spent():
        return process.run(arguments, stdin, allowance.left, place.tick)


class ProcessPool:
    """Where processes work, and where those go that hang."""

    def __init__(self, max_parallel: int) -> None:
        self.working = Semaphore(max_parallel)
        self.hanging = Semaphore(max_parallel)
        self._closed = Event()

    @contextmanager
    def taken(self) -> Iterator[_Place]:
        """Wait for a place and have it for a while."""
        self.working.acquire()
        place = _Place(self)
        try:
            self.refuse_when_closed()
            yield place
        finally:
            place.leave()

    def close(self) -> None:
        """Nothing starts any more, and what runs ends within a second or so."""
        self._closed.set()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def refuse_when_closed(self) -> None:
        if self.closed:
            raise UnreachableError("was not asked: the work on all hosts was ended")


class _Place:
    def __init__(self, places: ProcessPool) -> None:
        self._places = places
        self._held = places.working

    def tick(self, idle: float) -> bool:
        """Step aside when the process hangs; go on unless all is ended."""
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
