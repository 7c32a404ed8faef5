"""The master's event bus, for those who follow a run. Nobody has to listen, so nothing of a run fails when it is away."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)

TIMEOUT_MS = 1000
# A bus that does not take an event is left alone for so long: a run shall not wait a second at each step.
REST_S = 30.0


class Bus:
    """Where events of this master go."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = dict(opts)
        self._rests_until = 0.0

    def fire(self, tag: str, payload: Mapping[str, Any]) -> bool:
        """Whether the bus has taken the event. Never raises."""
        if time.monotonic() < self._rests_until:
            return False
        try:
            taken = self._fired(tag, dict(payload))
        # Its library has many ways to fail, and none of them is a reason to stop a run.
        except Exception as exc:
            log.warning("the event %s was not fired: %s: %s", tag, type(exc).__name__, exc)
            taken = False
        if not taken:
            self._rests_until = time.monotonic() + REST_S
        return taken

    def _fired(self, tag: str, payload: dict[str, Any]) -> bool:
        """Connected for each: a run may last longer than its master."""
        import salt.utils.event

        with salt.utils.event.get_master_event(
            self._opts, self._opts["sock_dir"], listen=False
        ) as event:
            return bool(event.fire_event(payload, tag, timeout=TIMEOUT_MS))
