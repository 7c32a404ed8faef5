"""Hold what every step of the active run uses: cluster, lock, journal and output."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.cluster import etcd_snapshot
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.reports.run import StepResult
from metalk8s_expand.domain.runs import events
from metalk8s_expand.errors import INTERNAL_HINT, ExpandError, StoppedError
from metalk8s_expand.runs.journal import JournalWriter
from metalk8s_expand.runs.lock import Lock
from metalk8s_expand.runs.progress import Progress

log = logging.getLogger(__name__)

MASTER_LOG = "/var/log/salt/master on the master"


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

    @contextmanager
    def step(
        self,
        node: str,
        step: str,
        record: Callable[[StepResult], object],
        job: Callable[[], str | None] = lambda: None,
    ) -> Iterator[list[str]]:
        """Record, show and publish the beginning and the end of a step of a node.

        The block may append details of its result to the yielded list. ``job`` returns the Salt job
        of the step, if it has one by now.
        """
        started = self.clock.now()
        details: list[str] = []
        self.progress(node, step, "started")
        self.progress.step(node, step, events.STARTED)
        try:
            yield details
        except Exception as error:
            elapsed = self.clock.now() - started
            record(StepResult(step, started, elapsed, False))
            self.progress(node, step, f"FAILED after {elapsed:.1f} s")
            self.progress.step(node, step, events.FAILED, elapsed, job(), error)
            raise
        elapsed = self.clock.now() - started
        detail = "; ".join(details)
        record(StepResult(step, started, elapsed, True, detail))
        self.progress(node, step, f"done in {elapsed:.1f} s{f': {detail}' if detail else ''}")
        self.progress.step(node, step, events.DONE, elapsed, job())

    def save_etcd(self, settings: Settings) -> dict[str, Any] | None:
        """Take an etcd snapshot while a thread renews the lock; return its data for the report."""
        with self.lock.renewing(settings.etcd_snapshot.timeout_s + etcd_snapshot.COPY_S):
            return etcd_snapshot.take_etcd_snapshot(
                self.cluster, settings, self.progress.run, self.clock, self.progress
            )


def failure_of(node: str, error: Exception) -> ExpandError:
    """Return the error of a node's step for the report. Log one that no code expects.

    Call it inside of the ``except`` block, whose traceback the log gets.
    """
    if not isinstance(error, ExpandError):
        log.exception("node %s: unexpected %s", node, type(error).__name__)
        error = ExpandError(f"unexpected {type(error).__name__}: {error}", hint=INTERNAL_HINT)
    error.node = error.node or node
    # The command shows the logs that an operator would otherwise look for on the node.
    command = f"salt-run metalk8s_expand.logs {shlex.quote(node)}"
    error.log = f"{command}; {error.log or MASTER_LOG}"
    return error
