"""Read the metadata of a Node object as the API returns it, and show names of Nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# The most names in one sentence.
SHOWN = 5


def name_of(node_obj: Mapping[str, Any]) -> str:
    """Return the name of the Node; empty if the object has none."""
    return str((node_obj.get("metadata") or {}).get("name", ""))


def labels_of(node_obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the labels of the Node; empty if it has none."""
    labels: Mapping[str, Any] = (node_obj.get("metadata") or {}).get("labels") or {}
    return labels


def first_names(names: Sequence[str]) -> str:
    """Return the first names and the number of further ones."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
