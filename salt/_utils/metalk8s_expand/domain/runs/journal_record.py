"""What a run has begun and how far it got: others follow it by this, and the next run goes on from it after a crash.

It is kept in a ConfigMap of kube-system, where no kubelet may write. What is done is not kept here: that is observed
anew, always. Kept is what cannot be observed, the jobs that may still run and the Nodes that exist for nothing yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

NAMESPACE = "kube-system"
NAME = "metalk8s-expand-run"
KEY = "run"
# A ConfigMap holds a megabyte; who follows a run asks every second.
KEPT_LINES = 200

Object = Mapping[str, Any]


@dataclass(frozen=True)
class StepInProgress:
    """A step of a node that has begun; ``job`` is its Salt job, ``since`` seconds since the epoch."""

    step: str
    since: float
    job: str = ""


@dataclass(frozen=True)
class JournalRecord:
    """One run. ``created`` are the Nodes that it, or one that it goes on from, made and that no kubelet has taken yet.

    ``nodes`` are those on which a step has begun; after the end, those on which something may still go on. ``ended`` is None
    while the run goes on, or when it was killed. ``lines`` are the newest that it told, ``told`` how many there
    were in all.
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
        """The Salt jobs that may still run."""
        return {doing.job for doing in self.nodes.values() if doing.job}

    @property
    def title(self) -> str:
        """How a message names the run."""
        return f"the run {self.run} ({self.doing}, on {self.host})"

    def began(self, node: str, step: str, now: float) -> JournalRecord:
        """A step of a node begins."""
        return replace(self, nodes={**self.nodes, node: StepInProgress(step, now)})

    def at(self, node: str, job: str) -> JournalRecord:
        """The step of a node is done by this Salt job."""
        return replace(self, nodes={**self.nodes, node: replace(self.nodes[node], job=job)})

    def made(self, node: str) -> JournalRecord:
        """A Node was created."""
        return replace(self, created=tuple(sorted({*self.created, node})))

    def taken(self, node: str) -> JournalRecord:
        """A Node is a kubelet's, or is gone: there is nothing to clear away any more."""
        return replace(self, created=tuple(name for name in self.created if name != node))

    def fresh(self) -> JournalRecord:
        """Nothing of an earlier run is going on any more."""
        return replace(self, nodes={})

    def left(self, node: str, failure: str = "") -> JournalRecord:
        """Nothing more is done on a node, since it is finished or because of this failure."""
        nodes = {name: doing for name, doing in self.nodes.items() if name != node}
        if failure:
            return replace(self, nodes=nodes, failed={**self.failed, node: failure})
        return replace(self, nodes=nodes, finished=self.finished + 1)

    def said(self, line: str) -> JournalRecord:
        """One more line was told."""
        return replace(self, lines=(*self.lines, line)[-KEPT_LINES:], told=self.told + 1)

    def closed(self, now: float, outcome: str) -> JournalRecord:
        """The run has ended."""
        return replace(self, ended=now, outcome=outcome)

    def since(self, told: int) -> tuple[str, ...]:
        """The lines after so many, as far as they are kept."""
        new = self.told - told
        return self.lines[-new:] if new > 0 else ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "lines": list(self.lines), "created": list(self.created)}


def serialize(journal: JournalRecord) -> str:
    """As it is stored."""
    return json.dumps(journal.as_dict(), separators=(",", ":"), sort_keys=True)


def parse(stored: str) -> JournalRecord | None:
    """The other way round; None for what no version of ours has written."""
    try:
        fields = json.loads(stored)
        nodes = {str(name): StepInProgress(**doing) for name, doing in fields.pop("nodes").items()}
        lists = {key: tuple(map(str, fields.pop(key))) for key in ("created", "lines")}
        return JournalRecord(**fields, nodes=nodes, created=lists["created"], lines=lists["lines"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def next_record(
    before: JournalRecord | None, run: str, doing: str, host: str, epoch: int, now: float
) -> JournalRecord:
    """The journal of a run that begins; what an earlier one has left behind is taken over, so that it is not forgotten."""
    if before is None:
        return JournalRecord(run, doing, host, epoch, now)
    return JournalRecord(run, doing, host, epoch, now, nodes=before.nodes, created=before.created)
