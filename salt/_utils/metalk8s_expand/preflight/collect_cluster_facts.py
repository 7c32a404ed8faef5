"""Collect the facts of the existing cluster once: from the API, the master's keys and its cache.

Roles never come from data that minions report; their MACs are only compared.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from metalk8s_expand.clients.kubernetes.objects import JsonObject
from metalk8s_expand.clients.salt import keys, minions
from metalk8s_expand.clients.salt import pillar as master
from metalk8s_expand.clients.salt.file_server import FileServer
from metalk8s_expand.cluster import roster
from metalk8s_expand.cluster.configuration import cluster_configuration
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain import configuration
from metalk8s_expand.domain.configuration import ClusterConfiguration
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.node import health, roles
from metalk8s_expand.domain.node.manifest import VERSION_LABEL
from metalk8s_expand.domain.node.objects import labels_of, name_of
from metalk8s_expand.domain.parsing.addresses import canonical
from metalk8s_expand.domain.preflight.cluster_facts import ClusterFacts, ExistingNode
from metalk8s_expand.domain.preflight.saltenv_lists import SaltenvLists
from metalk8s_expand.domain.salt.fingerprint import fingerprint
from metalk8s_expand.errors import SettingsError
from metalk8s_expand.preflight import endpoints, saltenvs

log = logging.getLogger(__name__)

# The address kinds of a Node that hold IP addresses.
ADDRESSES = ("InternalIP", "ExternalIP")


def collect_cluster_facts(
    world: ClusterContext, settings: Settings, names: Iterable[str] | None = None
) -> ClusterFacts:
    """Return all cluster facts, from one list of the Nodes.

    Facts that cannot be determined stay empty, and their checks report it. The function looks up
    minion keys for these names, by default for all declared nodes.
    """
    items = world.kube.nodes()
    described = _described(world, items)
    known = _configuration(world, described)
    version = world.version(items)
    if version:
        known = known.with_value(configuration.VERSION, version)
    key = master.master_key(world.opts)
    names = list(settings.nodes if names is None else names)
    lists = _lists(world, settings, names)
    return ClusterFacts(
        nodes=_neighbours(world, items),
        endpoints=endpoints.of(world, described, items, lists.values()),
        etcd_peers=_etcd_peers(items),
        keys=_fingerprints(world, names),
        master_key=fingerprint(key) if key else "",
        pre_flight=roster.pre_flight_script(world.opts),
        version=known.single(configuration.VERSION),
        pod_cidr=settings.pod_cidr or known.single(configuration.POD) or None,
        service_cidr=settings.service_cidr or known.single(configuration.SERVICE) or None,
        control_plane=known.control_plane,
        workload_plane=known.workload_plane,
        lists=lists,
    )


def _lists(
    world: ClusterContext, settings: Settings, names: Sequence[str]
) -> dict[str, SaltenvLists]:
    """Return the lists of MetalK8s's saltenvs that deploy these nodes, by version."""
    versions = {settings.nodes[name].version for name in names if name in settings.nodes}
    return saltenvs.lists(FileServer(world.opts), sorted(versions))


def with_role(items: Iterable[JsonObject], role: str) -> Iterator[JsonObject]:
    """Return the Nodes that carry a role."""
    return (item for item in items if roles.label_key(role) in labels_of(item))


def _etcd_peers(items: Sequence[JsonObject]) -> dict[str, str]:
    """Return the addresses of the current etcd members by node name."""
    addresses = {}
    for item in with_role(items, roles.ETCD):
        address = health.internal_ip(item)
        if address:
            addresses[name_of(item)] = address
    return addresses


def _fingerprints(world: ClusterContext, names: Iterable[str]) -> dict[str, str]:
    """Return the fingerprints of the minion keys that the master knows, by minion ID."""
    public_keys = keys.Keys(world.opts).public_keys(names)
    return {name: fingerprint(public_key) for name, public_key in public_keys.items()}


def _neighbours(world: ClusterContext, items: Sequence[JsonObject]) -> dict[str, ExistingNode]:
    remembered = minions.Minions(world.opts).grains(map(name_of, items))
    macs = {name: _macs(grains) for name, grains in remembered}
    return {name_of(item): _neighbour(item, macs.get(name_of(item), ())) for item in items}


def _neighbour(item: JsonObject, macs: tuple[str, ...]) -> ExistingNode:
    status = item.get("status") or {}
    info = status.get("nodeInfo") or {}
    addresses = []
    for entry in status.get("addresses") or ():
        if entry.get("type") in ADDRESSES:
            addresses.append(canonical(str(entry["address"])))
    return ExistingNode(
        name=name_of(item),
        addresses=tuple(addresses),
        machine_id=str(info.get("machineID") or ""),
        product_uuid=str(info.get("systemUUID") or ""),
        macs=macs,
        version=labels_of(item).get(VERSION_LABEL, ""),
        deployed=health.is_deployed(item),
    )


def _macs(grains: Mapping[str, Any]) -> tuple[str, ...]:
    interfaces = grains.get("hwaddr_interfaces")
    if not isinstance(interfaces, Mapping):
        return ()
    return tuple(str(mac).lower() for mac in interfaces.values())


def _configuration(world: ClusterContext, described: Mapping[str, Any]) -> ClusterConfiguration:
    """Return the cluster's configuration, as far as its sources are readable."""
    place = "the bootstrap node"
    try:
        known = cluster_configuration(world.opts)
    except SettingsError as error:
        log.warning("the configuration of the cluster is unknown: %s", error)
        known = ClusterConfiguration()
    return known.with_fallback(configuration.from_description(described, place))


def _described(world: ClusterContext, items: Sequence[JsonObject]) -> Mapping[str, Any]:
    """Return the cluster's description in the pillar of the bootstrap node's minion, or an empty
    one.
    """
    bootstrap = next(with_role(items, roles.BOOTSTRAP), None)
    if bootstrap is None:
        return {}
    try:
        pillar = master.master_pillar(world.opts, name_of(bootstrap))
    except SettingsError as error:
        log.warning("the facts of the cluster are unknown: %s", error)
        return {}
    description = (pillar.get("metalk8s") or {}).get("cluster")
    return description if isinstance(description, Mapping) else {}
