"""Describe the cluster in a report: its Nodes with roles and taints, and the members of etcd."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.node import health, roles
from metalk8s_expand.domain.node.objects import labels_of, name_of
from metalk8s_expand.errors import visible_tree

Object = Mapping[str, Any]

READY, NOT_READY, NOT_DEPLOYED = "ready", "not ready", "not deployed"
# The API server sets this taint on every cordoned Node; ``cordoned`` has the same meaning.
CORDON_TAINT = "node.kubernetes.io/unschedulable"


def cluster_state(nodes: Iterable[Object], members: Sequence[Member] | None) -> dict[str, Any]:
    """Return the Nodes by name, and the members of etcd or None if etcd did not answer.

    A Node has ``name``, ``roles``, ``taints`` (``key:effect``), ``state`` and ``cordoned``. A
    member has ``name``, ``learner``, ``healthy`` (None means unknown), ``leads`` and ``db_size``
    in bytes.
    """
    known = sorted(nodes, key=name_of)
    return {
        "nodes": [_node(item) for item in known],
        "etcd": None if members is None else [member_row(member) for member in members],
    }


def _node(item: Object) -> dict[str, Any]:
    spec = item.get("spec") or {}
    taints = []
    for taint in spec.get("taints") or ():
        if taint.get("key") != CORDON_TAINT:
            taints.append(f"{taint.get('key')}:{taint.get('effect')}")
    state = NOT_READY if health.ready_problems(item) else READY
    shown: dict[str, Any] = visible_tree(
        {
            "name": name_of(item),
            "roles": roles.observed_roles(labels_of(item)),
            "taints": taints,
            "state": state if health.is_deployed(item) else NOT_DEPLOYED,
            "cordoned": spec.get("unschedulable") is True,
        }
    )
    return shown


def member_row(member: Member) -> dict[str, Any]:
    """Return a member of etcd as ``cluster_state`` has it."""
    shown: dict[str, Any] = visible_tree(
        {
            "name": member.name or "(never started)",
            "learner": member.learner,
            "healthy": member.healthy,
            "leads": member.leads,
            "db_size": member.db_size,
        }
    )
    return shown
