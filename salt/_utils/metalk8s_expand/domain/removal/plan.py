"""The plan of a node's removal: its steps and their reasons, built from the inventory alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.etcd.quorum import Tolerance
from metalk8s_expand.domain.node import health
from metalk8s_expand.domain.removal import drain_rules
from metalk8s_expand.domain.removal.blockers import Blocker, guard_blockers, removal_blockers
from metalk8s_expand.domain.removal.drain_rules import Allowed
from metalk8s_expand.domain.removal.node_inventory import NodeInventory
from metalk8s_expand.domain.steps import PlannedStep, Step, digest, planned_steps

GUARD, CORDON, DRAIN, LEADERSHIP, API_SERVER = (
    "guard",
    "cordon",
    "drain",
    "leadership",
    "api_server",
)
MEMBER, RETIRE, KEY, NODE = "member", "retire", "key", "node"
# The order of the steps. Each component goes before the ones it depends on. The Node goes last:
# while it exists, the removal is known to be unfinished, and no StatefulSet starts a second copy of
# a Pod.
STEPS = (
    Step(GUARD, "etcd keeps its quorum, and an API server remains"),
    Step(CORDON, "the scheduler places no new Pods on the node"),
    Step(DRAIN, "its Pods move to other nodes, as their disruption budgets allow"),
    Step(LEADERSHIP, "another etcd member is the leader"),
    Step(API_SERVER, "no client uses an API server without its etcd member"),
    Step(MEMBER, "etcd no longer counts its member"),
    Step(RETIRE, "its host runs nothing of the cluster and keeps none of its files"),
    Step(KEY, "the master no longer knows its minion"),
    Step(NODE, "the cluster no longer knows the node"),
)


@dataclass(frozen=True)
class RemovalOptions:
    """The operator's options. ``force`` confirms that the host is permanently off."""

    force: bool = False
    allowed: Allowed = field(default_factory=Allowed)
    drain_timeout_s: float = 600.0


@dataclass(frozen=True)
class Guard:
    """Whether the cluster works without the node, and what etcd tolerates before and after.

    ``before`` and ``after`` are None if the node has no etcd member. ``api_servers`` are the other
    Nodes whose API server is Ready.
    """

    problems: tuple[str, ...] = ()
    before: Tolerance | None = None
    after: Tolerance | None = None
    api_servers: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        etcd = None
        if self.before and self.after:
            etcd = {"before": self.before.as_dict(), "after": self.after.as_dict()}
        return {
            "agrees": not self.problems,
            "problems": list(self.problems),
            "etcd": etcd,
            "api_servers": list(self.api_servers),
        }


@dataclass(frozen=True)
class RemovalPlan:
    """The steps of a node's removal in order.

    The plan has no steps if the removal is refused or the node is already gone. ``given_up`` means
    that the run does not contact the host, because it is permanently off. ``guard`` is None if the
    node is already gone.
    """

    name: str
    roles: tuple[str, ...] = ()
    steps: tuple[PlannedStep, ...] = ()
    refused: tuple[Blocker, ...] = ()
    given_up: bool = False
    guard: Guard | None = None

    def has(self, step: str) -> bool:
        return any(planned.name == step for planned in self.steps)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.steps and not self.refused

    @property
    def digest(self) -> str:
        """The digest that identifies this plan.

        It omits the counts of what is on the host: containers come and go by themselves.
        """
        content = self._content()
        for step in content["steps"]:
            if step["name"] == RETIRE:
                del step["reason"]
        return digest(content)

    def as_dict(self) -> dict[str, Any]:
        guard = None if self.guard is None else self.guard.as_dict()
        return {**self._content(), "guard": guard, "digest": self.digest}

    def _content(self) -> dict[str, Any]:
        return {
            "node": self.name,
            "roles": list(self.roles),
            "given_up": self.given_up,
            "steps": [step.as_dict() for step in self.steps],
            "refused": [refusal.text for refusal in self.refused],
        }


def build_removal_plan(inventory: NodeInventory, options: RemovalOptions) -> RemovalPlan:
    """Return the removal plan for the inventory and the operator's options."""
    refused = tuple(removal_blockers(inventory, options.force, options.allowed))
    reasons = {} if refused else _reasons(inventory, options.force)
    given_up = options.force and not inventory.is_blank
    return RemovalPlan(
        inventory.name,
        inventory.roles,
        planned_steps(STEPS, reasons),
        refused,
        given_up,
        _guard(inventory) if inventory.exists else None,
    )


def differences(before: RemovalPlan, now: RemovalPlan) -> list[str]:
    """Return what has changed between two plans of a node's removal, one sentence each."""
    sentences = []
    if before.roles != now.roles:
        sentences.append(f"roles: {_listed(before.roles)}, and now {_listed(now.roles)}")
    if before.given_up != now.given_up:
        states = ["is not contacted" if plan.given_up else "is contacted" for plan in (before, now)]
        sentences.append(f"its host {states[0]}, and now {states[1]}")
    old, new = ({step.name: step.reason for step in plan.steps} for plan in (before, now))
    for step in STEPS:
        was, is_now = old.get(step.name), new.get(step.name)
        only_counts = step.name == RETIRE and was is not None and is_now is not None
        if was != is_now and not only_counts:
            unneeded = "not necessary"
            sentences.append(f"step {step.name}: {was or unneeded}, and now {is_now or unneeded}")
    return sentences


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"


def _guard(inventory: NodeInventory) -> Guard:
    """Return the verdict of the guard on the cluster as it is now."""
    problems = tuple(blocker.text for blocker in guard_blockers(inventory))
    member = inventory.member
    if member is None:
        return Guard(problems, api_servers=inventory.masters)
    staying = [other for other in inventory.members if other.id != member.id]
    before, after = quorum.tolerance(inventory.members), quorum.tolerance(staying)
    return Guard(problems, before, after, inventory.masters)


def _reasons(inventory: NodeInventory, force: bool) -> dict[str, str]:
    """Return the reason of each needed step by its name."""
    given_up = force and not inventory.is_blank
    api_server_runs = inventory.said.get("api_server") and not given_up
    pods = [] if given_up or inventory.is_blank else drain_rules.leaving(inventory.pods)
    recorded = "ConfigMaps still record the node" if inventory.recorded else None
    reasons: dict[str, str | None] = {
        CORDON: "the scheduler may still place Pods on it"
        if inventory.node and not health.cordon_problems(inventory.node)
        else None,
        DRAIN: f"{len(pods)} Pods must move" if inventory.node and pods else None,
        LEADERSHIP: "its member is etcd's leader" if inventory.leads else None,
        API_SERVER: "its API server runs" if api_server_runs else None,
        MEMBER: f"etcd has the member {inventory.member.title}" if inventory.member else None,
        RETIRE: None if given_up else inventory.traces,
        KEY: f"the master has its key in {inventory.key}" if inventory.key else None,
        NODE: "a Node of this name exists" if inventory.node else recorded,
    }
    needed = {step: reason for step, reason in reasons.items() if reason is not None}
    return {GUARD: "the cluster must keep working without the node", **needed} if needed else {}
