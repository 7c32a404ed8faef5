"""One measurement beside its peer, and the table of all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """Ours and the peer's figure in one unit; ``limit`` holds for ours / peer, or for peer / ours when ``faster``."""

    what: str
    ours: float
    peer_title: str
    peer: float
    limit: float
    faster: bool = False
    unit: str = "s"

    @property
    def ratio(self) -> float:
        return self.peer / self.ours if self.faster else self.ours / self.peer

    @property
    def ok(self) -> bool:
        return self.ratio >= self.limit if self.faster else self.ratio <= self.limit


def median(work: Callable[[], object], times: int) -> float:
    """The median of the seconds that the work takes."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def table(rows: Iterable[Row]) -> str:
    """The rows as text, each with its ratio and whether it keeps its limit."""
    lines = [f"{'what':<58} {'ours':>10} {'peer':>10} {'ratio':>7} {'limit':>9}"]
    for row in rows:
        relation = ">=" if row.faster else "<="
        verdict = "ok" if row.ok else "MISSED"
        lines.append(
            f"{row.what:<58} {row.ours:>8.3f} {row.unit:<1} {row.peer:>8.3f} {row.unit:<1} {row.ratio:>7.2f} "
            f"{relation} {row.limit:<6g} {verdict}   peer: {row.peer_title}"
        )
    return "\n".join(lines)
