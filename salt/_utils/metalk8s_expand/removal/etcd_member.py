"""Remove a member from etcd: leadership moves first, and the guard runs right before the removal.

A lost reply of etcd proves nothing, so the member list is read again until it shows the change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from metalk8s_expand.clients.etcd.api import Etcd
from metalk8s_expand.clients.host.clock import Clock, Wait, wait_until
from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.errors import ConflictError, QuorumError, UnreachableError

LOG = "/var/log/pods/kube-system_etcd-*/etcd/*.log on the control-plane nodes"
MOVE_S, REMOVE_S = 30.0, 60.0

Find = Callable[[Sequence[Member]], Member | None]
Admit = Callable[[], object]


def transfer_leadership(etcd: Etcd, find: Find, node: str, admit: Admit, clock: Clock) -> bool:
    """Transfer leadership to the most current other voter; return whether anything changed.

    Raises QuorumError when no other voter can lead.
    """
    moved: list[int] = []

    def problems() -> list[str]:
        members = etcd.members()
        member, leader = find(members), etcd.leader()
        if member is None or (leader and leader != member.id):
            return []
        if not leader:
            return ["no member leads at the moment"]
        successor = _successor(members, member)
        if successor is None:
            return ["no other voter is healthy"]
        admit()
        moved.append(successor.id)
        return _tried(
            lambda: etcd.move_leader(member.id, successor.id), "another leader is not seen yet"
        )

    _until("another etcd member to lead", problems, MOVE_S, node, clock)
    return bool(moved)


def remove_member(etcd: Etcd, find: Find, node: str, admit: Admit, clock: Clock) -> bool:
    """Remove the member under the guard; return whether there was one.

    Raises QuorumError when the guard refuses.
    """
    asked: list[int] = []

    def problems() -> list[str]:
        members = etcd.members()
        member = find(members)
        if member is None:
            return []
        found = quorum.remove_problems(members, member.id)
        if found:
            return found
        admit()
        asked.append(member.id)
        return _tried(lambda: etcd.remove(member.id), "its removal is not seen yet")

    _until(f"the etcd cluster to let {node} go", problems, REMOVE_S, node, clock)
    return bool(asked)


def _successor(members: Sequence[Member], leaving: Member) -> Member | None:
    others = [
        member
        for member in quorum.healthy_voters(members)
        if member.id != leaving.id and member.name
    ]
    return max(others, key=lambda member: member.raft_index or 0, default=None)


def _tried(change: Callable[[], None], pending: str) -> list[str]:
    try:
        change()
    except (ConflictError, UnreachableError) as error:
        return [error.message]
    return [pending]


def _until(
    what: str, problems: Callable[[], list[str]], timeout: float, node: str, clock: Clock
) -> None:
    wait_until(
        Wait(
            what,
            timeout,
            interval=0.3,
            node=node,
            hint="make every other etcd member healthy, then run the same command again",
            log=LOG,
            error=QuorumError,
        ),
        problems,
        clock,
    )
