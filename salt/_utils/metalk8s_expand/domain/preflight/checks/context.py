"""The context of a preflight check: the facts of a host and the data it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.preflight.checks.duplicates import DuplicateIndex, is_mac
from metalk8s_expand.domain.preflight.cluster_facts import ClusterFacts
from metalk8s_expand.domain.preflight.saltenv_lists import SaltenvLists
from metalk8s_expand.domain.preflight.thresholds import Thresholds
from metalk8s_expand.domain.salt.fingerprint import fingerprint

Facts = Mapping[str, Any]


class FactUnknown(Exception):
    """A fact that a check needs is unknown: the check neither passes nor fails.

    ``remedy`` tells the operator how to find the fact.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


@dataclass(frozen=True)
class CheckContext:
    """A declared node, the facts of its host, and the facts of the other hosts by name.

    ``now`` is the master's clock in seconds since the epoch. ``inbound`` holds the results of
    connections from current etcd members to the host, by member name and port: the reason of a
    failure, or an empty string. A member that did not answer is missing from it. ``findings``
    fills in ``census`` for all hosts together.
    """

    node: Node
    facts: Facts
    others: Mapping[str, Facts]
    now: float
    surroundings: ClusterFacts = field(default_factory=ClusterFacts)
    inbound: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    thresholds: Thresholds = field(default_factory=Thresholds)
    census: DuplicateIndex = field(default_factory=DuplicateIndex)

    @property
    def name(self) -> str:
        return self.node.name

    def fact(self, name: str) -> Any:
        """Return a fact of the host. Raise FactUnknown if the host does not report it."""
        value = self.facts.get(name)
        if value is None:
            raise FactUnknown(f"the host does not report its {name}")
        return value

    @property
    def lists(self) -> SaltenvLists | None:
        """What MetalK8s refuses on the host, or None if the saltenv is not MetalK8s's."""
        return self.surroundings.lists.get(self.node.version)

    @property
    def is_resumed(self) -> bool:
        """Whether an earlier run already deployed this node on this host.

        The files of that run are not leftovers.
        """
        return self.facts.get("minion_id") == self.name and not self.has_another_master

    @property
    def has_another_master(self) -> bool:
        """Whether the host's minion trusts a master that is not this one."""
        key, known = self.facts.get("master_key"), self.surroundings.master_key
        return bool(key and known) and fingerprint(str(key)) != known

    @property
    def skew(self) -> float:
        """The seconds by which the host's clock is ahead of the master's."""
        return float(self.fact("time")) - self.now

    @property
    def macs(self) -> list[str]:
        """The MAC addresses of the interfaces that have the node's address.

        Other interfaces, such as the one of a management controller, can have the same MAC on many
        machines.
        """
        macs = []
        for interface in self.fact("interfaces").values():
            if self.node.address in interface["addresses"] and is_mac(interface["mac"]):
                macs.append(interface["mac"])
        return macs
