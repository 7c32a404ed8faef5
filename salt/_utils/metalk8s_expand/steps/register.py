"""Make the Node object say what is declared, changing the least; and take back the cordon that we set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from metalk8s_expand.clients.kube import JsonObject, Kube
from metalk8s_expand.domain import manifest
from metalk8s_expand.domain.nodes import Node
from metalk8s_expand.errors import ConflictError

Result = TypeVar("Result")

ATTEMPTS = 5


def register(kube: Kube, node: Node, test: bool = False) -> list[dict[str, Any]]:
    """Create or patch the Node; the changes made (or, with ``test``, to be made), none when it is right already."""

    def attempt() -> list[dict[str, Any]]:
        found = kube.node(node.name)
        if found is None:
            return _create(kube, node, test)
        changes = [change.as_dict() for change in manifest.drift(node, found)]
        if changes and not test:
            _patch(kube, node, found)
        return changes

    return _repeated(attempt, node.name)


def uncordon(kube: Kube, name: str, test: bool = False) -> bool:
    """Undo our cordon, and nobody else's; whether there was one."""

    def attempt() -> bool:
        found = kube.node(name)
        if found is None or not manifest.is_cordoned_by_us(found):
            return False
        if not test:
            _still_there(kube.merge_patch_node(name, _uncordoned(found)), name)
        return True

    return _repeated(attempt, name)


def _create(kube: Kube, node: Node, test: bool) -> list[dict[str, Any]]:
    if not test:
        kube.create_node(manifest.registration(node))
    return [{"path": "Node", "found": None, "wanted": "created, cordoned"}]


def _patch(kube: Kube, node: Node, found: JsonObject) -> None:
    taints = manifest.taints_patch(node, found)
    if taints:
        _still_there(kube.json_patch_node(node.name, taints), node.name)
    metadata = manifest.merge_patch(node, found)
    if metadata:
        _still_there(kube.merge_patch_node(node.name, metadata), node.name)


def _still_there(answer: JsonObject | None, name: str) -> None:
    """A Node that was deleted meanwhile is a conflict: read again, it is created, or there is nothing to undo."""
    if answer is None:
        raise ConflictError("the Node was deleted meanwhile", node=name, hint="run the same command again")


def _uncordoned(found: JsonObject) -> dict[str, Any]:
    return {
        "metadata": {
            "uid": found["metadata"]["uid"],
            "annotations": {manifest.CORDONED: None},
            "labels": {manifest.EXCLUDE_DISRUPTION: None},
        },
        "spec": {"unschedulable": None},
    }


def _repeated(attempt: Callable[[], Result], name: str) -> Result:
    """Others write Nodes as well: read again and repeat, a bounded number of times."""
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except ConflictError:
            continue
    try:
        return attempt()
    except ConflictError as exc:
        raise ConflictError(
            f"the Node could not be changed in {ATTEMPTS} attempts: {exc.message}",
            node=name,
            hint="find out who else writes this Node: kubectl get node --show-managed-fields",
        ) from exc
