"""What happens, told while it happens: on stderr, so that stdout stays one document."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.runs import events
from metalk8s_expand.domain.runs.events import Event


class Progress:
    """Tells somebody in a terminal, and nobody when a job or a program asked."""

    def __init__(self, opts: Mapping[str, Any], clock: Clock) -> None:
        self._heard = opts.get("__cli") == "salt-run"
        self._clock = clock
        self.started = clock.now()
        # Who else is told, without the terminal.
        self.listener: Callable[[str], None] = lambda line: None
        # Where events go, while the run holds the lock; what is only looked at is told to nobody.
        self.bus: Callable[[str, Mapping[str, Any]], object] = lambda tag, payload: None

    def __call__(self, node: str, step: str, what: str) -> None:
        """One line: seconds since the start, node (or the whole cluster), step, what becomes of it."""
        self.line(f"[{self.elapsed():6.1f} s] {node or 'cluster':<16} {step}: {what}")

    def event(self, event: Event) -> None:
        """Tell programs that follow the run."""
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
        """Tell them of a step of a node; see ``events.step``."""
        self.event(events.step(self.run, node, step, state, elapsed, job, error))

    def line(self, text: str) -> None:
        """One line as it is."""
        self.listener(text)
        # A terminal may be gone; what is done goes on.
        with suppress(OSError):
            if self._heard:
                print(text, file=sys.stderr, flush=True)

    @property
    def run(self) -> str:
        """The ID of the run: the second it began in, UTC."""
        return time.strftime("%Y%m%d%H%M%S", time.gmtime(self.started))

    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock.now() - self.started
