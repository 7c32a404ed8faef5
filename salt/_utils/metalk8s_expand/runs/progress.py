"""Print the progress of a run to stderr, so that stdout stays one document.

On a terminal a run has lines that are rewritten (``live_display``). Elsewhere each step is a line.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.salt import terminal_log
from metalk8s_expand.domain.runs import events
from metalk8s_expand.domain.runs.events import Event, NodeStep
from metalk8s_expand.domain.runs.journal_record import JournalRecord
from metalk8s_expand.errors import visible
from metalk8s_expand.runs.live_display import Expected, LiveDisplay, open_display

CLUSTER = "cluster"
# A line of ``Progress`` in the journal of a run that another process follows.
_LINE = re.compile(r"\[ *[\d.]+ s\] (?P<node>\S+) +(?P<step>[^\s:]+): (?P<what>.*)")
# The display shows the step and its seconds by itself.
_STEP_BOUNDS = re.compile(r"started$|done in |FAILED after ")


class Progress:
    """The progress of a run.

    It prints lines only for an operator in a terminal, not if a job or a program started the run.
    """

    def __init__(self, opts: Mapping[str, Any], clock: Clock) -> None:
        self._heard = terminal_log.is_terminal(opts)
        self._clock = clock
        self.started = clock.now()
        # Receives each line even without a terminal.
        self.listener: Callable[[str], None] = lambda line: None
        # Receives events while the run holds the lock. A command that only reads sends no events.
        self.bus: Callable[[str, Mapping[str, Any]], object] = lambda tag, payload: None
        self._display: LiveDisplay | None = None
        self._record: Callable[[], JournalRecord | None] = lambda: None

    def __call__(self, node: str, step: str, what: str) -> None:
        """Print one line: seconds since the start, node or ``cluster``, step and its result."""
        text = visible(f"[{self.elapsed():6.1f} s] {node or CLUSTER:<16} {step}: {what}")
        if self._display is None or not node:
            self.line(text)
            return
        self.listener(text)
        if not _STEP_BOUNDS.match(what):
            self._display.note(node, what)
        self.tick()

    def restart(self) -> None:
        """Let the run start now. Nothing was printed for it and no event was sent yet."""
        self.started = self._clock.now()

    def event(self, event: Event) -> None:
        """Send an event to the programs that follow the run."""
        self.bus(*event)

    def step(
        self,
        node: str,
        step: str,
        state: str,
        elapsed: float = 0.0,
        job: str | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Send the event of a step of a node; see ``events.step``."""
        if self._display is not None:
            if state == events.STARTED and not job:
                self._display.step_started(node, step, self._clock.now())
            elif state != events.STARTED:
                self._display.step_ended(node)
            self.tick()
        self.event(events.step(NodeStep(self.run, node, step), state, elapsed, job, error))

    def line(self, text: str) -> None:
        """Print one line, with its control characters as escapes."""
        text = visible(text)
        self.listener(text)
        # The run continues if the terminal is closed.
        with suppress(OSError):
            if self._heard:
                if self._display is not None:
                    self._display.make_room()
                print(text, file=sys.stderr, flush=True)

    def show(self, record: Callable[[], JournalRecord | None]) -> None:
        """Show this run in lines that are rewritten, if this process has such a terminal."""
        self._record = record
        if self._heard and self._display is None:
            self._display = open_display()

    def expect(self, expected: Callable[[], Expected]) -> None:
        """Show the number of nodes, and an estimate of the seconds that are left.

        ``expected`` reads earlier reports, so it is called only if there is a display.
        """
        if self._display is not None:
            self._display.expected = expected()

    def tick(self) -> None:
        """Rewrite the lines of the run. The clock calls it while the run sleeps."""
        record = self._record() if self._display is not None else None
        if self._display is not None and record is not None:
            self._display.draw(record, self._clock.now())

    def close(self) -> None:
        """Draw the last lines, which stay on the terminal."""
        display, record = self._display, self._record()
        self._display = None
        if display is not None:
            if record is not None:
                display.draw(record, self._clock.now(), at_once=True)
            display.close()

    def follow_line(self, text: str) -> None:
        """Print a line of another process's run, or show it at its node."""
        match = _LINE.fullmatch(text)
        if self._display is None or match is None or match["node"] == CLUSTER:
            self.line(text)
        elif _STEP_BOUNDS.match(match["what"]):
            self._display.note(match["node"], "")
        else:
            self._display.note(match["node"], match["what"])

    @property
    def run(self) -> str:
        """The ID of the run: the UTC time of its start, to the second."""
        return time.strftime("%Y%m%d%H%M%S", time.gmtime(self.started))

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return self._clock.now() - self.started
