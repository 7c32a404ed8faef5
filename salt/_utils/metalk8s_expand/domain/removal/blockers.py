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
QUORUM, BOOTSTRAP, UNKNOWN, HOST, UNREACHED, PODS, VOLUMES = (
    "quorum",
    "bootstrap",
    "unknown",
    "host",
    "unreached",
    "pods",
    "volumes",
)
KINDS = (QUORUM, BOOTSTRAP, UNKNOWN, HOST, UNREACHED, PODS, VOLUMES)


@dataclass(frozen=True)
class Blocker:
    """A reason to refuse the removal."""

    kind: str
    text: str


def removal_blockers(inventory: NodeInventory, force: bool, allowed: Allowed) -> Iterator[Blocker]:
    """Yield every reason why this node may not be removed with these options."""
    if not inventory.exists and inventory.declared is None:
        if not inventory.removed:
            yield Blocker(
                UNKNOWN,
                f"{inventory.name} is unknown: it is not declared, and it has no Node, "
                "no etcd member and no key on the master",
            )
        return
    yield from _indispensable(inventory)
    yield from guard_blockers(inventory)
    yield from _alive(inventory) if force else _unreached(inventory)
    if inventory.node and not force and not inventory.is_blank:
        for problem in drain_rules.obstacles(inventory.pods, allowed, inventory.local_claims):
            yield Blocker(PODS, problem)
    if inventory.exists and inventory.volumes and not allowed.volumes:
        yield Blocker(
            VOLUMES,
            f"the storage operator has the Volumes {', '.join(inventory.volumes)} on its disks:"
            " move their data and delete them with kubectl delete volumes.storage.metalk8s.scality."
            "com, or use volumes=True, which keeps the Volumes and their disks as they are",
        )


def _indispensable(inventory: NodeInventory) -> Iterator[Blocker]:
    """Refuse the Salt master's node and the CA's node."""
    if (
        roles.BOOTSTRAP in inventory.roles
        or inventory.is_salt_master
        or (inventory.host.said or {}).get("authority")
    ):
        yield Blocker(
            BOOTSTRAP,
            f"{inventory.name} is the bootstrap node: it runs the Salt master and holds the CA",
        )
    elif inventory.is_ca:
        yield Blocker(
            BOOTSTRAP, f"{inventory.name} holds the CA: its minion signs the cluster's certificates"
        )


def guard_blockers(inventory: NodeInventory) -> Iterator[Blocker]:
    """Yield why the cluster would not work without this node: the verdict of the guard."""
    if (
        roles.MASTER in inventory.roles
        and (inventory.node or inventory.member)
        and not inventory.masters
    ):
        yield Blocker(
            BOOTSTRAP,
            f"no other Node with an API server is Ready: {inventory.name} is the last one",
        )
    if inventory.member:
        for problem in quorum.remove_problems(inventory.members, inventory.member.id):
            yield Blocker(QUORUM, problem)


def _unreached(inventory: NodeInventory) -> Iterator[Blocker]:
    if inventory.mistaken and inventory.exists:
        yield Blocker(
            HOST,
            f"{inventory.mistaken}: correct the address, or use force=True "
            "if the node's own host is permanently off",
        )
    elif inventory.host.said is None and inventory.exists:
        yield Blocker(
            UNREACHED,
            "its host cannot be reached, so the removal can stop and wipe nothing there: "
            f"{inventory.host.silence or 'it was not contacted'}; "
            "make it reachable, or use force=True if you know that it is permanently off",
        )


def _alive(inventory: NodeInventory) -> Iterator[Blocker]:
    """Refuse ``force`` if the host, its kubelet or its etcd member shows that the host is on."""
    signs = []
    if inventory.said and not inventory.is_blank:
        signs.append("its host answers over SSH")
    if inventory.host.answers:
        signs.append(f"something answers at its address ({inventory.host.silence})")
    if inventory.node and not inventory.is_blank and not health.ready_problems(inventory.node):
        signs.append("its kubelet has reported within the last minute")
    if inventory.member and inventory.member.healthy:
        signs.append("its etcd member answers")
    if signs:
        yield Blocker(
            HOST,
            f"force is for a host that is off, but {', '.join(signs)}: remove the node without"
            " force, or switch the host off",
        )
