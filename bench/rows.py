"""Define a measurement with its peer, and the table of all measurements."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """The values of this project and of the peer in the same unit.

    The quotient ours / peer is at most ``limit``. With ``faster``, peer / ours is at least
    ``limit``. A row reports a missed ``aim``, which does not change the exit code.
    """

    what: str
    ours: float
    peer_title: str
    peer: float
    limit: float
    faster: bool = False
    unit: str = "s"
    aim: float | None = None

    @property
    def ratio(self) -> float:
        return self.peer / self.ours if self.faster else self.ours / self.peer

    @property
    def ok(self) -> bool:
        return self._keeps(self.limit)

    def __str__(self) -> str:
        relation = ">=" if self.faster else "<="
        verdict = "ok" if self.ok else "MISSED"
        return (
            f"{self.what:<62} {self.ours:>8.3f} {self.unit:<2} {self.peer:>8.3f} {self.unit:<2}"
            f" {self.ratio:>7.2f} {relation} {self.limit:<5g} {verdict:<6}  peer: {self.peer_title}"
            f"{self._aim(relation)}"
        )

    def _keeps(self, limit: float) -> bool:
        return self.ratio >= limit if self.faster else self.ratio <= limit

    def _aim(self, relation: str) -> str:
        if self.aim is None:
            return ""
        verdict = "reached" if self._keeps(self.aim) else "not reached"
        return f"; aim {relation} {self.aim:g} {verdict}"


@dataclass(frozen=True)
class Figure:
    """A measurement without a peer and a limit."""

    what: str
    value: float
    unit: str = "s"
    ok: bool = True

    def __str__(self) -> str:
        return f"{self.what:<62} {self.value:>8.3f} {self.unit}"


Line = Row | Figure


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that the work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turns(rounds: int, *works: Callable[[], object]) -> list[float]:
    """Return the median seconds of each work.

    The works take turns, in reverse order every other round, so that the load of the machine
    affects all of them equally.
    """
    taken: list[list[float]] = [[] for _ in works]
    for turn in range(rounds):
        for number in list(range(len(works)))[:: -1 if turn % 2 else 1]:
            taken[number].append(timed(works[number]))
    return [statistics.median(found) for found in taken]


def median(work: Callable[[], object], times: int) -> float:
    """Return the median of the seconds that the work takes."""
    return in_turns(times, work)[0]


def table(lines: Iterable[Line]) -> str:
    """Return all lines as text, each row with its ratio and whether it keeps its limit."""
    return "\n".join(
        [f"{'what':<62} {'ours':>11} {'peer':>11} {'ratio':>7} {'limit':>8}", *map(str, lines)]
    )
