"""Pods and volumes of a Node as the API returns them."""

from __future__ import annotations

from typing import Any


def pod(
    name: str = "p", owner: str = "ReplicaSet", *volumes: dict[str, Any], **changes: Any
) -> dict[str, Any]:
    owners = [{"kind": owner, "name": "o", "controller": True}] if owner else []
    metadata = {
        "name": name,
        "namespace": "ns",
        "uid": f"uid-{name}",
        "ownerReferences": owners,
        **changes.pop("metadata", {}),
    }
    return {
        "metadata": metadata,
        "spec": {"volumes": list(volumes)},
        "status": {"phase": "Running", **changes},
    }


EMPTY = {"name": "scratch", "emptyDir": {}}

CLAIM = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
