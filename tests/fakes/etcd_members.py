"""An etcd cluster that keeps its members in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.errors import ConflictError, UnreachableError
from tests.fakes.clock import FakeClock

NAME, ADDRESS, URL = "cp-1", "10.0.0.9", "https://10.0.0.9:2380"

HEALTH_INTERVAL_S = 5.0


def voter(number: int, healthy: bool | None = True, **changes: Any) -> Member:
    fields: dict[str, Any] = {
        "id": number, "name": f"m{number}", "peer_urls": (f"https://10.0.0.{number}:2380",),
        "healthy": healthy, "cluster_id": 7, "raft_index": 5000, "applied_index": 5000,
        "error": "refused" if healthy is False else None,
    }  # fmt: skip
    return Member(**{**fields, **changes})


class FakeEtcd:
    """An etcd cluster with these members, whose leader alone can transfer leadership.

    No member answers before the time ``down_until``, and etcd refuses a learner before
    ``refuse_until``. The replies to the changes in ``lost_replies`` are lost once.
    """

    def __init__(
        self, *members: Member, clock: Clock | None = None, down_until: float = 0.0
    ) -> None:
        self.clock = clock or FakeClock()
        self.listed = {member.id: member for member in members}
        self.urls: tuple[str, ...] = ("https://10.0.0.1:2379",)
        self.led_by = 1
        self.refuse_until = 0.0
        self.down_until = down_until
        self.lost_replies: list[str] = []
        self.changed: list[str] = []
        self.next_id = 100

    def members(self) -> list[Member]:
        if not self.urls or self.clock.monotonic() < self.down_until:
            raise UnreachableError("no etcd member answers")
        return list(self.listed.values())

    def add_learner(self, peer_url: str) -> int:
        if self.clock.monotonic() < self.refuse_until:
            raise ConflictError("etcdserver: unhealthy cluster")
        if any(peer_url in member.peer_urls for member in self.listed.values()):
            raise ConflictError("etcdserver: Peer URLs already exists")
        if any(member.learner for member in self.listed.values()):
            raise ConflictError("etcdserver: too many learner members in cluster")
        self.next_id += 1
        self.listed[self.next_id] = Member(
            self.next_id,
            "",
            (peer_url,),
            learner=True,
            healthy=None,
            error="it has not started: it has no client URL",
        )
        self._done("add", peer_url)
        return self.next_id

    def promote(self, member_id: int) -> None:
        member = self.listed[member_id]
        if not member.learner:
            raise ConflictError("etcdserver: can only promote a learner member")
        if not member.name:
            raise ConflictError(
                "etcdserver: can only promote a learner member which is in sync with leader"
            )
        self.listed[member_id] = replace(member, learner=False)
        self.refuse_until = self.clock.monotonic() + HEALTH_INTERVAL_S
        self._done("promote", f"{member_id}")

    def remove(self, member_id: int) -> None:
        if member_id not in self.listed:
            raise ConflictError("etcdserver: member not found")
        del self.listed[member_id]
        self._done("remove", f"{member_id}")

    def leader(self) -> int:
        return self.led_by if self.led_by in self.listed else 0

    def move_leader(self, leader_id: int, target_id: int) -> None:
        if leader_id != self.led_by:
            raise ConflictError("etcdserver: not leader")
        self.led_by = target_id
        self._done("move", f"{target_id}")

    def start(self, member_id: int, **changes: Any) -> None:
        """What the kubelet does with the static Pod."""
        fields = {
            "name": NAME,
            "healthy": True,
            "error": None,
            "cluster_id": 7,
            "raft_index": 5000,
            "applied_index": 5000,
        }
        self.listed[member_id] = replace(self.listed[member_id], **{**fields, **changes})

    def put(self, member: Member) -> None:
        """Add a member, or replace the one with its ID."""
        self.listed[member.id] = member

    def _done(self, what: str, which: str) -> None:
        self.changed.append(f"{what} {which}")
        if what in self.lost_replies:
            self.lost_replies.remove(what)
            raise UnreachableError(f"the reply to {what} was lost")


def dead_etcd() -> FakeEtcd:
    """Return an etcd cluster of which no member ever answers."""
    return FakeEtcd(down_until=float("inf"))
