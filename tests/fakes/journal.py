"""The ConfigMap of the journal, in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from metalk8s_expand.errors import ConflictError, UnreachableError
from metalk8s_expand.runs.journal import JournalWriter
from tests.fakes.clock import FakeClock

DOWN = UnreachableError("the API does not answer")


class FakeKube:
    """One ConfigMap; ``after`` runs after a write was stored and may lose its reply."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.down_until = 0.0
        self.after: Callable[[], None] = lambda: None
        self.clock = FakeClock()

    def config_map(self, namespace: str, name: str) -> dict[str, Any] | None:
        self._answer()
        return copy.deepcopy(self.stored)

    def create_config_map(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        self._answer()
        if self.stored is not None:
            raise ConflictError("already exists")
        return self._store(body)

    def replace_config_map(
        self, namespace: str, name: str, body: dict[str, Any]
    ) -> dict[str, Any] | None:
        self._answer()
        if self.stored is None:
            return None
        if body["metadata"]["resourceVersion"] != self.stored["metadata"]["resourceVersion"]:
            raise ConflictError("the object has been modified")
        return self._store(body)

    def _answer(self) -> None:
        if self.clock.time < self.down_until:
            raise DOWN

    def _store(self, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.stored = copy.deepcopy(body)
        self.stored["metadata"]["resourceVersion"] = str(self.version)
        self.after()
        return copy.deepcopy(self.stored)


def writer(kube: FakeKube, epoch: int = 7, run: str = "r1") -> JournalWriter:
    return JournalWriter(kube, run, "expand", "boot", epoch, kube.clock)  # type: ignore[arg-type]
