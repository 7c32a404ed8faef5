"""Schedule the steps of all nodes of an expansion; the steps do the work.

One thread alternates between the nodes. Each node is a generator that yields while it waits. Salt
forks to start a job, and threads do not survive a fork. A single order of events is also easier to
trust.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from metalk8s_expand.domain.expansion.plan import PREPARE, RECONNECT, REGISTER, NodePlan, Plan
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.runs.lease_rules import LockLostError
from metalk8s_expand.errors import DeadlineError, StoppedError
from metalk8s_expand.expansion import rollback
from metalk8s_expand.expansion.node_steps import Advance, NodeStep, check_health
from metalk8s_expand.expansion.rollback import Rollback
from metalk8s_expand.expansion.state import Expansion
from metalk8s_expand.runs.context import failure_of

TICK_S = 0.2
HEALTH = "health"
# After these errors a different run or job may work on the node or resume it: no rollback.
KEEP_AS_IS = (LockLostError, StoppedError, DeadlineError)
_ENDED = object()

Steps = Mapping[str, NodeStep]
# The steps of a control-plane node that other nodes need not wait for.
BEFORE_THE_TURN = (REGISTER, RECONNECT, PREPARE)


@dataclass
class ControlPlane:
    """The control-plane nodes that are prepared or cannot be, and the one that failed to join."""

    ready: set[str] = field(default_factory=set)
    failed: str = ""


def schedule(expansion: Expansion, plan: Plan, steps: Steps) -> None:
    """Execute the plan: prepare all hosts in parallel, and deploy workers beside them.

    Control-plane nodes are deployed one after another, each as soon as its host is prepared. At
    most ``max_parallel`` hosts are prepared, or workers deployed, at a time. The hosts of
    control-plane nodes come first, because the others wait for nobody. If a deployment adds voters,
    all workers wait until the control plane is complete.
    """
    progress = ControlPlane()
    workers = [run_worker(expansion, item, steps) for item in reversed(plan.workers)]
    waiting: list[Advance] = []
    for item in reversed(plan.control_plane):
        if item.has(PREPARE):
            waiting.append(prepare_member(expansion, item, steps, progress))
        else:
            progress.ready.add(item.node.name)
    serial = [run_control_plane(expansion, plan, steps, progress)] if plan.control_plane else []
    parallel: list[Advance] = []
    while serial or parallel or waiting or workers:
        if workers and not (serial and plan.adds_voters):
            waiting, workers = workers + waiting, []
        while waiting and len(parallel) < plan.max_parallel:
            parallel.append(waiting.pop())
        serial, parallel = advance_all(expansion, serial), advance_all(expansion, parallel)
        expansion.run.clock.sleep(TICK_S)


def advance_all(expansion: Expansion, tasks: list[Advance]) -> list[Advance]:
    """Advance each node once, and return the nodes that have further steps."""
    remaining = []
    for task in tasks:
        # One step of a node may take long.
        expansion.run.lock.tick()
        if next(task, _ENDED) is not _ENDED:
            remaining.append(task)
    return remaining


def run_control_plane(
    expansion: Expansion, plan: Plan, steps: Steps, progress: ControlPlane
) -> Advance:
    """Deploy the control-plane nodes one after another.

    After a failure, add no further member to the unhealthy cluster. A host that could not be
    prepared has not changed the cluster, so the other nodes go on.
    """
    for item in plan.control_plane:
        name = item.node.name
        while name not in progress.ready:
            yield None
        if name in expansion.errors or name in expansion.skipped:
            continue
        if progress.failed:
            expansion.skipped[name] = (
                f"{progress.failed} failed before it; fix that node, then run the same command"
                " again"
            )
            yield from give_up_prepared(expansion, item.node)
            continue
        if skip_if_stopped(expansion, name):
            continue
        task = run_health_and_steps(expansion, item, steps)
        yield from run_node(expansion, item.node, task)
        progress.failed = name if name in expansion.errors else ""


def prepare_member(
    expansion: Expansion, item: NodePlan, steps: Steps, progress: ControlPlane
) -> Advance:
    """Run the steps of a control-plane node until its host is prepared."""
    name = item.node.name
    if progress.failed or skip_if_stopped(expansion, name):
        progress.ready.add(name)
        return
    task = run_planned_steps(expansion, item, _until_prepared(steps))
    yield from run_node(expansion, item.node, task, ends=False)
    if name not in expansion.errors:
        expansion.run.progress(name, PREPARE, "the host is prepared and waits for its turn")
    progress.ready.add(name)


def give_up_prepared(expansion: Expansion, node: Node) -> Advance:
    """Remove the Node of a host that is prepared and will not be deployed by this run."""
    if node.name in expansion.created:
        yield from _roll_back(expansion, node)


def run_worker(expansion: Expansion, item: NodePlan, steps: Steps) -> Advance:
    """Deploy one worker."""
    if not skip_if_stopped(expansion, item.node.name):
        yield from run_node(expansion, item.node, run_planned_steps(expansion, item, steps))


def skip_if_stopped(expansion: Expansion, name: str) -> bool:
    """Skip a node that has not begun when a stop is requested; return whether it is skipped."""
    requested_by = expansion.run.stop_requested()
    if requested_by:
        expansion.skipped[name] = f"the run was stopped before it began ({requested_by})"
    return bool(requested_by)


def run_node(
    expansion: Expansion, node: Node, task: Iterator[object], ends: bool = True
) -> Advance:
    """Run steps of one node. An error ends this node's steps only.

    ``ends`` says that these are the node's last steps.
    """
    name = node.name
    try:
        yield from task
        if ends:
            expansion.run.journal.node_finished(name)
        return
    except Exception as error:
        expansion.errors[name] = failure_of(name, error)
    yield from clean_up_failed(expansion, node)


def clean_up_failed(expansion: Expansion, node: Node) -> Advance:
    """Roll back a failed node and record its final state."""
    run, name = expansion.run, node.name
    expansion.rolled_back.setdefault(name, [])
    if not isinstance(expansion.errors[name], KEEP_AS_IS):
        yield from _roll_back(expansion, node)
    expansion.states[name] = rollback.state(_tools(expansion), node)
    # The next run looks for a job that may still run.
    if not isinstance(expansion.errors[name], DeadlineError):
        run.journal.node_finished(name, expansion.errors[name].message)


def _roll_back(expansion: Expansion, node: Node) -> Advance:
    """Roll back what removal makes safer, and note that this run has no claim on the Node."""
    changes = expansion.rolled_back.setdefault(node.name, [])
    created = node.name in expansion.created
    yield from rollback.roll_back(_tools(expansion), node, created, changes)
    expansion.run.journal.node_claimed(node.name)


def _tools(expansion: Expansion) -> Rollback:
    return Rollback(expansion.access, expansion.run.lock.check, expansion.run.clock)


def _until_prepared(steps: Steps) -> Steps:
    """Return the steps that come before the control plane's turn."""
    return {name: steps[name] for name in BEFORE_THE_TURN if name in steps}


def run_health_and_steps(expansion: Expansion, item: NodePlan, steps: Steps) -> Advance:
    """Wait for a healthy control plane, then run the planned steps of a control-plane node."""
    with expansion.step(item.node.name, HEALTH):
        yield from check_health(expansion, item.node)
    done = _until_prepared(steps) if item.has(PREPARE) else {}
    left = {name: step for name, step in steps.items() if name not in done}
    yield from run_planned_steps(expansion, item, left)


def run_planned_steps(expansion: Expansion, item: NodePlan, steps: Steps) -> Advance:
    """Run the planned steps of one node, in the plan's order.

    The plan also lists the host checks, which have run on all hosts before.
    """
    for step in item.steps:
        if step.name in steps:
            expansion.ensure_may_begin(step.name)
            with expansion.step(item.node.name, step.name):
                yield from steps[step.name](expansion, item.node)
