"""The removal of one node: its run, its plan, and the lookup of the leaving member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from metalk8s_expand.clients.etcd.api import Etcd
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.removal.plan import RemovalOptions, RemovalPlan
from metalk8s_expand.errors import QuorumError
from metalk8s_expand.removal import discovery
from metalk8s_expand.runs.context import RunContext


@dataclass
class Removal:
    """The removal of one node, and its notes for the operator so far.

    ``host`` describes how to reach the host, or is None if nothing does.
    """

    run: RunContext
    settings: Settings
    name: str
    options: RemovalOptions
    host: Node | None
    plan: RemovalPlan
    notes: list[str] = field(default_factory=list)
    # The etcd snapshot from before the member's removal, as data for the report.
    snapshot: dict[str, Any] | None = None
    shown: str = ""

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the roles of the node."""
        return self.plan.roles

    def etcd(self) -> Etcd:
        """Return a client of the other members."""
        etcd = discovery.etcd_of_others(self.run.cluster, self.name)
        if etcd is None:
            raise QuorumError("no reachable etcd member is known", node=self.name)
        return etcd

    def member(self, members: Sequence[Member]) -> Member | None:
        """Return the node's own member among these."""
        return discovery.own_member(self.run.cluster, self.settings, self.name, members)

    def show_wait(self, step: str, reason: str) -> None:
        """Show once what a step waits for, and renew the lock."""
        self.run.lock.tick()
        if reason != self.shown:
            self.shown = reason
            self.run.progress(self.name, step, reason)
