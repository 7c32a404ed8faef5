"""What was found of a node that is to be removed, and why its removal may be refused: all reasons at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from metalk8s_expand.domain import drain, health, quorum, roles
from metalk8s_expand.domain.drain import Allowed, Claim
from metalk8s_expand.domain.nodes import Node
from metalk8s_expand.domain.quorum import Member

Object = Mapping[str, Any]

# What a refusal is about, the gravest first.
QUORUM, BOOTSTRAP, UNKNOWN, HOST, UNREACHED, PODS = "quorum", "bootstrap", "unknown", "host", "unreached", "pods"
KINDS = (QUORUM, BOOTSTRAP, UNKNOWN, HOST, UNREACHED, PODS)


@dataclass(frozen=True)
class Refusal:
    """Why nothing is done."""

    kind: str
    text: str


@dataclass(frozen=True)
class Host:
    """What the node's host said over SSH, or why it said nothing; ``answers`` when something at its address does."""

    said: Mapping[str, Any] | None = None
    silence: str = ""
    answers: bool = False


@dataclass(frozen=True)
class Found:
    """Everything there is of one node. ``masters`` are the other Nodes with an API server that are Ready.

    ``removed`` says that an earlier run removed a node of this name, ``is_master`` that the Salt master runs under it.
    """

    name: str
    declared: Node | None = None
    node: Object | None = None
    members: tuple[Member, ...] = ()
    leader: int = 0
    key: str = ""
    host: Host = field(default_factory=Host)
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
        return named or next((member for member in self.members if not member.name and self._has_its_address(member)), None)

    @property
    def leads(self) -> bool:
        return self.member is not None and self.member.id == self.leader

    @property
    def roles(self) -> tuple[str, ...]:
        """By its labels, its declaration and its member: what only one of them says counts, too."""
        labels = roles.observed_roles(_metadata(self.node).get("labels") or {})
        known = {*labels, *(self.declared.roles if self.declared else ()), *([roles.ETCD] if self.member else [])}
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
        ours, theirs = ("".join(str(text).split()) for text in (self.master_key, said.get("master_key") or ""))
        machine = str(((_mapping(self.node, "status")).get("nodeInfo") or {}).get("machineID") or "")
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
        counted = [(len(self.said.get("services") or ()), "services"), (len(self.said.get("traces") or ()), "paths")]
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
        return bool(address) and f"https://{address}:2380" in member.peer_urls


def refusals(found: Found, force: bool, allowed: Allowed) -> Iterator[Refusal]:
    """Why this node may not be removed, or not in this way."""
    if not found.exists and found.declared is None:
        if not found.removed:
            yield Refusal(
                UNKNOWN, f"{found.name} is neither declared nor a Node nor an etcd member, and the master has no key of it"
            )
        return
    if roles.BOOTSTRAP in found.roles or found.is_salt_master or (found.host.said or {}).get("authority"):
        yield Refusal(BOOTSTRAP, f"{found.name} is the bootstrap node: the CA and the Salt master are there")
    if roles.MASTER in found.roles and (found.node or found.member) and not found.masters:
        yield Refusal(BOOTSTRAP, f"no other Node with an API server is Ready: {found.name} is the last one")
    if found.member:
        yield from (Refusal(QUORUM, problem) for problem in quorum.remove_problems(found.members, found.member.id))
    yield from _alive(found) if force else _unreached(found)
    if found.node and not force and not found.is_blank:
        yield from (Refusal(PODS, problem) for problem in drain.obstacles(found.pods, allowed, found.local_claims))


def _unreached(found: Found) -> Iterator[Refusal]:
    if found.mistaken and found.exists:
        yield Refusal(
            HOST, f"{found.mistaken}: correct the address, or use force=True when the node's own host is off for good"
        )
    elif found.host.said is None and found.exists:
        yield Refusal(
            UNREACHED,
            f"its host cannot be reached, so nothing there can be stopped or wiped: {found.host.silence or 'nobody asked it'}; "
            "make it reachable, or, when you know that it is off for good, use force=True",
        )


def _alive(found: Found) -> Iterator[Refusal]:
    """Whoever says that a host is off must not be contradicted by the host."""
    signs = []
    if found.said and not found.is_blank:
        signs.append("its host answers over SSH")
    if found.host.answers:
        signs.append(f"something answers at its address ({found.host.silence})")
    if found.node and not found.is_blank and not health.ready_problems(found.node):
        signs.append("its kubelet has reported within the last minute")
    if found.member and found.member.healthy:
        signs.append("its etcd member answers")
    if signs:
        yield Refusal(
            HOST, f"force is for a host that is off, and {', '.join(signs)}: remove it without force, or switch it off"
        )


def _metadata(item: Object | None) -> Object:
    return _mapping(item, "metadata")


def _mapping(item: Object | None, key: str) -> Object:
    return (item or {}).get(key) or {}
