"""Read everything that exists of one node:

Node, etcd member, key, Pods, host. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from metalk8s_expand.clients.etcd.api import Etcd
from metalk8s_expand.clients.kubernetes import evictions
from metalk8s_expand.clients.kubernetes.objects import JsonObject
from metalk8s_expand.clients.salt import cache, keys
from metalk8s_expand.clients.salt import pillar as master
from metalk8s_expand.cluster import health as verify
from metalk8s_expand.cluster import ownership
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.node import health, roles
from metalk8s_expand.domain.node.manifest import NOTHING
from metalk8s_expand.domain.removal import drain_rules, node_inventory
from metalk8s_expand.domain.removal.node_inventory import NodeInventory
from metalk8s_expand.removal import host_reset

# A report names the removed node under this key.
REMOVED = "removed"


def discover_node(world: ClusterContext, settings: Settings, name: str) -> NodeInventory:
    """Return the current inventory.

    Raises UnreachableError when the API or etcd does not answer.
    """
    nodes = world.kube.nodes()
    observed = next((item for item in nodes if item["metadata"]["name"] == name), None)
    node = host_reset.described(settings, name, observed)
    host = host_reset.look(world, settings, node)
    pods = evictions.pods_on(world.kube, name)
    wanted = [claim for pod in drain_rules.leaving(pods) for claim in drain_rules.claims(pod)]
    etcd = etcd_of_others(world, name, nodes)
    inventory = NodeInventory(
        name=name,
        declared=settings.nodes.get(name),
        node=observed,
        members=tuple(etcd.members()) if etcd else (),
        leader=etcd.leader() if etcd else 0,
        key=(keys.Keys(world.opts).public_key(name) or ("",))[0],
        host=host,
        pods=tuple(pods),
        local_claims=evictions.local_claims(world.kube, wanted),
        masters=other_masters(nodes, name),
        volumes=tuple(evictions.volumes_on(world.kube, name)),
        recorded=ownership.read(world.kube, [name]).get(name, NOTHING) != NOTHING,
        is_salt_master=master.pillar_id(world.opts).removesuffix(master.MASTER_SUFFIX) == name,
        is_ca=settings.ca_minion == name,
        master_key=master.master_key(world.opts),
    )
    known = inventory.exists or inventory.declared is not None
    return inventory if known else replace(inventory, removed=was_removed(world.opts, name))


def etcd_of_others(
    world: ClusterContext, name: str, nodes: Sequence[JsonObject] | None = None
) -> Etcd | None:
    """Return a client of etcd without the leaving member.

    Its answers do not count once it is no part of the cluster.
    """
    members = world.kube.nodes(roles.label_key(roles.ETCD)) if nodes is None else nodes
    others = [item for item in members if item["metadata"]["name"] != name]
    return verify.cluster_access(world.kube, others).etcd or world.access().etcd


def own_member(
    world: ClusterContext, settings: Settings, name: str, members: Sequence[Member]
) -> Member | None:
    """Return the member of this node among these, or None."""
    return node_inventory.NodeInventory(
        name, settings.nodes.get(name), world.kube.node(name), tuple(members)
    ).member


def other_masters(nodes: Sequence[Mapping[str, Any]], name: str) -> tuple[str, ...]:
    """Return the other Nodes with an API server that are Ready."""
    label = roles.label_key(roles.MASTER)
    ready = [
        item
        for item in nodes
        if label in (item["metadata"].get("labels") or {}) and not health.ready_problems(item)
    ]
    return tuple(item["metadata"]["name"] for item in ready if item["metadata"]["name"] != name)


def was_removed(opts: Mapping[str, Any], name: str) -> bool:
    """Return whether a stored report records the removal of this node: its name is known then."""
    for path in reversed(cache.reports(opts)):
        report = cache.load_report(path)
        if report and report.get(REMOVED) == name and report.get("ok"):
            return True
    return False
