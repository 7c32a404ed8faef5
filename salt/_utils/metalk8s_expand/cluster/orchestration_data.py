"""Collect the data that ``deploy_node`` and ``renew_certificates`` render with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.clients.kubernetes import node_leases
from metalk8s_expand.clients.salt.minions import Minions
from metalk8s_expand.cluster import node_pillar
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.node import health, roles
from metalk8s_expand.domain.node.objects import labels_of, name_of
from metalk8s_expand.domain.parsing import addresses
from metalk8s_expand.domain.parsing.addresses import is_ipv6
from metalk8s_expand.errors import SettingsError

CONTROL_PLANE = frozenset(roles.label_keys((roles.MASTER, roles.ETCD, roles.BOOTSTRAP)))


ARCHIVE = "salt-minion.tar"


def deployment(cluster: ClusterContext, name: str, described: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data that renders the deployment of one node; see the execution module.

    ``described`` is the description of the cluster in the master's pillar.
    """
    node = cluster.node(name)
    nodes = cluster.kube.nodes()
    beat = node_leases.heartbeat(cluster.kube, name).get(name)
    node_roles = [role for role in (roles.ETCD, roles.MASTER) if role in node.roles]
    return {
        "ca_server": _ca_server(nodes),
        "roles": [f"metalk8s.roles.{role}" for role in node_roles],
        "minion": _minion(name, described),
        "heartbeat": beat.renewed if beat else "",
    }


def _minion(name: str, described: Mapping[str, Any]) -> dict[str, Any]:
    """Return Salt's archive and the options of the node's minion, without its saltenv."""
    artifacts = described.get("artifacts")
    if not artifacts:
        return {}
    master = addresses.canonical(str(described["bootstrap"]["address"]))
    configuration = {
        "id": name,
        "master": master,
        # The runner accepts the key before the minion's first connection. After that of a
        # reinstalled master, the minion asks again this often, in seconds.
        "acceptance_wait_time": 1,
        "acceptance_wait_time_max": 0,
        # Overrides proxy_host of minion.d for the hosts of the cluster.
        "no_proxy": node_pillar.own_hosts(described),
        # Roles come from the pillar, and grains are read once for each job.
        "grains_cache": False,
        "features": {"x509_v2": True},
        "log_level": "error",
        "log_level_logfile": "info",
    }
    if is_ipv6(master):
        # The minion looks for an IPv4 address otherwise.
        configuration["ipv6"] = True
    archive = {"url": f"{artifacts['url']}/{ARCHIVE}", "sha256": artifacts["sha256"][ARCHIVE]}
    return {"archive": archive, "configuration": configuration}


def renewal(cluster: ClusterContext, name: str | None = None) -> dict[str, Any]:
    """Return the nodes whose certificates are renewed, in order; see the execution module.

    One job finds the minions that do not answer, so that no batch waits for them.

    Raises SettingsError if ``name`` is not the name of a deployed Node.
    """
    nodes = cluster.kube.nodes()
    authority = _ca_server(nodes)
    deployed = [
        node_obj
        for node_obj in nodes
        if health.is_deployed(node_obj) and name in (None, name_of(node_obj))
    ]
    if name is not None and not deployed:
        raise SettingsError(
            "there is no deployed Node of this name", node=name, hint="check the name"
        )
    answers = Minions(cluster.opts).ask(map(name_of, deployed), "test.ping", [])
    members: list[str] = []
    others: list[str] = []
    absent: list[str] = []
    for node_obj in deployed:
        is_member = CONTROL_PLANE.intersection(labels_of(node_obj))
        group = members if is_member else others
        if answers.get(name_of(node_obj)) is not True:
            group = absent
        group.append(name_of(node_obj))
    return {
        "ca_server": authority,
        "control_plane": sorted(members, key=lambda member: (member != authority, member)),
        "others": sorted(others),
        "absent": sorted(absent),
    }


def _ca_server(nodes: Sequence[Mapping[str, Any]]) -> str:
    """Return the minion that signs certificates."""
    authorities = [
        name_of(item) for item in nodes if roles.label_key(roles.BOOTSTRAP) in labels_of(item)
    ]
    if not authorities:
        raise SettingsError(
            "no Node has the bootstrap role, so no CA can sign certificates",
            hint=f"label the Node of the CA with {roles.label_key(roles.BOOTSTRAP)}",
        )
    return authorities[0]
