"""Read the metadata of a Node object as the API returns it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def name_of(node_obj: Mapping[str, Any]) -> str:
    """Return the name of the Node; empty if the object has none."""
    return str((node_obj.get("metadata") or {}).get("name", ""))


def labels_of(node_obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the labels of the Node; empty if it has none."""
    labels: Mapping[str, Any] = (node_obj.get("metadata") or {}).get("labels") or {}
    return labels
