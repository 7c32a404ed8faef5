"""Who has which identity and which clock, over all hosts and Nodes: made once, since every host is looked up in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from metalk8s_expand.domain.preflight.cluster_facts import ExistingNode

MACHINE_ID, PRODUCT_UUID, MAC, ADDRESS = "machine-id", "product-uuid", "mac", "address"

Identity = tuple[str, str]


@dataclass(frozen=True)
class DuplicateIndex:
    """Names by (kind, value) of an identity, and every host's clock in seconds ahead of the master's."""

    holders: Mapping[Identity, frozenset[str]] = field(default_factory=dict)
    skews: tuple[float, ...] = ()

    def others(self, kind: str, values: Iterable[str], name: str) -> list[str]:
        """Who else has one of these values."""
        found = (self.holders.get((kind, value.lower()), frozenset()) for value in values)
        return sorted(frozenset().union(*found) - {name})

    @property
    def median_skew(self) -> float | None:
        """Of two in the middle the one that is nearer to the master's clock."""
        ordered = sorted(self.skews)
        middle = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
        return min(middle, key=abs, default=None)


def index_duplicates(
    hosts: Mapping[str, Mapping[str, Any]], nodes: Iterable[ExistingNode], skews: Iterable[float]
) -> DuplicateIndex:
    """What hosts said of themselves, and what is known of the cluster's Nodes."""
    holders: defaultdict[Identity, set[str]] = defaultdict(set)
    for name, facts in hosts.items():
        # One that tells nonsense is found by its own checks.
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
    """Whether it is one of an interface that has one; the loopback's is all zeros."""
    return bool(mac.strip("0:"))


def _of_host(facts: Mapping[str, Any]) -> Iterator[Identity]:
    macs = [str(item.get("mac") or "") for item in (facts.get("interfaces") or {}).values()]
    identities = ((MACHINE_ID, facts.get("machine_id")), (PRODUCT_UUID, facts.get("product_uuid")))
    yield from _told(
        (*identities, *((ADDRESS, one) for one in facts.get("addresses") or ()), *_macs(macs))
    )


def _of_node(node: ExistingNode) -> Iterator[Identity]:
    identities = ((MACHINE_ID, node.machine_id), (PRODUCT_UUID, node.product_uuid))
    yield from _told((*identities, *((ADDRESS, one) for one in node.addresses), *_macs(node.macs)))


def _macs(macs: Iterable[str]) -> Iterator[Identity]:
    return ((MAC, mac) for mac in macs if is_mac(mac))


def _told(identities: Iterable[tuple[str, Any]]) -> Iterator[Identity]:
    return ((kind, str(value).lower()) for kind, value in identities if value)
