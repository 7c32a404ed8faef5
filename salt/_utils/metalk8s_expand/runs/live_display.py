"""Show a run on a terminal in lines that are rewritten: active nodes, finished nodes, the count.

The display has no thread, because Salt forks to start a job. The clock of the run calls it while
the run sleeps between two looks.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from metalk8s_expand.clients.host.terminal import TerminalBlock, can_rewrite, has_color
from metalk8s_expand.domain.runs.journal_record import JournalRecord
from metalk8s_expand.domain.runs.live_view import (
    SMALLEST_HEIGHT,
    SMALLEST_WIDTH,
    ActiveNode,
    FinishedNode,
    LiveView,
    render_live_view,
    seconds_left,
)
from metalk8s_expand.errors import visible

# Seconds between two pictures: an operator reads no faster, and a run has other work.
PACE_S = 0.2


@dataclass(frozen=True)
class Expected:
    """What a run is going to do: the steps by node, in order, and the usual seconds of each step.

    ``serial`` are the nodes that run one after another, ``parallel`` others run at a time, beside
    them or with ``serial_first`` after them.
    """

    steps: Mapping[str, Sequence[str]] = field(default_factory=dict)
    serial: Sequence[str] = ()
    parallel: int = 1
    medians: Mapping[str, float] = field(default_factory=dict)
    serial_first: bool = False

    def seconds_left(
        self, remaining: Mapping[str, Sequence[str]], spent: Mapping[str, float]
    ) -> float | None:
        """Return the estimated seconds until these nodes are done, as ``live_view`` does."""
        groups: tuple[dict[str, Sequence[str]], dict[str, Sequence[str]]] = ({}, {})
        for name, steps in remaining.items():
            groups[self.serial_first and name not in self.serial][name] = steps
        total = 0.0
        for group in groups:
            left = seconds_left(group, self.serial, self.parallel, self.medians, spent)
            if left is None:
                return None
            total += left
        return total


def open_display() -> LiveDisplay | None:
    """Return a display on the terminal of this process, or None if lines cannot be rewritten."""
    if not can_rewrite(sys.stderr, os.environ):
        return None
    block = TerminalBlock(sys.stderr)
    if block.size.columns < SMALLEST_WIDTH or block.size.lines < SMALLEST_HEIGHT:
        return None
    return LiveDisplay(block, has_color(os.environ))


class LiveDisplay:
    """The picture of one run. Only the thread that opened it draws."""

    def __init__(self, block: TerminalBlock, color: bool) -> None:
        self.expected = Expected()
        self._block = block
        self._color = color
        self._thread = threading.get_ident()
        self._process = os.getpid()
        self._drawn_at = float("-inf")
        self._details: dict[str, str] = {}
        # Steps of nodes before the journal has them: the host checks.
        self._checks: dict[str, tuple[str, float]] = {}
        self._first_seen: dict[str, float] = {}
        self._ended: dict[str, FinishedNode] = {}

    def note(self, node: str, what: str) -> None:
        """Remember what the step of a node reported last."""
        self._details[node] = visible(what)

    def step_started(self, node: str, step: str, now: float) -> None:
        """Show a step of a node."""
        self._details.pop(node, None)
        self._checks[node] = (step, now)

    def step_ended(self, node: str) -> None:
        """Show a step no longer, unless the journal has it."""
        self._checks.pop(node, None)

    def draw(self, record: JournalRecord, now: float, at_once: bool = False) -> None:
        """Rewrite the lines for this record; ``now`` is in seconds since the epoch."""
        if threading.get_ident() != self._thread or os.getpid() != self._process:
            return
        if not at_once and abs(now - self._drawn_at) < PACE_S:
            return
        self._drawn_at = now
        self._observe(record, now)
        size = self._block.size
        view = self._view(record, now)
        self._block.draw(render_live_view(view, size.columns, size.lines, self._color))

    def make_room(self) -> None:
        """Remove the lines, so that a line can follow that stays."""
        self._block.erase()

    def close(self) -> None:
        """Leave the last picture on the terminal, and draw no longer."""
        self._block.leave()

    def _observe(self, record: JournalRecord, now: float) -> None:
        """Record which nodes have ended since the last picture."""
        done = record.finished
        for item in self._ended.values():
            done -= not item.failure
        for name, step in record.nodes.items():
            self._first_seen.setdefault(name, step.since)
        for name, since in list(self._first_seen.items()):
            if name in record.nodes:
                continue
            del self._first_seen[name]
            self._checks.pop(name, None)
            if name not in record.failed and done > 0:
                done -= 1
                self._ended[name] = FinishedNode(name, now - since)
        for name, reason in record.failed.items():
            self._ended[name] = FinishedNode(name, 0.0, visible(reason))

    def _view(self, record: JournalRecord, now: float) -> LiveView:
        active = []
        for name, step in record.nodes.items():
            detail = self._details.get(name, "")
            active.append(ActiveNode(name, step.step, max(0.0, now - step.since), detail))
        for name, (check, since) in self._checks.items():
            if name not in record.nodes:
                detail = self._details.get(name, "")
                active.append(ActiveNode(name, check, max(0.0, now - since), detail))
        return LiveView(
            active,
            list(self._ended.values()),
            record.finished + len(record.failed),
            len(record.failed),
            len(self.expected.steps),
            now - record.started,
            self._left(record, now),
        )

    def _left(self, record: JournalRecord, now: float) -> float | None:
        """Return the estimated seconds until the nodes are done, None without an estimate."""
        expected = self.expected
        remaining: dict[str, Sequence[str]] = {}
        spent: dict[str, float] = {}
        for name, steps in expected.steps.items():
            if name in self._ended:
                continue
            current = record.nodes.get(name)
            remaining[name] = steps
            if current is not None and current.step in steps:
                remaining[name] = steps[list(steps).index(current.step) :]
                spent[name] = now - current.since
        if not remaining:
            return None
        return expected.seconds_left(remaining, spent)
