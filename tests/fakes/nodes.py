"""Nodes as the API returns them."""

from __future__ import annotations

from typing import Any

READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def infra(name: str, cordoned: bool = False) -> dict[str, Any]:
    """Return a Ready Node with the infra role."""
    labels = {"node-role.kubernetes.io/infra": ""}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"unschedulable": cordoned},
        "status": READY,
    }
