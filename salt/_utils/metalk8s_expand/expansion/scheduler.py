"""Schedule the steps of all nodes of an expansion; the steps do the work.

One thread alternates between the nodes. Each node is a generator that yields while it waits. Salt
forks to start a job, and threads do not survive a fork. A single order of events is also easier to
trust.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from metalk8s_expand.domain.expansion.plan import NodePlan, Plan
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


def schedule(expansion: Expansion, plan: Plan, steps: Steps) -> None:
    """Execute the plan: control-plane nodes one after another, workers in parallel with them."""
    waiting = [run_worker(expansion, item, steps) for item in reversed(plan.workers)]
    serial = [run_control_plane(expansion, plan, steps)] if plan.control_plane else []
    parallel: list[Advance] = []
    while serial or parallel or waiting:
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


def run_control_plane(expansion: Expansion, plan: Plan, steps: Steps) -> Advance:
    """Deploy the control-plane nodes one after another.

    After a failure, add no further member to the unhealthy cluster.
    """
    failed = ""
    for item in plan.control_plane:
        name = item.node.name
        if failed:
            expansion.skipped[name] = (
                f"{failed} failed before it; fix that node, then run the same command again"
            )
            continue
        if skip_if_stopped(expansion, name):
            continue
        yield from run_node(expansion, item.node, run_health_and_steps(expansion, item, steps))
        failed = name if name in expansion.errors else ""


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


def run_node(expansion: Expansion, node: Node, task: Iterator[object]) -> Advance:
    """Run the steps of one node. An error ends this node's steps only."""
    name = node.name
    try:
        yield from task
        expansion.run.journal.node_finished(name)
        return
    except Exception as error:
        expansion.errors[name] = failure_of(name, error)
    yield from clean_up_failed(expansion, node)


def clean_up_failed(expansion: Expansion, node: Node) -> Advance:
    """Roll back a failed node and record its final state."""
    run, name = expansion.run, node.name
    tools = Rollback(expansion.access, run.lock.check, run.clock)
    changes = expansion.rolled_back.setdefault(name, [])
    if not isinstance(expansion.errors[name], KEEP_AS_IS):
        yield from rollback.roll_back(tools, node, name in expansion.created, changes)
        run.journal.node_claimed(name)
    expansion.states[name] = rollback.state(tools, node)
    # The next run looks for a job that may still run.
    if not isinstance(expansion.errors[name], DeadlineError):
        run.journal.node_finished(name, expansion.errors[name].message)


def run_health_and_steps(expansion: Expansion, item: NodePlan, steps: Steps) -> Advance:
    """Wait for a healthy control plane, then run the planned steps of a control-plane node."""
    with expansion.step(item.node.name, HEALTH):
        yield from check_health(expansion, item.node)
    yield from run_planned_steps(expansion, item, steps)


def run_planned_steps(expansion: Expansion, item: NodePlan, steps: Steps) -> Advance:
    """Run the planned steps of one node, in the plan's order.

    The plan also lists the host checks, which have run on all hosts before.
    """
    for step in item.steps:
        if step.name in steps:
            expansion.ensure_may_begin(step.name)
            with expansion.step(item.node.name, step.name):
                yield from steps[step.name](expansion, item.node)
