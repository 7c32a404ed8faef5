"""Write the journal of a run before each step starts and after it has ended.

Only the holder of the lock writes the journal. If the run cannot record the start of a step, the
step does not start, because a later run could not resume from it. If the run cannot record the end
of a step at once, it records the end with the start of the next step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from metalk8s_expand.clients.host.clock import Clock, Result, retry_on_conflict
from metalk8s_expand.clients.kubernetes.objects import Kube, store_config_map
from metalk8s_expand.domain.runs import journal_record as rules
from metalk8s_expand.domain.runs.journal_record import KEY, NAME, NAMESPACE, JournalRecord
from metalk8s_expand.domain.runs.lease_rules import LockLostError
from metalk8s_expand.errors import ConflictError, ExpandError, UnreachableError

log = logging.getLogger(__name__)

# API servers restart while the run adds control-plane nodes. The lock lasts longer than this.
PATIENCE_S = 20.0
PAUSE_S = 1.0


def read(kube: Kube) -> JournalRecord | None:
    """Return the journal of the active run or, if no run is active, of the last one."""
    return _parsed(kube.config_map(NAMESPACE, NAME))


@dataclass(frozen=True)
class NewRun:
    """The run that writes the journal: its ID, its command, its host and its fencing epoch."""

    run: str
    doing: str
    host: str
    epoch: int


class JournalWriter:
    """The journal of this run. Other processes may call ``read`` at any time."""

    def __init__(self, kube: Kube, new: NewRun, clock: Clock) -> None:
        self._kube = kube
        self._clock = clock
        self._stored = self._repeated(lambda: kube.config_map(NAMESPACE, NAME))
        record = JournalRecord(new.run, new.doing, new.host, new.epoch, clock.now())
        self.now = rules.next_record(_parsed(self._stored), record)

    def reset(self) -> None:
        """Record that no step of an earlier run is still running."""
        self.now = self.now.reset()
        self.keep()

    def step_started(self, node: str, step: str) -> None:
        """Record that a step of a node starts; the run calls this before the step.

        Raises LockLostError or UnreachableError if the step must not start.
        """
        self.now = self.now.step_started(node, step, self._clock.now())
        self.keep()

    def job_started(self, node: str, job: str) -> None:
        """Record a Salt job of the node's step; the run calls this before it starts the job."""
        self.now = self.now.job_started(node, job)
        self.keep()

    def node_created(self, node: str) -> None:
        """Record that the run creates a Node; the run calls this before it creates the Node."""
        self.now = self.now.node_created(node)
        self.keep()

    def node_claimed(self, node: str) -> None:
        """Record that a kubelet claimed the Node or that it is deleted, with the next write."""
        self.now = self.now.node_claimed(node)

    def node_finished(self, node: str, failure: str = "") -> None:
        """Record that the work on a node has ended: successfully, or with this failure."""
        self.now = self.now.node_finished(node, failure)
        self.try_to_keep()

    def log_line(self, line: str) -> None:
        """Record a log line; the next write stores it."""
        self.now = self.now.log_line(line)

    def close(self, outcome: str) -> None:
        """Record the end and the outcome of the run."""
        self.now = self.now.closed(self._clock.now(), outcome)
        self.try_to_keep()

    def try_to_keep(self) -> None:
        """Write the journal, and log a warning if that fails."""
        try:
            self.keep()
        except ExpandError as error:
            log.warning("the journal of the run was not written: %s", error.message)

    def keep(self) -> None:
        """Write the journal.

        A write without a reply may have succeeded, so ``keep`` then reads who wrote last.
        """
        self._repeated(self._write)

    def _write(self) -> None:
        try:
            self._stored = store_config_map(
                self._kube, NAMESPACE, NAME, {KEY: rules.serialize(self.now)}, self._stored
            )
        except (ConflictError, UnreachableError):
            self._look()
            raise

    def _look(self) -> None:
        """Read the stored journal. Raises LockLostError if a newer run wrote it."""
        config_map = self._kube.config_map(NAMESPACE, NAME)
        record = _parsed(config_map)
        if record is not None and record.epoch > self.now.epoch:
            raise LockLostError(
                f"{record.title} is newer than this run, which stops before its next change",
                hint="follow it: salt-run metalk8s_expand.status follow=True",
            )
        self._stored = config_map

    def _repeated(self, attempt: Callable[[], Result]) -> Result:
        return retry_on_conflict(attempt, PATIENCE_S, lambda: PAUSE_S, self._clock)


def _parsed(config_map: Any) -> JournalRecord | None:
    return rules.parse(((config_map or {}).get("data") or {}).get(KEY, ""))
