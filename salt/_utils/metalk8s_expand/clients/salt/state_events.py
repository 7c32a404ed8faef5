"""The states of running orchestrations as they begin, from the master's event bus.

These events are for the display alone: the job's return decides. So no step of a run waits for an
event, or fails without it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.salt.orchestration_result import begun_state

log = logging.getLogger(__name__)

# Salt sends this event when a state of an orchestration starts its job.
PREFIX, SUFFIX = "salt/run/", "args"
PACE_S = 0.2
# A busy master sends many events. The rest is read at the next look.
MOST_EVENTS = 500
# The time for one event. Without any, Salt would return before it has read what is there.
WAIT_S = 0.02


class StateEvents:
    """A reader of the master's event bus, which must be closed before a fork.

    A process that is forked would share the connection.
    """

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = dict(opts)
        self._bus: Any = None
        self._works = True
        self._looked = float("-inf")
        self._begun: dict[str, list[str]] = {}

    def expect(self, jid: str) -> None:
        """Keep the states of this job, which is about to start."""
        self._begun.setdefault(jid, [])

    def begun(self, jid: str) -> list[str]:
        """Return the states that have begun in a job since the last call. Never raises."""
        if self._works and time.monotonic() - self._looked >= PACE_S:
            self._looked = time.monotonic()
            try:
                self._read()
            # Salt's event library raises many exceptions, and none is a reason to stop a run.
            except Exception as exc:
                self._works = False
                log.warning("no events of states: %s: %s", type(exc).__name__, exc)
                self.close()
        names = self._begun.get(jid)
        if not names:
            return []
        self._begun[jid] = []
        return names

    def forget(self, jid: str) -> None:
        """Keep no further states of a job; close the connection after the last job."""
        self._begun.pop(jid, None)
        if not self._begun:
            self.close()

    def close(self) -> None:
        """Close the connection until the next look."""
        bus, self._bus = self._bus, None
        if bus is not None:
            try:
                bus.destroy()
            except Exception as exc:
                log.warning("the event bus was not closed: %s: %s", type(exc).__name__, exc)

    def _read(self) -> None:
        if self._bus is None:
            import salt.utils.event

            self._bus = salt.utils.event.get_master_event(
                self._opts, self._opts["sock_dir"], listen=True
            )
        for _ in range(MOST_EVENTS):
            event = self._bus.get_event(wait=WAIT_S, tag=PREFIX, full=True)
            if event is None:
                return
            jid, _, rest = str(event["tag"]).removeprefix(PREFIX).partition("/")
            name = begun_state(event.get("data")) if rest == SUFFIX else ""
            if name and jid in self._begun:
                self._begun[jid].append(name)
