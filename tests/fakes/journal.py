"""The journal of a run and its ConfigMap in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from metalk8s_expand.errors import UnreachableError
from metalk8s_expand.runs.journal import JournalWriter, NewRun
from tests.fakes.clock import FakeClock
from tests.fakes.config_map import FakeConfigMap

DOWN = UnreachableError("the API does not answer")


class FakeKube(FakeConfigMap):
    """One ConfigMap. ``after`` runs after each stored write and may raise, which loses the reply.

    Every request fails before the time ``down_until``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.down_until = 0.0
        self.after: Callable[[], None] = lambda: None
        self.clock = FakeClock()

    def _answer(self) -> None:
        if self.clock.time < self.down_until:
            raise DOWN

    def _written(self) -> None:
        self.after()


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
    return JournalWriter(kube, NewRun(run, "expand", "boot", epoch), kube.clock)  # type: ignore[arg-type]
