"""Remove a member from etcd: leadership moves first, and the guard runs right before the removal.

A lost reply of etcd proves nothing, so the member list is read again until it shows the change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from metalk8s_expand.clients.etcd.api import Etcd
from metalk8s_expand.clients.host.clock import Clock, Pending, Wait, retry_until
from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.errors import QuorumError

LOG = "/var/log/pods/kube-system_etcd-*/etcd/*.log on the control-plane nodes"
MOVE_S, REMOVE_S = 30.0, 60.0

Find = Callable[[Sequence[Member]], Member | None]
Admit = Callable[[], object]


def transfer_leadership(etcd: Etcd, find: Find, node: str, admit: Admit, clock: Clock) -> bool:
    """Transfer leadership to the most current other voter; return whether anything changed.

    Raises QuorumError when no other voter can lead.
    """
    moved = False

    def attempt() -> bool | Pending:
        nonlocal moved
        members = etcd.members()
        member, leader = find(members), etcd.leader()
        if member is None or (leader and leader != member.id):
            return moved
        if not leader:
            return Pending(("no member leads at the moment",))
        successor = _successor(members, member)
        if successor is None:
            return Pending(("no other voter is healthy",))
        admit()
        moved = True
        etcd.move_leader(member.id, successor.id)
        return Pending(("etcd does not report another leader yet",))

    return retry_until(_wait("another etcd member to lead", MOVE_S, node), attempt, clock)


def remove_member(etcd: Etcd, find: Find, node: str, admit: Admit, clock: Clock) -> bool:
    """Remove the member under the guard; return whether there was one.

    Raises QuorumError when the guard refuses.
    """
    removed = False

    def attempt() -> bool | Pending:
        nonlocal removed
        members = etcd.members()
        member = find(members)
        if member is None:
            return removed
        problems = quorum.remove_problems(members, member.id)
        if problems:
            return Pending(problems)
        admit()
        removed = True
        etcd.remove(member.id)
        return Pending(("etcd still lists the removed member",))

    return retry_until(_wait(f"the etcd cluster to let {node} go", REMOVE_S, node), attempt, clock)


def _successor(members: Sequence[Member], leaving: Member) -> Member | None:
    others = [
        member
        for member in quorum.healthy_voters(members)
        if member.id != leaving.id and member.name
    ]
    return max(others, key=lambda member: member.raft_index or 0, default=None)


def _wait(what: str, timeout: float, node: str) -> Wait:
    return Wait(
        what,
        timeout,
        interval=0.3,
        node=node,
        hint="make every other etcd member healthy, then run the same command again",
        log=LOG,
        error=QuorumError,
    )
