"""Summarize what an operator asks first: nodes, etcd, API servers, DNS, API proxies and the lock.

Each part has the same keys also if it could not be read: ``unknown`` is then the cause, and the
other values are None or empty. Otherwise ``unknown`` is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.node import health, roles
from metalk8s_expand.domain.node.manifest import PROXY_BEHIND
from metalk8s_expand.domain.node.objects import labels_of, name_of
from metalk8s_expand.domain.reports.cluster_state import member_row
from metalk8s_expand.domain.runs.lease_rules import Lease
from metalk8s_expand.errors import visible_tree

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Unknown:
    """An answer that was not given, with its cause."""

    cause: str


@dataclass(frozen=True)
class Dns:
    """The Deployment of CoreDNS and its Pods."""

    deployment: Object
    pods: Sequence[Object]


@dataclass(frozen=True)
class Overview:
    """The answers of the cluster. ``endpoints`` are the EndpointSlices of the API servers."""

    nodes: Sequence[Object]
    etcd: Sequence[Member] | Unknown
    endpoints: Sequence[Object] | Unknown
    dns: Dns | Unknown
    lock: Lease | Unknown | None

    @property
    def members(self) -> list[Member] | None:
        """The members of etcd, or None if it does not answer."""
        return None if isinstance(self.etcd, Unknown) else list(self.etcd)

    def as_dict(self) -> dict[str, Any]:
        """Return the overview with the parts of this module as keys."""
        shown: dict[str, Any] = visible_tree(
            {
                "nodes": nodes_part(self.nodes),
                "etcd": etcd_part(self.etcd),
                "api_servers": api_servers_part(self.nodes, self.endpoints),
                "dns": dns_part(self.dns),
                "proxies_behind": proxies_behind(self.nodes),
                "lock": lock_part(self.lock),
            }
        )
        return shown


def nodes_part(nodes: Iterable[Object]) -> dict[str, Any]:
    """Return the number of Nodes and of Ready ones, ``total`` and ``ready``, also by role.

    A Node counts in each of its ``roles``.
    """
    every = {"total": 0, "ready": 0}
    by_role: dict[str, dict[str, int]] = {}
    for item in nodes:
        ready = not health.ready_problems(item)
        counts = [every]
        for role in roles.observed_roles(labels_of(item)):
            counts.append(by_role.setdefault(role, {"total": 0, "ready": 0}))
        for count in counts:
            count["total"] += 1
            count["ready"] += ready
    return {**every, "roles": {role: by_role[role] for role in roles.KNOWN if role in by_role}}


def etcd_part(answer: Sequence[Member] | Unknown) -> dict[str, Any]:
    """Return the members of etcd, their leader, their tolerance, and the size of the database.

    ``members`` are as in a report; ``voters``, ``healthy``, ``needed`` and ``failures``, how many
    more members may fail, count voters; ``db_size`` is that of the largest store in bytes;
    ``alarms`` are names such as NOSPACE; ``problems`` are sentences about alarms, learners and
    members that are not healthy.
    """
    if isinstance(answer, Unknown):
        counts = dict.fromkeys(("voters", "healthy", "needed", "failures", "leader", "db_size"))
        return {"members": [], **counts, "alarms": [], "problems": [], "unknown": answer.cause}
    leader = next((member.name for member in answer if member.leads), None)
    sizes = [member.db_size for member in answer if member.db_size is not None]
    return {
        "members": [member_row(member) for member in answer],
        **quorum.tolerance(answer).as_dict(),
        "leader": leader,
        "db_size": max(sizes, default=None),
        "alarms": sorted({alarm.kind for member in answer for alarm in member.alarms}),
        "problems": quorum.health_problems(answer),
        "unknown": None,
    }


def api_servers_part(
    nodes: Iterable[Object], endpoints: Sequence[Object] | Unknown
) -> dict[str, Any]:
    """Return which control-plane nodes have an API server that is an endpoint of its Service.

    An API server that ends leaves the endpoints within some fifteen seconds. ``answering`` and
    ``missing`` are names of Nodes, ``total`` is their number.
    """
    masters = [item for item in nodes if roles.label_key(roles.MASTER) in labels_of(item)]
    part: dict[str, Any] = {"total": len(masters), "answering": [], "missing": [], "unknown": None}
    if isinstance(endpoints, Unknown):
        return {**part, "unknown": endpoints.cause}
    ready = set(health.ready_addresses({"items": endpoints}))
    for item in masters:
        answers = health.internal_ip(item) in ready
        part["answering" if answers else "missing"].append(name_of(item))
    return part


def dns_part(answer: Dns | Unknown) -> dict[str, Any]:
    """Return the ``ready`` and the ``wanted`` Pods of CoreDNS, and the ``nodes`` of ready ones."""
    if isinstance(answer, Unknown):
        return {"ready": None, "wanted": None, "nodes": [], "unknown": answer.cause}
    places = []
    for pod in answer.pods:
        replaced = (pod.get("metadata") or {}).get("deletionTimestamp")
        if not replaced and not health.ready_problems(pod):
            places.append(str((pod.get("spec") or {}).get("nodeName", "")))
    wanted = int((answer.deployment.get("spec") or {}).get("replicas", 1))
    nodes = sorted(set(places))
    return {"ready": len(places), "wanted": wanted, "nodes": nodes, "unknown": None}


def proxies_behind(nodes: Iterable[Object]) -> list[str]:
    """Return the Nodes whose API proxy does not list every API server."""
    return [name_of(item) for item in nodes if PROXY_BEHIND in labels_of(item)]


def lock_part(answer: Lease | Unknown | None) -> dict[str, Any]:
    """Return whether a run holds the lock, and its ``run``, ``command``, ``user`` and ``host``.

    ``since`` and ``renewed`` are times of the holder's clock in RFC 3339.
    """
    described = dict.fromkeys(("run", "command", "user", "host", "since", "renewed"))
    if isinstance(answer, Unknown):
        return {"held": None, **described, "unknown": answer.cause}
    if answer is None or not answer.holder:
        return {"held": False, **described, "unknown": None}
    return {
        "held": True,
        "run": answer.run,
        "command": answer.doing,
        "user": answer.user,
        "host": answer.host,
        "since": answer.acquired,
        "renewed": answer.renewed,
        "unknown": None,
    }
