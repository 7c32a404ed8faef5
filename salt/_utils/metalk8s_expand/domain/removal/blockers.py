"""Reasons to refuse the removal of a node, all reported together before the first change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.node import health, roles
from metalk8s_expand.domain.removal import drain_rules
from metalk8s_expand.domain.removal.drain_rules import Allowed
from metalk8s_expand.domain.removal.node_inventory import NodeInventory

# Kinds of refusals, the most serious first.
QUORUM, BOOTSTRAP, UNKNOWN, HOST, UNREACHED, PODS = (
    "quorum",
    "bootstrap",
    "unknown",
    "host",
    "unreached",
    "pods",
)
KINDS = (QUORUM, BOOTSTRAP, UNKNOWN, HOST, UNREACHED, PODS)


@dataclass(frozen=True)
class Blocker:
    """A reason to refuse the removal."""

    kind: str
    text: str


def removal_blockers(found: NodeInventory, force: bool, allowed: Allowed) -> Iterator[Blocker]:
    """Yield every reason why this node may not be removed with these options."""
    if not found.exists and found.declared is None:
        if not found.removed:
            yield Blocker(
                UNKNOWN,
                f"{found.name} is unknown: it is not declared, and it has no Node, no etcd member and no key on the master",
            )
        return
    if (
        roles.BOOTSTRAP in found.roles
        or found.is_salt_master
        or (found.host.said or {}).get("authority")
    ):
        yield Blocker(
            BOOTSTRAP,
            f"{found.name} is the bootstrap node: it runs the Salt master and holds the CA",
        )
    if roles.MASTER in found.roles and (found.node or found.member) and not found.masters:
        yield Blocker(
            BOOTSTRAP, f"no other Node with an API server is Ready: {found.name} is the last one"
        )
    if found.member:
        yield from (
            Blocker(QUORUM, problem)
            for problem in quorum.remove_problems(found.members, found.member.id)
        )
    yield from _alive(found) if force else _unreached(found)
    if found.node and not force and not found.is_blank:
        yield from (
            Blocker(PODS, problem)
            for problem in drain_rules.obstacles(found.pods, allowed, found.local_claims)
        )


def _unreached(found: NodeInventory) -> Iterator[Blocker]:
    if found.mistaken and found.exists:
        yield Blocker(
            HOST,
            f"{found.mistaken}: correct the address, or use force=True if the node's own host is permanently off",
        )
    elif found.host.said is None and found.exists:
        yield Blocker(
            UNREACHED,
            f"its host cannot be reached, so the removal can stop and wipe nothing there: "
            f"{found.host.silence or 'it was not contacted'}; "
            "make it reachable, or use force=True if you know that it is permanently off",
        )


def _alive(found: NodeInventory) -> Iterator[Blocker]:
    """Refuse ``force`` if the host, its kubelet or its etcd member shows that the host is on."""
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
        yield Blocker(
            HOST,
            f"force is for a host that is off, but {', '.join(signs)}: remove the node without force, or switch the host off",
        )
