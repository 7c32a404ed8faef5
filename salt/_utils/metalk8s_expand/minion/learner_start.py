"""Follow the start of a learner, and restart one that waits for an answer that was lost.

A learner has no vote, so its restart costs no quorum. The kubelet restarts a container that ends
for the first time at once, which takes one second instead of seven.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from metalk8s_expand.clients.etcd.local_server import LocalServer
from metalk8s_expand.clients.host.clock import Clock

# Answers take milliseconds. One that is late is not lost.
LOST_AFTER_S = 0.25
# A start that takes longer has a problem, which the other members may know.
PATIENCE_S = 10.0


@dataclass
class LearnerStart:
    """The start of the local learner, which is restarted once at most.

    ``admit`` raises if this run may no longer change the host.
    """

    server: LocalServer
    clock: Clock
    admit: Callable[[], object]
    restarted: bool = False
    _starting_since: float | None = field(default=None, init=False)
    _lost_since: float | None = field(default=None, init=False)

    def is_starting(self) -> bool:
        """Return whether the member starts, so that a request to it would only wait.

        Restart the learner if it has waited in vain for a while.
        """
        start, now = self.server.start(), self.clock.monotonic()
        if not start.lost:
            self._lost_since = None
        elif self._lost_since is None:
            self._lost_since = now
        elif now - self._lost_since >= LOST_AFTER_S and not self.restarted:
            self.admit()
            self.restarted = self.server.end()
        if not start.starting:
            return False
        if self._starting_since is None:
            self._starting_since = now
        return now - self._starting_since < PATIENCE_S
