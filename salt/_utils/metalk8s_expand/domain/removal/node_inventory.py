"""Inventory of a node to remove: its roles, Node, etcd member, minion key, Pods and host."""

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
    """What the node's host reported over SSH, or why it did not.

    ``answers`` is true if something answers at the host's address, even without a login.
    """

    said: Mapping[str, Any] | None = None
    silence: str = ""
    answers: bool = False


@dataclass(frozen=True)
class NodeInventory:
    """Everything that exists of one node.

    ``masters`` are the other Ready Nodes with an API server. ``volumes`` are the names of the
    storage operator's Volumes on its disks. ``removed`` is true if an earlier run removed a node of
    this name, ``is_salt_master`` if the Salt master has the node's name, ``is_ca`` if its minion
    signs the cluster's certificates.
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
    volumes: tuple[str, ...] = ()
    recorded: bool = False
    removed: bool = False
    is_salt_master: bool = False
    is_ca: bool = False
    master_key: str = ""

    @property
    def member(self) -> Member | None:
        """The node's etcd member, by its name or by its peer URL.

        A member that never started has no name.
        """
        for member in self.members:
            if member.name == self.name:
                return member
        for member in self.members:
            if not member.name and self._has_its_address(member):
                return member
        return None

    @property
    def leads(self) -> bool:
        return self.member is not None and self.member.id == self.leader

    @property
    def roles(self) -> tuple[str, ...]:
        """The union of the roles from the Node's labels, the declaration and the etcd member."""
        known = set(roles.observed_roles(_metadata(self.node).get("labels") or {}))
        if self.declared:
            known.update(self.declared.roles)
        if self.member:
            known.add(roles.ETCD)
        return tuple(role for role in roles.KNOWN if role in known)

    @property
    def said(self) -> Mapping[str, Any]:
        """What the host reported; empty if the host at the address is not this node's."""
        return self.host.said if self.host.said is not None and not self.mistaken else {}

    @property
    def mistaken(self) -> str:
        """Why the host that answered is not this node's; empty if it is."""
        answer = self.host.said
        if answer is None:
            return ""
        others = [name for name in answer.get("names") or () if name != self.name]
        ours = _without_spaces(self.master_key)
        theirs = _without_spaces(answer.get("master_key") or "")
        node_info = _mapping(self.node, "status").get("nodeInfo") or {}
        machine = str(node_info.get("machineID") or "")
        if others:
            return f"the host at its address is {', '.join(others)}"
        if ours and theirs and ours != theirs:
            return "the minion of the host at its address has another Salt master"
        if machine and answer.get("machine_id") and answer["machine_id"] != machine:
            return (
                f"the host at its address is the machine {answer['machine_id']}, "
                f"but the Node's machine is {machine}"
            )
        if not answer.get("names") and answer.get("traces"):
            return (
                f"the host at its address does not report the name {self.name}, "
                f"but it holds {answer['traces'][0]}"
            )
        return ""

    @property
    def traces(self) -> str | None:
        """The counts of services, paths and containers of the cluster on the host, or None."""
        counted = [
            (len(self.said.get("services") or ()), "services"),
            (len(self.said.get("traces") or ()), "paths"),
            (int(self.said.get("containers") or 0), "containers"),
        ]
        words = [f"{count} {what}" for count, what in counted if count]
        return f"its host has {', '.join(words)} of the cluster" if words else None

    @property
    def is_blank(self) -> bool:
        """Whether the host reports that nothing of the cluster is there.

        Its Pods are gone then, even if the API still lists them.
        """
        return bool(self.said) and self.traces is None

    @property
    def exists(self) -> bool:
        """Whether the cluster, the master or the records still know the node."""
        return bool(self.node or self.member or self.key or self.recorded)

    def _has_its_address(self, member: Member) -> bool:
        address = self.declared.address if self.declared else health.internal_ip(self.node or {})
        return bool(address) and quorum.peer_url(address) in member.peer_urls


def _without_spaces(text: object) -> str:
    return "".join(str(text).split())


def _metadata(item: Object | None) -> Object:
    return _mapping(item, "metadata")


def _mapping(item: Object | None, key: str) -> Object:
    return (item or {}).get(key) or {}
