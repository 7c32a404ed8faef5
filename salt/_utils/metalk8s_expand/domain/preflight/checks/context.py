"""A host that is checked: what it said, and what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.preflight.checks.duplicates import DuplicateIndex, is_mac
from metalk8s_expand.domain.preflight.cluster_facts import ClusterFacts
from metalk8s_expand.domain.preflight.thresholds import Thresholds
from metalk8s_expand.domain.salt.fingerprint import fingerprint

Facts = Mapping[str, Any]


class FactUnknown(Exception):
    """What a check needs is not known: neither a pass nor a failure. ``remedy`` says how to come to know it."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


@dataclass(frozen=True)
class CheckContext:
    """A declared node, what its host said, and the other hosts' answers by name; ``now`` is the master's clock.

    ``inbound`` is what today's etcd members said of connecting to the host, by their name and the port: why it failed,
    or nothing; a member that could not be asked is not in it. ``census`` is filled in for all hosts together.
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
        """What the host said of this, or Untold."""
        value = self.facts.get(name)
        if value is None:
            raise FactUnknown(f"the host does not tell its {name}")
        return value

    @property
    def is_resumed(self) -> bool:
        """Whether an earlier run made this very host this very node: what that run left is no leftover."""
        return self.facts.get("minion_id") == self.name and not self.has_another_master

    @property
    def has_another_master(self) -> bool:
        """Whether the host's minion trusts a master that is not this one."""
        key, known = self.facts.get("master_key"), self.surroundings.master_key
        return bool(key and known) and fingerprint(str(key)) != known

    @property
    def skew(self) -> float:
        """Seconds that the host's clock is ahead of the master's."""
        return float(self.fact("time")) - self.now

    @property
    def macs(self) -> list[str]:
        """The MAC of the interface that has the node's address.

        Those of others, such as the network card of a management controller, are the same on many machines.
        """
        found = (
            item["mac"]
            for item in self.fact("interfaces").values()
            if self.node.address in item["addresses"]
        )
        return [mac for mac in found if is_mac(mac)]
