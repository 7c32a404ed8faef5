"""The facts request: exactly the facts about a host that the preflight checks need."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.parsing.addresses import parsed
from metalk8s_expand.domain.preflight.checks import etcd, kernel, leftovers, resources, software
from metalk8s_expand.domain.preflight.cluster_facts import ClusterFacts
from metalk8s_expand.domain.preflight.thresholds import Thresholds

FSYNC_WRITES, FSYNC_SECONDS = 500, 3

# The request for a host whose node is unknown. The saltenv of a node may have other lists.
QUESTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "modules": kernel.MODULES,
        "sysctls": kernel.SYSCTLS,
        "directories": resources.DIRECTORIES,
        "packages": software.asked_packages(None),
        "services": software.asked_services(None),
        "leftovers": leftovers.LEFTOVERS,
    }
)
NONE: Mapping[str, Any] = MappingProxyType({})


def request(
    node: Node,
    surroundings: ClusterFacts,
    thresholds: Thresholds,
    joining: Mapping[str, str] = NONE,
    sources: Mapping[str, Any] = NONE,
) -> dict[str, Any]:
    """Return the argument of the probe as a JSON object.

    ``joining`` holds the addresses of the other new etcd nodes by name; these listen at the same
    time. ``sources`` redirects paths of the host and shifts its clock, for hosts that share one
    machine.
    """
    places = [(one.host, one.port) for one in surroundings.endpoints if one.host != node.address]
    lists = surroundings.lists.get(node.version)
    asked = {
        **QUESTIONS,
        "packages": software.asked_packages(lists),
        "services": software.asked_services(lists),
        "ports": software.asked_ports(lists, node.roles),
        "node": node.name,
        "seconds": thresholds.probe_timeout_s,
        "timeout": thresholds.connect_timeout_s,
        "connect": places,
        "resolve": sorted({host for host, _ in places if parsed(host) is None}),
        "route": _first_address(surroundings.service_cidr),
        "sources": dict(sources),
    }
    if node.is_etcd:
        asked.update(_etcd_request(node, surroundings, thresholds, joining, places))
    return json.loads(json.dumps(asked))  # type: ignore[no-any-return]


def _etcd_request(
    node: Node,
    surroundings: ClusterFacts,
    thresholds: Thresholds,
    joining: Mapping[str, str],
    places: Sequence[tuple[str, int]],
) -> dict[str, Any]:
    members = [address for name, address in surroundings.etcd_peers.items() if name != node.name]
    newcomers = [address for name, address in joining.items() if name != node.name]
    connect = list(places)
    for address in members:
        for port in etcd.PORTS:
            if (address, port) not in places:
                connect.append((address, port))
    retry = []
    for address in newcomers:
        if address in members:
            continue
        for port in etcd.PORTS:
            retry.append((address, port))
    return {
        "connect": connect,
        "retry": retry,
        "listen": {
            "address": node.address,
            "ports": etcd.PORTS,
            "peers": [*dict.fromkeys([*members, *newcomers])],
        },
        "window": thresholds.etcd_window_s,
        "fsync": {"path": resources.ETCD, "writes": FSYNC_WRITES, "seconds": FSYNC_SECONDS},
    }


def _first_address(cidr: str | None) -> str | None:
    if not cidr:
        return None
    network = ipaddress.ip_network(cidr)
    return str(network[min(1, network.num_addresses - 1)])
