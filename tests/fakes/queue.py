"""The ConfigMap of the request queue, in memory."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from metalk8s_expand.errors import ConflictError, UnreachableError


class FakeQueue:
    """One ConfigMap; the next ``lost`` writes succeed and are not answered, the next ``away`` requests fail."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.writes = 0
        self.lost = 0
        self.away = 0

    @property
    def lines(self) -> dict[str, str]:
        return dict((self.stored or {}).get("data") or {})

    def config_map(self, namespace: str, name: str) -> dict[str, Any] | None:
        assert (namespace, name) == ("kube-system", "metalk8s-expand-queue")
        self._answer()
        return copy.deepcopy(self.stored)

    def create_config_map(self, namespace: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if self.stored is not None:
            raise ConflictError("already exists")
        return self._store(body)

    def replace_config_map(
        self, namespace: str, name: str, body: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        self._answer()
        if self.stored is None:
            return None
        if body["metadata"]["resourceVersion"] != str(self.version):
            raise ConflictError("the object has been modified")
        return self._store(body)

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise UnreachableError("the API is away")

    def _store(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.writes += 1
        self.stored = {
            **copy.deepcopy(dict(body)),
            "metadata": {"resourceVersion": str(self.version)},
        }
        if self.lost:
            self.lost -= 1
            raise UnreachableError("no answer")
        return self.stored
