"""Print the progress of a run to stderr, so that stdout stays one document."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.runs import events
from metalk8s_expand.domain.runs.events import Event, NodeStep
from metalk8s_expand.errors import visible


class Progress:
    """The progress of a run.

    It prints lines only for an operator in a terminal, not if a job or a program started the run.
    """

    def __init__(self, opts: Mapping[str, Any], clock: Clock) -> None:
        self._heard = opts.get("__cli") == "salt-run"
        self._clock = clock
        self.started = clock.now()
        # Receives each line even without a terminal.
        self.listener: Callable[[str], None] = lambda line: None
        # Receives events while the run holds the lock. A command that only reads sends no events.
        self.bus: Callable[[str, Mapping[str, Any]], object] = lambda tag, payload: None

    def __call__(self, node: str, step: str, what: str) -> None:
        """Print one line: seconds since the start, node or ``cluster``, step and its result."""
        self.line(f"[{self.elapsed():6.1f} s] {node or 'cluster':<16} {step}: {what}")

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
        self.event(events.step(NodeStep(self.run, node, step), state, elapsed, job, error))

    def line(self, text: str) -> None:
        """Print one line, with its control characters as escapes."""
        text = visible(text)
        self.listener(text)
        # The run continues if the terminal is closed.
        with suppress(OSError):
            if self._heard:
                print(text, file=sys.stderr, flush=True)

    @property
    def run(self) -> str:
        """The ID of the run: the UTC time of its start, to the second."""
        return time.strftime("%Y%m%d%H%M%S", time.gmtime(self.started))

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return self._clock.now() - self.started
