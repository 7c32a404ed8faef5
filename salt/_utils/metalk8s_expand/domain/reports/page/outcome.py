"""Decide what became different: the outcome of the run and of each of its nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.errors import StoppedError

Object = Mapping[str, Any]

ADDED, CHANGED, REMOVED = "added", "changed", "removed"
FAILED, STOPPED, SKIPPED, UNCHANGED = "failed", "stopped", "skipped", "unchanged"
# The signs say the same as the colors.
SIGNS = {
    ADDED: "+",
    CHANGED: "~",
    REMOVED: "−",
    FAILED: "✕",
    STOPPED: "■",
    SKIPPED: "…",
    UNCHANGED: "=",
}
TONES = {ADDED: "good", FAILED: "bad", STOPPED: "warn", REMOVED: "warn", SKIPPED: "warn"}
SALT_RUN = "salt-run metalk8s_expand."


def function_of(report: Object) -> str:
    """Return the runner function of a report's command, such as ``expand``; empty if unknown."""
    command = str(report.get("command") or "")
    if not command.startswith(SALT_RUN):
        return ""
    return command.removeprefix(SALT_RUN).partition(" ")[0]


def is_removal(report: Object) -> bool:
    """Return whether the run was to remove a node."""
    return function_of(report) == "remove_node"


def verdict(report: Object) -> str:
    """Return how the run ended: ``succeeded``, ``failed`` or ``stopped``."""
    if report.get("ok"):
        return "succeeded"
    return STOPPED if report.get("retcode") == StoppedError.retcode else FAILED


def outcomes(report: Object) -> dict[str, str]:
    """Return the outcome of each node of the run, by name."""
    cluster = report.get("cluster") or {}
    before = node_names(cluster.get("before"))
    return {str(node["name"]): _outcome(report, node, before) for node in nodes_of(report)}


def nodes_of(report: Object) -> Sequence[Object]:
    """Return the nodes of the run."""
    nodes: Sequence[Object] = report.get("nodes") or ()
    return nodes


def node_names(state: Object | None) -> set[str]:
    """Return the names of the Nodes in a recorded state of the cluster."""
    return {str(node["name"]) for node in (state or {}).get("nodes") or ()}


def _outcome(report: Object, node: Object, before: set[str]) -> str:
    error = node.get("error")
    if error:
        return STOPPED if error.get("retcode") == StoppedError.retcode else FAILED
    if node.get("skipped"):
        return SKIPPED
    if not node.get("ok"):
        return FAILED
    if is_removal(report):
        return REMOVED
    return CHANGED if node["name"] in before else ADDED
