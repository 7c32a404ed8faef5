"""The ConfigMap of the journal in memory."""

from __future__ import annotations

from collections.abc import Callable

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


def writer(kube: FakeKube, epoch: int = 7, run: str = "r1") -> JournalWriter:
    return JournalWriter(kube, NewRun(run, "expand", "boot", epoch), kube.clock)  # type: ignore[arg-type]
