"""What was found of a node that is to be removed, and what that says: which roles it has, whether its host is its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.node import health, roles
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.removal.drain_rules import Claim

Object = Mapping[str, Any]


@dataclass(frozen=True)
class HostInventory:
    """What the node's host said over SSH, or why it said nothing; ``answers`` when something at its address does."""

    said: Mapping[str, Any] | None = None
    silence: str = ""
    answers: bool = False


@dataclass(frozen=True)
class NodeInventory:
    """Everything there is of one node. ``masters`` are the other Nodes with an API server that are Ready.

    ``removed`` says that an earlier run removed a node of this name, ``is_master`` that the Salt master runs under it.
    """

    name: str
    declared: Node | None = None
    node: Object | None = None
    members: tuple[Member, ...] = ()
    leader: int = 0
    key: str = ""
    host: HostInventory = field(default_factory=HostInventory)
    pods: tuple[Object, ...] = ()
    local_claims: Collection[Claim] = frozenset()
    masters: tuple[str, ...] = ()
    recorded: bool = False
    removed: bool = False
    is_salt_master: bool = False
    master_key: str = ""

    @property
    def member(self) -> Member | None:
        """Its etcd member: by its name, else by its peer URL, as one that never started has no name."""
        named = next((member for member in self.members if member.name == self.name), None)
        return named or next(
            (
                member
                for member in self.members
                if not member.name and self._has_its_address(member)
            ),
            None,
        )

    @property
    def leads(self) -> bool:
        return self.member is not None and self.member.id == self.leader

    @property
    def roles(self) -> tuple[str, ...]:
        """By its labels, its declaration and its member: what only one of them says counts, too."""
        labels = roles.observed_roles(_metadata(self.node).get("labels") or {})
        known = {
            *labels,
            *(self.declared.roles if self.declared else ()),
            *([roles.ETCD] if self.member else []),
        }
        return tuple(role for role in roles.KNOWN if role in known)

    @property
    def said(self) -> Mapping[str, Any]:
        """What the host said, if it is the right one; nothing of another."""
        return self.host.said if self.host.said is not None and not self.mistaken else {}

    @property
    def mistaken(self) -> str:
        """Why the host that answered is not this node's."""
        said = self.host.said
        if said is None:
            return ""
        named = [name for name in said.get("names") or () if name != self.name]
        ours, theirs = (
            "".join(str(text).split()) for text in (self.master_key, said.get("master_key") or "")
        )
        machine = str(
            ((_mapping(self.node, "status")).get("nodeInfo") or {}).get("machineID") or ""
        )
        if named:
            return f"the host at its address is {', '.join(named)}"
        if ours and theirs and ours != theirs:
            return "the minion of the host at its address has another Salt master"
        if machine and said.get("machine_id") and said["machine_id"] != machine:
            return f"the host at its address is the machine {said['machine_id']}, and the Node's was {machine}"
        if not said.get("names") and said.get("traces"):
            return f"the host at its address does not say that it is {self.name}, but it holds {said['traces'][0]}"
        return ""

    @property
    def traces(self) -> str | None:
        """What of the cluster is on the host, in a few words."""
        counted = [
            (len(self.said.get("services") or ()), "services"),
            (len(self.said.get("traces") or ()), "paths"),
        ]
        counted.append((int(self.said.get("containers") or 0), "containers"))
        words = [f"{count} {what}" for count, what in counted if count]
        return f"its host has {', '.join(words)} of the cluster" if words else None

    @property
    def is_blank(self) -> bool:
        """Whether the host itself has shown that nothing runs there: its Pods are gone, whatever the API says."""
        return bool(self.said) and self.traces is None

    @property
    def exists(self) -> bool:
        """Whether anything of it is known to the cluster or the master."""
        return bool(self.node or self.member or self.key or self.recorded)

    def _has_its_address(self, member: Member) -> bool:
        address = self.declared.address if self.declared else health.internal_ip(self.node or {})
        return bool(address) and quorum.peer_url(address) in member.peer_urls


def _metadata(item: Object | None) -> Object:
    return _mapping(item, "metadata")


def _mapping(item: Object | None, key: str) -> Object:
    return (item or {}).get(key) or {}
