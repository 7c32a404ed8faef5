"""The plan of an expansion: ``plan`` prints it, and ``expand`` executes the same value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.node import health, manifest, roles
from metalk8s_expand.domain.node.health import is_deployed
from metalk8s_expand.domain.node.manifest import Change, Object, Owned
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.parsing.addresses import canonical
from metalk8s_expand.domain.steps import PlannedStep, Step, digest, planned_steps

CHECK_SSH, PREFLIGHT, REGISTER = "check_ssh", "preflight", "register"
RECONNECT, PREPARE, DEPLOY = "reconnect", "prepare", "deploy"
VERIFY, UNCORDON = "verify", "uncordon"
# The reasons of the steps of a node that is new to the cluster.
NO_NODE, NEVER_DEPLOYED = "no Node of this name exists", "it was never deployed"
# One SSH call serves both steps.
HOST_CHECKS = f"{CHECK_SSH}, {PREFLIGHT}"
# The order of the steps. The first two run on all nodes before the first change to any node.
STEPS = (
    Step(CHECK_SSH, "the host answers over SSH with the declared key"),
    Step(PREFLIGHT, "the host meets the requirements"),
    Step(REGISTER, "the Node object matches the declaration"),
    Step(RECONNECT, "the master reaches the node's minion"),
    Step(PREPARE, "metalk8s.orchestrate.prepare_node prepares the host"),
    Step(DEPLOY, "metalk8s.orchestrate.deploy_node deploys the node"),
    Step(VERIFY, "the node is healthy and matches the declaration"),
    Step(UNCORDON, "the node accepts Pods"),
)


@dataclass(frozen=True)
class Condition:
    """What was found on a deployed node: ``problems`` are sentences that a deployment may fix.

    ``minion`` is the reason why the master does not reach the minion of a live host. ``redeploy``
    says that the operator requests a deployment.
    """

    problems: tuple[str, ...] = ()
    minion: str = ""
    redeploy: bool = False


@dataclass(frozen=True)
class NodePlan:
    """The steps of one node in order, and the differences that they remove.

    A refused node has no steps. ``skip`` are the preflight checks to skip on this node.
    ``problems`` were found on a deployed node; their text may differ from one look to the next.
    ``deployed`` says that a kubelet has reported on the node.
    """

    node: Node
    steps: tuple[PlannedStep, ...] = ()
    changes: tuple[Change, ...] = ()
    refused: str | None = None
    skip: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    deployed: bool = False

    def has(self, step: str) -> bool:
        return any(planned.name == step for planned in self.steps)

    def prepared_first(self) -> NodePlan:
        """Return the plan with a step that prepares the host before it is deployed."""
        steps = []
        for planned in self.steps:
            if planned.name == DEPLOY:
                steps.append(PlannedStep(PREPARE, planned.reason))
            steps.append(planned)
        return replace(self, steps=tuple(steps))

    @property
    def needed(self) -> bool:
        return bool(self.steps) or self.refused is not None

    def as_dict(self) -> dict[str, Any]:
        return {
            "node": self.node.name,
            "address": self.node.address,
            "profile": self.node.profile,
            "roles": list(self.node.roles),
            "version": self.node.version,
            "ssh": asdict(self.node.ssh),
            "skip": list(self.skip),
            "steps": [step.as_dict() for step in self.steps],
            "problems": list(self.problems),
            "changes": [change.as_dict() for change in self.changes],
            "refused": self.refused,
        }


@dataclass(frozen=True)
class Wave:
    """Nodes that ``expand`` deploys in this order, at most ``at_once`` of them in parallel.

    Each further node starts when an earlier one has ended.
    """

    title: str
    at_once: int
    nodes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {"title": self.title, "at_once": self.at_once, "nodes": list(self.nodes)}


CONTROL_PLANE, WORKERS, WORKERS_LAST = "control plane", "workers", "then workers"


@dataclass(frozen=True)
class Plan:
    """Two parallel waves: control-plane nodes one by one, and up to ``max_parallel`` workers.

    Up to ``max_parallel`` hosts are prepared in parallel before, of both kinds. If ``adds_voters``,
    the workers follow the control plane.
    """

    control_plane: tuple[NodePlan, ...] = ()
    workers: tuple[NodePlan, ...] = ()
    unchanged: tuple[str, ...] = ()
    max_parallel: int = 1

    @property
    def nodes(self) -> tuple[NodePlan, ...]:
        return self.control_plane + self.workers

    @property
    def waves(self) -> tuple[Wave, ...]:
        """The waves of the deployment, without refused nodes and without empty waves."""
        workers = WORKERS_LAST if self.adds_voters else WORKERS
        waves = (
            Wave(CONTROL_PLANE, 1, _names(self.control_plane)),
            Wave(workers, self.max_parallel, _names(self.workers)),
        )
        return tuple(wave for wave in waves if wave.nodes)

    @property
    def adds_voters(self) -> bool:
        """Whether MetalK8s's own deployment, which has no preparation, deploys a member of etcd.

        It adds a voter before its etcd runs. Two voters have no quorum until then, the API servers
        fail, and so would each deployment that runs beside it.
        """
        return any(item.has(DEPLOY) and not item.has(PREPARE) for item in self.control_plane)

    @property
    def at_once(self) -> int:
        """The maximum number of nodes on which ``expand`` works in parallel."""
        if self.adds_voters and not any(item.has(PREPARE) for item in self.control_plane):
            return max(1, min(self.max_parallel, len(_names(self.workers))))
        members = [item for item in self.control_plane if item.refused is None]
        prepared = [item for item in members if item.has(PREPARE)]
        beside = len(_names(self.workers)) + len(prepared)
        at_once = min(self.max_parallel, beside) + min(1, len(members))
        return min(at_once, len(_names(self.nodes)))

    @property
    def refused(self) -> tuple[NodePlan, ...]:
        return tuple(plan for plan in self.nodes if plan.refused is not None)

    @property
    def touched(self) -> list[Node]:
        """The nodes whose hosts the expansion changes."""
        return [plan.node for plan in self.nodes if plan.has(CHECK_SSH)]

    @property
    def deploying(self) -> set[str]:
        """The names of the nodes that the expansion deploys."""
        return {plan.node.name for plan in self.nodes if plan.has(DEPLOY)}

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.nodes

    @property
    def digest(self) -> str:
        """The digest that identifies this plan.

        It covers what is declared, what was found on the Nodes, and the steps and their order. It
        omits the problems: a query that fails may fail with another text the next time.
        """
        content = self._content()
        for node in (*content["control_plane"], *content["workers"]):
            del node["problems"]
        return digest(content)

    def as_dict(self) -> dict[str, Any]:
        return {**self._content(), "digest": self.digest}

    def as_report(self) -> dict[str, Any]:
        """Return what a report has of the plan.

        ``unchanged_nodes`` are names. ``changes`` are the differences, each with its ``nodes``: the
        nodes of a fleet differ in the same places.
        """
        nodes_of: dict[Change, list[str]] = {}
        for plan in self.nodes:
            for change in plan.changes:
                nodes_of.setdefault(change, []).append(plan.node.name)
        changes = [{**change.as_dict(), "nodes": names} for change, names in nodes_of.items()]
        return {"unchanged_nodes": list(self.unchanged), "changes": changes}

    def prepared_first(self, names: Collection[str]) -> Plan:
        """Return the plan that prepares the hosts of these nodes before it deploys them."""

        def changed(item: NodePlan) -> NodePlan:
            return item.prepared_first() if item.node.name in names else item

        serial, beside = map(changed, self.control_plane), map(changed, self.workers)
        return replace(self, control_plane=tuple(serial), workers=tuple(beside))

    def without(self, names: Collection[str]) -> Plan:
        """Return the plan without these nodes."""
        serial = tuple(item for item in self.control_plane if item.node.name not in names)
        beside = tuple(item for item in self.workers if item.node.name not in names)
        return replace(self, control_plane=serial, workers=beside)

    def only(self, names: Collection[str]) -> Plan:
        """Return the plan with these nodes only."""
        return self.without([item.node.name for item in self.nodes if item.node.name not in names])

    def _content(self) -> dict[str, Any]:
        return {
            "waves": [wave.as_dict() for wave in self.waves],
            "control_plane": [plan.as_dict() for plan in self.control_plane],
            "workers": [plan.as_dict() for plan in self.workers],
            "unchanged": list(self.unchanged),
        }


# Selects the part of a plan to run.
SelectPlan = Callable[[Plan], Plan]


def build_plan(
    declared: Settings,
    observed: Mapping[str, Object],
    names: Iterable[str] | None = None,
    conditions: Mapping[str, Condition] | None = None,
    owned: Mapping[str, Owned] | None = None,
) -> Plan:
    """Return the plan for these nodes, given the existing Nodes by name.

    If ``names`` is None, the plan covers all declared nodes. ``conditions`` are those of the
    deployed nodes; a node without one is not healthy. ``owned`` is what earlier registrations set
    on each node. SettingsError if a name is not declared.
    """
    known, found = owned or {}, conditions or {}
    control_plane, workers, unchanged = [], [], []
    for node in declared.chosen(names):
        owned_by_us = known.get(node.name, manifest.NOTHING)
        plan = node_plan(node, observed.get(node.name), found.get(node.name), owned_by_us)
        plan = replace(plan, skip=tuple(sorted(declared.skipped(node.name))))
        if not plan.needed:
            unchanged.append(node.name)
        elif node.is_control_plane:
            control_plane.append(plan)
        else:
            workers.append(plan)
    return Plan(
        control_plane=tuple(control_plane),
        workers=tuple(workers),
        unchanged=tuple(unchanged),
        max_parallel=declared.max_parallel,
    )


def differences(before: Mapping[str, Any], now: Plan) -> list[str]:
    """Return the changes since a plan was made, one sentence each.

    ``before`` is the ``as_dict`` of that plan.
    """
    old = {}
    for item in (*before.get("control_plane", ()), *before.get("workers", ())):
        old[item["node"]] = item
    new = {plan.node.name: plan.as_dict() for plan in now.nodes}
    gone = [f"node {name}: no step is needed any longer" for name in old if name not in new]
    come, moved = [], []
    for name, item in new.items():
        if name not in old:
            come.append(f"node {name}: was not in the plan, and now needs steps")
            continue
        keys = [key for key in item if key != "problems" and item[key] != old[name].get(key)]
        if keys:
            moved.append(f"node {name}: {', '.join(keys)} changed")
    changes = gone + come + moved
    if not changes and before.get("waves") != [wave.as_dict() for wave in now.waves]:
        return ["the waves changed"]
    return changes


def node_plan(
    node: Node,
    node_obj: Object | None,
    condition: Condition | None = None,
    owned: Owned = manifest.NOTHING,
) -> NodePlan:
    """Return the plan of one node; ``node_obj`` is its Node object, or None."""
    changes = manifest.drift(node, node_obj or {}, owned)
    refused = None if node_obj is None else _refusal(node, node_obj)
    if refused is not None:
        return NodePlan(node, (), changes, refused)
    reasons = _reasons(node_obj, len(changes), condition)
    problems = condition.problems if condition else ()
    deployed = node_obj is not None and is_deployed(node_obj)
    steps = planned_steps(STEPS, reasons)
    return NodePlan(node, steps, changes, problems=problems, deployed=deployed)


def _names(plans: Iterable[NodePlan]) -> tuple[str, ...]:
    return tuple(plan.node.name for plan in plans if plan.refused is None)


def _refusal(node: Node, node_obj: Object) -> str | None:
    """Return why the expansion must not change this Node, or None.

    The bootstrap node is refused, and so is a deployed node whose roles would change, or which
    lives at another address: its name is that of another host.
    """
    observed_roles = roles.observed_roles((node_obj.get("metadata") or {}).get("labels") or {})
    if roles.BOOTSTRAP in observed_roles:
        return f"{node.name} is the bootstrap node: remove it from the declaration"
    if not is_deployed(node_obj):
        return None
    lives_at = health.internal_ips(node_obj)
    moved = bool(lives_at and node.address) and canonical(node.address) not in lives_at
    if moved and not health.ready_problems(node_obj):
        return (
            f"{node.name} is deployed and Ready at {', '.join(lives_at)}, but declared at"
            f" {node.address}: correct the address, or choose another name for a new node"
        )
    if set(observed_roles) == set(node.roles):
        return None
    return (
        f"{node.name} is deployed with the roles {', '.join(observed_roles) or 'none'}, but"
        f" declared with {', '.join(node.roles)}: the roles of a deployed node cannot be changed;"
        " remove the node and add it again, or declare its current roles"
    )


def _reasons(node_obj: Object | None, changes: int, condition: Condition | None) -> dict[str, str]:
    """Return the reason of each needed step by its name."""
    deploy = _deploy_reason(node_obj, condition)
    register = _register_reason(node_obj, changes)
    uncordon = _uncordon_reason(node_obj)
    reconnect = condition.minion if condition and condition.minion else None
    reasons: dict[str, str | None] = {
        CHECK_SSH: deploy and "the expansion will change the host",
        PREFLIGHT: deploy and "the expansion will change the host",
        REGISTER: register,
        RECONNECT: reconnect,
        DEPLOY: deploy,
        VERIFY: "every change is verified" if register or reconnect or deploy or uncordon else None,
        UNCORDON: uncordon,
    }
    return {step: reason for step, reason in reasons.items() if reason is not None}


def _register_reason(node_obj: Object | None, changes: int) -> str | None:
    if node_obj is None:
        return NO_NODE
    if not changes:
        return None
    return f"the Node differs from the declaration in {changes} place{'s' if changes > 1 else ''}"


def _deploy_reason(node_obj: Object | None, condition: Condition | None) -> str | None:
    if node_obj is None or not is_deployed(node_obj):
        return NEVER_DEPLOYED
    problems = health.ready_problems(node_obj)
    if problems:
        return problems[0]
    if condition is None or condition.problems:
        return "it is deployed, but not healthy"
    return "redeploy=True requests it" if condition.redeploy else None


def _uncordon_reason(node_obj: Object | None) -> str | None:
    if node_obj is None:
        return "its registration cordons it"
    return "its registration left it cordoned" if manifest.is_cordoned_by_us(node_obj) else None
