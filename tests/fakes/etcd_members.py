"""An etcd cluster that keeps its members in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.errors import ConflictError, UnreachableError

NAME, ADDRESS, URL = "cp-1", "10.0.0.9", "https://10.0.0.9:2380"

HEALTH_INTERVAL_S = 5.0


def voter(number: int, healthy: bool = True, **changes: Any) -> Member:
    fields: dict[str, Any] = {
        "id": number, "name": f"m{number}", "peer_urls": (f"https://10.0.0.{number}:2380",), "healthy": healthy,
        "cluster_id": 7, "raft_index": 5000, "applied_index": 5000, "error": None if healthy else "refused",
    }  # fmt: skip
    return Member(**{**fields, **changes})


@dataclass
class FakeEtcd:
    """The cluster as its voters see it. Times are of the clock that is given."""

    clock: Clock
    listed: dict[int, Member]
    urls: tuple[str, ...] = ("https://10.0.0.1:2379",)
    refuse_until: float = 0.0
    down_until: float = 0.0
    lost_replies: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    next_id: int = 100

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

    def _done(self, what: str, which: str) -> None:
        self.changed.append(f"{what} {which}")
        if what in self.lost_replies:
            self.lost_replies.remove(what)
            raise UnreachableError(f"the reply to {what} was lost")
