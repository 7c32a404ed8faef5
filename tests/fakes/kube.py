"""Nodes and one ConfigMap as an API server keeps them, with its UIDs, its preconditions and its patches."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from metalk8s_expand.domain.node.ownership_record import NAME, NAMESPACE
from metalk8s_expand.errors import ConflictError

JsonObject = dict[str, Any]


class FakeKube:
    """``meddle`` runs before every write; ``stored`` is the Node when there is one."""

    def __init__(self, *found: JsonObject | None) -> None:
        self.nodes_by_name = {item["metadata"]["name"]: item for item in found if item is not None}
        self.lines: dict[str, str] | None = None
        self.writes: list[str] = []
        self.reads = 0
        self.lists = 0
        self.uids = 0
        self.meddle: Callable[[FakeKube], None] = lambda kube: None
        self._lock = threading.RLock()

    @property
    def stored(self) -> JsonObject:
        [found] = self.nodes_by_name.values()
        return found

    @stored.setter
    def stored(self, found: JsonObject) -> None:
        self.nodes_by_name = {found["metadata"]["name"]: found}

    # Reads.

    def node(self, name: str) -> JsonObject | None:
        self.reads += 1
        return copy.deepcopy(self.nodes_by_name.get(name))

    def nodes(self, selector: str = "") -> list[JsonObject]:
        self.lists += 1
        return copy.deepcopy(list(self.nodes_by_name.values()))

    def config_map(self, namespace: str, name: str) -> JsonObject | None:
        assert (namespace, name) == (NAMESPACE, NAME)
        # The API server omits an empty mapping.
        if self.lines is None:
            return None
        return {"metadata": {}, **({"data": dict(self.lines)} if self.lines else {})}

    # Writes.

    def create_node(self, body: Mapping[str, Any]) -> JsonObject:
        with self._write("create"):
            name = body["metadata"]["name"]
            if name in self.nodes_by_name:
                raise ConflictError("AlreadyExists")
            self.uids += 1
            created = copy.deepcopy(dict(body))
            created["metadata"]["uid"] = f"new-{self.uids}"
            self.nodes_by_name[name] = created
            return created

    def json_patch_node(self, name: str, patch: Sequence[Mapping[str, Any]]) -> JsonObject | None:
        with self._write("taints"):
            found = self.nodes_by_name.get(name)
            return None if found is None else apply(found, patch)

    def merge_patch_node(self, name: str, patch: Mapping[str, Any]) -> JsonObject | None:
        with self._write("metadata"):
            found = self.nodes_by_name.get(name)
            if found is None:
                return None
            if patch["metadata"].get("uid") not in (None, found["metadata"]["uid"]):
                raise ConflictError("the UID in the precondition differs")
            merge(found, patch)
            return found

    def create_config_map(self, namespace: str, body: Mapping[str, Any]) -> JsonObject:
        assert (namespace, body["metadata"]["name"]) == (NAMESPACE, NAME)
        with self._write("record"):
            if self.lines is not None:
                raise ConflictError("AlreadyExists")
            self.lines = dict(body["data"])
            return {"data": self.lines}

    def json_patch_config_map(
        self, namespace: str, name: str, patch: Sequence[Mapping[str, Any]]
    ) -> JsonObject | None:
        with self._write("record"):
            found = self.config_map(namespace, name)
            if found is None:
                return None
            self.lines = apply(found, patch).get("data") or {}
            return {"data": self.lines}

    @contextmanager
    def _write(self, what: str) -> Iterator[None]:
        """Execute one write at a time, and record it if it succeeds."""
        with self._lock:
            self.meddle(self)
            yield
            self.writes.append(what)


def apply(target: JsonObject, patch: Sequence[Mapping[str, Any]]) -> JsonObject:
    """Apply a JSON patch (RFC 6902, in part): a test for null passes if the value is absent."""
    changed = copy.deepcopy(target)
    for operation in patch:
        *parents, last = operation["path"].strip("/").split("/")
        place = changed
        for parent in parents:
            if parent not in place:
                raise ConflictError(f"there is no {parent}")
            place = place[parent]
        if operation["op"] == "test" and place.get(last) != operation["value"]:
            raise ConflictError(f"the test of {operation['path']} failed")
        if operation["op"] == "add":
            place[last] = operation["value"]
        if operation["op"] == "remove":
            del place[last]
    target.clear()
    target.update(changed)
    return target


def merge(target: JsonObject, patch: Mapping[str, Any]) -> None:
    """Apply a JSON merge patch (RFC 7396)."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, Mapping):
            merge(target.setdefault(key, {}), value)
        else:
            target[key] = value
