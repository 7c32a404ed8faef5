"""The data and clients that all steps of one removal share, and the lookup of the leaving member."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from metalk8s_expand.clients.etcd.api import Etcd
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.removal.plan import RemovalOptions
from metalk8s_expand.errors import QuorumError
from metalk8s_expand.removal import discovery
from metalk8s_expand.runs import protocols
from metalk8s_expand.runs.protocols import Progress, Tell, nobody


class Lock(protocols.Lock, Protocol):
    """The lock, with renewal while a call blocks."""

    def renewing(self, at_most: float) -> AbstractContextManager[None]:
        """Renew for at most ``at_most`` seconds."""


@dataclass
class Run:
    """The clients of the removal of one node, and its results."""

    world: ClusterContext
    declared: Settings
    name: str
    options: RemovalOptions
    lock: Lock
    progress: Progress
    clock: Clock = field(default_factory=Clock)
    before_member_change: Callable[[], object] = lambda: None
    host: Node | None = None
    roles: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    told: str = ""
    tell: Tell = nobody

    def etcd(self) -> Etcd:
        """Return a client of the other members."""
        found = discovery.etcd_of_others(self.world, self.name)
        if found is None:
            raise QuorumError("no etcd member is known that could be asked", node=self.name)
        return found

    def member(self, members: Sequence[Member]) -> Member | None:
        """Return the node's own member among these."""
        return discovery.own_member(self.world, self.declared, self.name, members)

    def wait(self, step: str, what: str) -> None:
        """Report once what a step waits for, and keep the lock meanwhile."""
        self.lock.tick()
        if what != self.told:
            self.told = what
            self.progress(self.name, step, what)
