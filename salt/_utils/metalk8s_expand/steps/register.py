"""Make the Node object say what is declared, changing the least; and take back the cordon that we set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metalk8s_expand.clients.kube import JsonObject, Kube
from metalk8s_expand.domain import manifest
from metalk8s_expand.domain.nodes import Node
from metalk8s_expand.errors import ConflictError

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
            kube.merge_patch_node(name, _uncordoned(found))
        return True

    return _repeated(attempt, name)


def _create(kube: Kube, node: Node, test: bool) -> list[dict[str, Any]]:
    if not test:
        kube.create_node(manifest.registration(node))
    return [{"path": "Node", "found": None, "wanted": "created, cordoned"}]


def _patch(kube: Kube, node: Node, found: JsonObject) -> None:
    taints = manifest.taints_patch(node, found)
    if taints:
        kube.json_patch_node(node.name, taints)
    metadata = manifest.merge_patch(node, found)
    if metadata:
        kube.merge_patch_node(node.name, metadata)


def _uncordoned(found: JsonObject) -> dict[str, Any]:
    return {
        "metadata": {
            "uid": found["metadata"]["uid"],
            "annotations": {manifest.CORDONED: None},
            "labels": {manifest.EXCLUDE_DISRUPTION: None},
        },
        "spec": {"unschedulable": None},
    }


def _repeated(attempt: Callable[[], Any], name: str) -> Any:
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
