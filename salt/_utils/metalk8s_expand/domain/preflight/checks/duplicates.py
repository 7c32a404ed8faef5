"""Index of the identities and clocks of all hosts and Nodes.

``index_duplicates`` builds it once, because the checks look up every host in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from metalk8s_expand.domain.preflight.cluster_facts import ExistingNode

MACHINE_ID, PRODUCT_UUID, MAC, ADDRESS = "machine-id", "product-uuid", "mac", "address"

Identity = tuple[str, str]


@dataclass(frozen=True)
class DuplicateIndex:
    """Names of hosts and Nodes by (kind, value) of an identity, and the clock skew of each host.

    A skew is the number of seconds by which the host's clock is ahead of the master's.
    """

    holders: Mapping[Identity, frozenset[str]] = field(default_factory=dict)
    skews: tuple[float, ...] = ()

    def others(self, kind: str, values: Iterable[str], name: str) -> list[str]:
        """Return the names of other hosts and Nodes that have one of these values."""
        names: set[str] = set()
        for value in values:
            names.update(self.holders.get((kind, value.lower()), ()))
        return sorted(names - {name})

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The kinds of identities that any host or Node has."""
        return frozenset(kind for kind, _ in self.holders)

    @property
    def median_skew(self) -> float | None:
        """The median skew; of two middle values, the one nearer to the master's clock."""
        ordered = sorted(self.skews)
        middle = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
        return min(middle, key=abs, default=None)


def index_duplicates(
    hosts: Mapping[str, Mapping[str, Any]], nodes: Iterable[ExistingNode], skews: Iterable[float]
) -> DuplicateIndex:
    """Return the index of the facts of hosts by name, the existing Nodes and the clock skews."""
    holders: defaultdict[Identity, set[str]] = defaultdict(set)
    for name, facts in hosts.items():
        # The checks of a host with malformed facts report it.
        with suppress(AttributeError, TypeError):
            for identity in _of_host(facts):
                holders[identity].add(name)
    for node in nodes:
        for identity in _of_node(node):
            holders[identity].add(node.name)
    return DuplicateIndex(
        {identity: frozenset(names) for identity, names in holders.items()}, tuple(skews)
    )


def is_mac(mac: str) -> bool:
    """Return whether this is a real MAC address; the loopback interface reports all zeros."""
    return bool(mac.strip("0:"))


def _of_host(facts: Mapping[str, Any]) -> list[Identity]:
    interfaces = facts.get("interfaces") or {}
    macs = [str(interface.get("mac") or "") for interface in interfaces.values()]
    ids = ((MACHINE_ID, facts.get("machine_id")), (PRODUCT_UUID, facts.get("product_uuid")))
    return _identities(ids, facts.get("addresses") or (), macs)


def _of_node(node: ExistingNode) -> list[Identity]:
    # A kubelet reports the machine ID as system UUID if the firmware has none.
    has_uuid = node.product_uuid.replace("-", "").lower() != node.machine_id.lower()
    uuid = node.product_uuid if has_uuid else ""
    ids = ((MACHINE_ID, node.machine_id), (PRODUCT_UUID, uuid))
    return _identities(ids, node.addresses, node.macs)


def _identities(
    ids: Iterable[tuple[str, Any]], addresses: Iterable[Any], macs: Iterable[str]
) -> list[Identity]:
    candidates = list(ids)
    for address in addresses:
        candidates.append((ADDRESS, address))
    for mac in macs:
        if is_mac(mac):
            candidates.append((MAC, mac))
    return [(kind, str(value).lower()) for kind, value in candidates if value]
