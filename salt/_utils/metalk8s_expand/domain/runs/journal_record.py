"""The journal: the steps that a run has started, and its progress.

``status`` shows a run from it, and after a crash the next run resumes from it.
The journal is a ConfigMap in kube-system, where no kubelet may write. It does not record finished
work, because each run observes that again. It records what a run cannot observe: the jobs that may
still run, and the Nodes that no kubelet uses yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from metalk8s_expand.errors import visible_tree

NAMESPACE = "kube-system"
NAME = "metalk8s-expand-run"
KEY = "run"
# A ConfigMap holds a megabyte, and a process that follows a run reads the journal every second.
KEPT_LINES = 200

Object = Mapping[str, Any]


@dataclass(frozen=True)
class StepInProgress:
    """A started step of a node; ``job`` is its Salt job, ``since`` its start in epoch seconds."""

    step: str
    since: float
    job: str = ""


@dataclass(frozen=True)
class JournalRecord:
    """The state of one run.

    ``nodes`` holds the step in progress on each node. After the end of the run, it holds the steps
    that may still be running. ``created`` are the Nodes that this run, or an earlier run that it
    resumes, created and that no kubelet has claimed yet. ``ended`` is None while the run is active
    or after it was killed. ``lines`` are the newest log lines, ``told`` is the number of all log
    lines. Times are in seconds since the epoch.
    """

    run: str
    doing: str
    host: str
    epoch: int
    started: float
    ended: float | None = None
    outcome: str = ""
    nodes: Mapping[str, StepInProgress] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    created: tuple[str, ...] = ()
    finished: int = 0
    lines: tuple[str, ...] = ()
    told: int = 0

    @property
    def jobs(self) -> set[str]:
        """The IDs of the Salt jobs that may still run."""
        return {doing.job for doing in self.nodes.values() if doing.job}

    @property
    def title(self) -> str:
        """The name of the run in messages."""
        return f"the run {self.run} ({self.doing}, on {self.host})"

    def step_started(self, node: str, step: str, now: float) -> JournalRecord:
        """Record that a step of a node starts."""
        return replace(self, nodes={**self.nodes, node: StepInProgress(step, now)})

    def job_started(self, node: str, job: str) -> JournalRecord:
        """Record the Salt job that executes the step of a node."""
        return replace(self, nodes={**self.nodes, node: replace(self.nodes[node], job=job)})

    def node_created(self, node: str) -> JournalRecord:
        """Record that the run created a Node."""
        return replace(self, created=tuple(sorted({*self.created, node})))

    def node_claimed(self, node: str) -> JournalRecord:
        """Record that a kubelet claimed a Node or that it is deleted, so no cleanup is needed."""
        return replace(self, created=tuple(name for name in self.created if name != node))

    def reset(self) -> JournalRecord:
        """Record that no step of an earlier run is still running."""
        return replace(self, nodes={})

    def node_finished(self, node: str, failure: str = "") -> JournalRecord:
        """Record that the work on a node has ended: successfully, or with this failure."""
        nodes = {name: doing for name, doing in self.nodes.items() if name != node}
        if failure:
            return replace(self, nodes=nodes, failed={**self.failed, node: failure})
        return replace(self, nodes=nodes, finished=self.finished + 1)

    def log_line(self, line: str) -> JournalRecord:
        """Record a log line."""
        return replace(self, lines=(*self.lines, line)[-KEPT_LINES:], told=self.told + 1)

    def closed(self, now: float, outcome: str) -> JournalRecord:
        """Record the end and the outcome of the run."""
        return replace(self, ended=now, outcome=outcome)

    def since(self, told: int) -> tuple[str, ...]:
        """Return the lines after the first ``told`` ones, if they are still kept."""
        new = self.told - told
        return self.lines[-new:] if new > 0 else ()

    def as_dict(self) -> dict[str, Any]:
        """Return the record as a JSON-ready mapping."""
        return {**asdict(self), "lines": list(self.lines), "created": list(self.created)}


def serialize(journal: JournalRecord) -> str:
    """Return the record as it is stored in the ConfigMap."""
    return json.dumps(journal.as_dict(), separators=(",", ":"), sort_keys=True)


def parse(stored: str) -> JournalRecord | None:
    """Return the record from its stored text, or None if the text is not a valid record."""
    try:
        fields = visible_tree(json.loads(stored))
        nodes = {str(name): StepInProgress(**doing) for name, doing in fields.pop("nodes").items()}
        created = tuple(map(str, fields.pop("created")))
        lines = tuple(map(str, fields.pop("lines")))
        return JournalRecord(**fields, nodes=nodes, created=created, lines=lines)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def next_record(before: JournalRecord | None, new: JournalRecord) -> JournalRecord:
    """Return the record of a new run.

    It keeps the steps and Nodes that an earlier run left behind, so that they are not lost.
    """
    if before is None:
        return new
    return replace(new, nodes=before.nodes, created=before.created)
