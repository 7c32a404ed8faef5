"""The ConfigMap of the request queue in memory."""

from __future__ import annotations

from typing import Any

from metalk8s_expand.errors import UnreachableError
from tests.fakes.config_map import FakeConfigMap


class FakeQueue(FakeConfigMap):
    """One ConfigMap of the queue.

    The next ``lost`` writes succeed without a reply. The next ``away`` requests fail.
    """

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.lost = 0
        self.away = 0

    @property
    def lines(self) -> dict[str, str]:
        return dict((self.stored or {}).get("data") or {})

    def config_map(self, namespace: str, name: str) -> dict[str, Any] | None:
        assert (namespace, name) == ("kube-system", "metalk8s-expand-queue")
        return super().config_map(namespace, name)

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise UnreachableError("the API is away")

    def _written(self) -> None:
        self.writes += 1
        if self.lost:
            self.lost -= 1
            raise UnreachableError("no answer")
