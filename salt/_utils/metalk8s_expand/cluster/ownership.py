"""Store the record of what registrations set on Nodes; see the domain module ``ownership``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.domain.node import ownership_record
from metalk8s_expand.domain.node.manifest import Owned
from metalk8s_expand.domain.node.ownership_record import NAME, NAMESPACE
from metalk8s_expand.errors import ConflictError

Moves = Mapping[str, tuple[Owned, Owned]]
Lines = Mapping[str, str]

ATTEMPTS = 5
# The API takes at most 10,000 operations in one JSON Patch; a line needs two.
CHUNK = 4000


def read(kube: Kube, names: Iterable[str] | None = None) -> dict[str, Owned]:
    """Return the record of these Nodes, or of all Nodes."""
    lines = _lines(kube.config_map(NAMESPACE, NAME))
    records = {}
    for name in lines if names is None else names:
        if name in lines:
            records[name] = ownership_record.parse(name, lines[name])
    return records


def write(kube: Kube, moves: Moves) -> set[str]:
    """Replace the expected records by new ones; return the Nodes whose record was not the expected
    one.
    """
    due = {name: move for name, move in moves.items() if move[0] != move[1]}
    stale: set[str] = set()
    while due:
        chunk = dict(islice(due.items(), CHUNK))
        stale |= _write(kube, chunk)
        due = {name: move for name, move in due.items() if name not in chunk}
    return stale


def _write(kube: Kube, moves: Moves) -> set[str]:
    for _ in range(ATTEMPTS):
        config_map = kube.config_map(NAMESPACE, NAME)
        lines = _lines(config_map)
        stale: set[str] = set()
        wanted: dict[str, str | None] = {}
        for name, (old, new) in moves.items():
            if not _records(name, lines.get(name), old):
                stale.add(name)
            else:
                wanted[name] = ownership_record.serialize(new)
        if _stored(kube, config_map is not None, lines, wanted):
            return stale
    raise ConflictError(
        f"ConfigMap {NAMESPACE}/{NAME} could not be changed in {ATTEMPTS} attempts",
        hint=(
            f"find out which client writes it: kubectl -n {NAMESPACE} get configmap {NAME}"
            " --show-managed-fields -o yaml"
        ),
    )


def _records(name: str, line: str | None, owned: Owned) -> bool:
    """Return whether the line of a Node is this record."""
    # A line that this project has written need not be parsed.
    return line == ownership_record.serialize(owned) or ownership_record.parse(name, line) == owned


def _stored(kube: Kube, exists: bool, lines: Lines, wanted: Mapping[str, str | None]) -> bool:
    """Store these lines; return False and store nothing if another client wrote one of them
    meanwhile.
    """
    if not wanted:
        return True
    future = {name: line for name, line in {**lines, **wanted}.items() if line is not None}
    ownership_record.check_size(future)
    try:
        if not exists:
            return bool(
                kube.create_config_map(NAMESPACE, {"metadata": {"name": NAME}, "data": future})
            )
        return kube.json_patch_config_map(NAMESPACE, NAME, _patch(lines, wanted)) is not None
    except ConflictError:
        return False


def _patch(lines: Lines, wanted: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Return a patch that tests each line first, so that writers of other lines do not conflict.

    Without any line the patch is empty.
    """
    if not lines:
        return [
            {"op": "test", "path": "/data", "value": None},
            {"op": "add", "path": "/data", "value": dict(wanted)},
        ]
    operations: list[dict[str, Any]] = []
    for name, line in wanted.items():
        operations.extend(_replacement(f"/data/{name}", lines.get(name), line))
    return operations


def _replacement(path: str, old: str | None, new: str | None) -> list[dict[str, Any]]:
    change = (
        {"op": "remove", "path": path} if new is None else {"op": "add", "path": path, "value": new}
    )
    return [{"op": "test", "path": path, "value": old}, change]


def _lines(config_map: Mapping[str, Any] | None) -> Lines:
    return (config_map or {}).get("data") or {}
