"""The journal of a run in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from metalk8s_expand.runs.journal import JournalWriter, NewRun
from tests.fakes.kube import FakeKube


@dataclass
class FakeJournal:
    """A journal that keeps its records in order; ``fail`` may raise to refuse a step."""

    written: list[tuple[str, ...]] = field(default_factory=list)
    fail: Callable[[str, str], None] = lambda node, step: None

    def step_started(self, node: str, step: str) -> None:
        self.fail(node, step)
        self.written.append(("step_started", node, step))

    def job_started(self, node: str, job: str) -> None:
        self.written.append(("job_started", node, job))

    def node_created(self, node: str) -> None:
        self.written.append(("node_created", node))

    def node_claimed(self, node: str) -> None:
        self.written.append(("node_claimed", node))

    def node_finished(self, node: str, failure: str = "") -> None:
        self.written.append(("node_finished", node, failure))


def writer(kube: FakeKube, epoch: int = 7, run: str = "r1") -> JournalWriter:
    """Return the real journal of a run on a fake API server."""
    return JournalWriter(kube, NewRun(run, "expand", "boot", epoch), kube.clock)
