"""One ConfigMap in memory, with the optimistic concurrency of the API server."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from metalk8s_expand.errors import ConflictError


class FakeConfigMap:
    """One ConfigMap. A subclass says when a request fails, and what follows a stored write."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0

    def config_map(self, namespace: str, name: str) -> dict[str, Any] | None:
        self._answer()
        return copy.deepcopy(self.stored)

    def create_config_map(self, namespace: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self._answer()
        if self.stored is not None:
            raise ConflictError("already exists")
        return self._store(body)

    def replace_config_map(
        self, namespace: str, name: str, body: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        self._answer()
        if self.stored is None:
            return None
        if body["metadata"]["resourceVersion"] != self.stored["metadata"]["resourceVersion"]:
            raise ConflictError("the object has been modified")
        return self._store(body)

    def _answer(self) -> None:
        """Raise if this request fails."""
        raise NotImplementedError

    def _written(self) -> None:
        """Follow a stored write; an error is a lost reply."""
        raise NotImplementedError

    def _store(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.stored = copy.deepcopy(dict(body))
        self.stored["metadata"]["resourceVersion"] = str(self.version)
        self._written()
        return copy.deepcopy(self.stored)
