"""The master's event bus, for consumers that follow a run.

Listeners are optional, so no step of a run fails when the bus does not work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)

TIMEOUT_MS = 1000
# After a failed event the bus gets no events for this time: otherwise a run would wait a second
# at each step.
REST_S = 30.0


class Bus:
    """The event bus of this master."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = dict(opts)
        self._rests_until = 0.0

    def fire(self, tag: str, payload: Mapping[str, Any]) -> bool:
        """Send an event and return whether the bus accepted it. Never raises."""
        if time.monotonic() < self._rests_until:
            return False
        try:
            taken = self._fired(tag, dict(payload))
        # Salt's event library raises many exceptions, and none of them is a reason to stop a run.
        except Exception as exc:
            log.warning("the event %s was not sent: %s: %s", tag, type(exc).__name__, exc)
            taken = False
        if not taken:
            self._rests_until = time.monotonic() + REST_S
        return taken

    def _fired(self, tag: str, payload: dict[str, Any]) -> bool:
        """Connect for each event: a run may last longer than the master process."""
        import salt.utils.event

        with salt.utils.event.get_master_event(
            self._opts, self._opts["sock_dir"], listen=False
        ) as event:
            return bool(event.fire_event(payload, tag, timeout=TIMEOUT_MS))
