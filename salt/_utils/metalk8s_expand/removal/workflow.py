"""Remove one node: discover, plan, then refuse or run the steps.

Each step reads the current state before it changes anything. The cluster's state is the only record
of progress: the next run finds the steps that an interrupted run has done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.removal import blockers, leftover_credentials, node_inventory
from metalk8s_expand.domain.removal import plan as plans
from metalk8s_expand.domain.removal.plan import RemovalOptions, RemovalPlan
from metalk8s_expand.domain.reports.run import NodeReport, StepResult
from metalk8s_expand.domain.runs import events
from metalk8s_expand.errors import (
    ConflictError,
    ExpandError,
    QuorumError,
    SettingsError,
    UnreachableError,
)
from metalk8s_expand.removal import apiserver_proxies, discovery, host_reset
from metalk8s_expand.removal.context import Lock, Run
from metalk8s_expand.removal.steps import ACTIONS
from metalk8s_expand.runs.protocols import LOGS, Progress, Tell, nobody

log = logging.getLogger(__name__)

# The number of quorum reads before a refusal, and the seconds between them.
LOOKS, PAUSE_S = 4, 2.0
ERRORS: dict[str, type[ExpandError]] = {
    blockers.QUORUM: QuorumError,
    blockers.UNKNOWN: SettingsError,
    blockers.UNREACHED: UnreachableError,
}


@dataclass(frozen=True)
class Outcome:
    """The plan, the completed steps, and further notes."""

    plan: RemovalPlan
    node: NodeReport
    notes: tuple[str, ...] = field(default_factory=tuple)


def planned(
    world: ClusterContext, declared: Settings, node: str, options: RemovalOptions
) -> RemovalPlan:
    """Return the plan that ``remove`` would execute now."""
    return plans.build_removal_plan(discovery.discover_node(world, declared, node), options)


def remove(
    world: ClusterContext,
    declared: Settings,
    node: str,
    options: RemovalOptions,
    lock: Lock,
    progress: Progress,
    clock: Clock | None = None,
    before_member_change: Callable[[], object] = lambda: None,
    begin: Callable[[str], object] = lambda step: None,
    tell: Tell = nobody,
) -> Outcome:
    """Remove the node. An error before the first change is raised, a later one is in the report.

    ``begin`` is called with the name of each step before it, and raises when the step must not
    begin; ``tell`` informs programs that follow the run.
    """
    clock = clock or Clock()
    progress(node, "look", "at the cluster and the host")
    found, plan = _looked(world, declared, node, options, lock, clock)
    refuse(plan)
    host = host_reset.described(declared, node, found.node)
    run = Run(
        world,
        declared,
        node,
        options,
        lock,
        progress,
        clock,
        before_member_change,
        host,
        plan.roles,
        tell=tell,
    )
    report = _executed(run, plan, begin)
    return Outcome(plan, report, (*run.notes, *_closing(run, plan, report)))


def refuse(plan: RemovalPlan) -> None:
    """Raise everything that the plan refuses, together; the gravest selects the class."""
    if not plan.refused:
        return
    kinds = [refusal.kind for refusal in plan.refused]
    gravest = min(kinds, key=blockers.KINDS.index)
    raise ERRORS.get(gravest, ConflictError)(
        "the removal is refused, so nothing was changed",
        node=plan.name,
        problems=[refusal.text for refusal in plan.refused],
        hint=f"mend these and run again; what would be done: salt-run metalk8s_expand.remove_node {plan.name} dry_run=True",
    )


def _looked(
    world: ClusterContext,
    declared: Settings,
    node: str,
    options: RemovalOptions,
    lock: Lock,
    clock: Clock,
) -> tuple[node_inventory.NodeInventory, RemovalPlan]:
    """Return the inventory and the plan; an etcd election at this moment is no reason to refuse."""
    for _ in range(LOOKS - 1):
        found = discovery.discover_node(world, declared, node)
        plan = plans.build_removal_plan(found, options)
        if blockers.QUORUM not in {refusal.kind for refusal in plan.refused}:
            return found, plan
        lock.tick()
        clock.sleep(PAUSE_S)
    found = discovery.discover_node(world, declared, node)
    return found, plans.build_removal_plan(found, options)


def _executed(run: Run, plan: RemovalPlan, begin: Callable[[str], object]) -> NodeReport:
    steps: list[StepResult] = []
    error: ExpandError | None = None
    try:
        for step in plan.steps:
            run.lock.check()
            begin(step.name)
            with _step(run, step.name, steps) as tell:
                tell(ACTIONS[step.name](run))
    except ExpandError as exc:
        error = exc
        error.node, error.log = error.node or run.name, error.log or LOGS
    except Exception as exc:
        log.exception("node %s: unexpected %s", run.name, type(exc).__name__)
        hint = "read the traceback in the master's log; this is a defect, please report it"
        error = ExpandError(
            f"unexpected {type(exc).__name__}: {exc}", node=run.name, hint=hint, log=LOGS
        )
    return NodeReport(run.name, tuple(steps), error is None, error.as_dict() if error else None)


@contextmanager
def _step(run: Run, name: str, steps: list[StepResult]) -> Iterator[Callable[[str], None]]:
    started = run.clock.now()
    details: list[str] = []
    run.progress(run.name, name, "started")
    run.tell(run.name, name, events.STARTED)
    try:
        yield details.append
    except Exception as error:
        took = run.clock.now() - started
        steps.append(StepResult(name, started, took, False))
        run.progress(run.name, name, f"FAILED after {took:.1f} s")
        run.tell(run.name, name, events.FAILED, took, error=error)
        raise
    took = run.clock.now() - started
    run.tell(run.name, name, events.DONE, took)
    steps.append(StepResult(name, started, took, True, "; ".join(details)))
    run.progress(run.name, name, f"done in {took:.1f} s: {'; '.join(details)}")


def _closing(run: Run, plan: RemovalPlan, report: NodeReport) -> list[str]:
    """Return notes for the operator, and the nodes that do not know of the removal yet."""
    if plan.empty:
        return [f"{run.name} is not there (any more): nothing to do"]
    notes = []
    if not report.ok:
        notes.append(
            f"{run.name} is removed in part and stays cordoned: run the same command again, or expand to bring it back"
        )
        return notes
    if plan.given_up:
        notes += leftover_credentials.advice(run.name, plan.roles)
    if run.name in run.declared.nodes:
        notes.append(
            f"the pillar still declares {run.name}: the next expand adds it again; if it shall stay away, take it out"
        )
    return notes + apiserver_proxies.refresh_apiserver_proxies(
        run.world, run.declared, run.name, plan.roles
    )
