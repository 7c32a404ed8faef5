"""Hold what every step of the active run uses: cluster, lock, journal and output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.errors import StoppedError
from metalk8s_expand.runs.journal import JournalWriter
from metalk8s_expand.runs.lock import Lock
from metalk8s_expand.runs.progress import Progress

LOGS = (
    "on the master: /var/log/salt/master; on the node: /var/log/salt/minion, journalctl --unit"
    " kubelet, /var/log/pods"
)


@dataclass(frozen=True)
class RunContext:
    """The active run. It holds the lock until the run ends.

    ``stop_requested`` returns the source of a stop request, or an empty string. ``exit_code`` has
    the key ``retcode`` when the run has its result, for the processes that follow the run.
    """

    cluster: ClusterContext
    clock: Clock
    progress: Progress
    lock: Lock
    journal: JournalWriter
    stop_requested: Callable[[], str]
    exit_code: dict[str, int] = field(default_factory=dict)

    def ensure_not_stopped(self) -> None:
        """Renew the lock between steps. Raise StoppedError if a stop was requested."""
        self.lock.tick()
        requested_by = self.stop_requested()
        if requested_by:
            raise StoppedError(
                f"the run was stopped between two steps ({requested_by})",
                hint="run the same command again to continue",
            )
