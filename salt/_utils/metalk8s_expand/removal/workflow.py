"""The phases of a removal before and after its steps: discover, plan, refuse, report.

Each step reads the current state before it changes anything. The cluster's state is the only record
of progress: the next run finds the steps that an interrupted run has done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from metalk8s_expand.clients.host.clock import Pending, Wait, poll_until
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.removal import blockers, leftover_credentials
from metalk8s_expand.domain.removal.node_inventory import NodeInventory
from metalk8s_expand.domain.removal.plan import (
    RemovalOptions,
    RemovalPlan,
    build_removal_plan,
    differences,
)
from metalk8s_expand.domain.reports.run import NodeReport, Report, StepResult
from metalk8s_expand.errors import (
    ConflictError,
    ExpandError,
    QuorumError,
    SettingsError,
    UnreachableError,
)
from metalk8s_expand.removal import apiserver_proxies, discovery, host_reset
from metalk8s_expand.removal.context import Removal
from metalk8s_expand.runs.context import RunContext, failure_of

# The number of quorum reads before a refusal, and the seconds between them.
LOOKS, PAUSE_S = 4, 2.0
# The most seconds of all reads together. One read of a cluster that answers takes a few.
DISCOVERY_S = 900.0
ERRORS: dict[str, type[ExpandError]] = {
    blockers.QUORUM: QuorumError,
    blockers.UNKNOWN: SettingsError,
    blockers.UNREACHED: UnreachableError,
}
RemovalStep = Callable[[Removal], str]


def discover_and_plan(
    run: RunContext, settings: Settings, name: str, options: RemovalOptions
) -> tuple[NodeInventory, RemovalPlan]:
    """Return the inventory and the plan; an etcd election at this moment is no reason to refuse."""
    run.progress(name, "look", "at the cluster and the host")
    attempts = 0

    def attempt() -> tuple[NodeInventory, RemovalPlan] | Pending:
        nonlocal attempts
        attempts += 1
        inventory = discovery.discover_node(run.cluster, settings, name)
        plan = build_removal_plan(inventory, options)
        kinds = {refusal.kind for refusal in plan.refused}
        if blockers.QUORUM in kinds and attempts < LOOKS:
            run.lock.tick()
            return Pending(("etcd has no healthy quorum at the moment",))
        return inventory, plan

    wait = Wait("etcd to be healthy", DISCOVERY_S, interval=PAUSE_S, node=name)
    return poll_until(wait, attempt, run.clock)


def ensure_not_refused(plan: RemovalPlan) -> None:
    """Raise everything that the plan refuses, together; the gravest selects the class."""
    if not plan.refused:
        return
    kinds = [refusal.kind for refusal in plan.refused]
    gravest = min(kinds, key=blockers.KINDS.index)
    raise ERRORS.get(gravest, ConflictError)(
        "the removal is refused, so nothing was changed",
        node=plan.name,
        problems=[refusal.text for refusal in plan.refused],
        hint=(
            "fix these problems and run the same command again; to see the steps: salt-run"
            f" metalk8s_expand.remove_node {plan.name} dry_run=True"
        ),
    )


def ensure_same_plan(plan: RemovalPlan, shown: RemovalPlan | None) -> None:
    """Raise ConflictError with the differences unless the plan is the one that was shown.

    Without a shown plan every plan passes.
    """
    if shown is None or plan.digest == shown.digest:
        return
    raise ConflictError(
        f"the plan has changed since the plan {shown.digest[:12]} was shown, so nothing was"
        f" changed; the current plan is {plan.digest[:12]}",
        node=plan.name,
        problems=differences(shown, plan),
        hint="run the same command again and read the new plan",
    )


def begin(
    run: RunContext,
    settings: Settings,
    inventory: NodeInventory,
    options: RemovalOptions,
    plan: RemovalPlan,
) -> Removal:
    """Return the removal that the steps execute."""
    host = host_reset.described(settings, inventory.name, inventory.node)
    return Removal(run, settings, inventory.name, options, host, plan)


def run_steps(removal: Removal, steps: Mapping[str, RemovalStep]) -> NodeReport:
    """Run the planned steps in order until one fails; return their results."""
    run, name = removal.run, removal.name
    results: list[StepResult] = []
    error: ExpandError | None = None
    try:
        for step in removal.plan.steps:
            run.lock.check()
            run.ensure_not_stopped()
            run.journal.step_started(name, step.name)
            with run.step(name, step.name, results.append) as details:
                details.append(steps[step.name](removal))
    except Exception as exc:
        error = failure_of(name, exc)
    run.journal.node_finished(name, error.message if error else "")
    return NodeReport(name, tuple(results), error is None, error.as_dict() if error else None)


def final_notes(removal: Removal, result: NodeReport) -> list[str]:
    """Return notes for the operator, and the nodes that do not know of the removal yet."""
    name, plan = removal.name, removal.plan
    if plan.empty:
        return [f"{name} does not exist: nothing to do"]
    if not result.ok:
        return [
            f"{name} is partly removed and stays cordoned: run the same command again, or expand to"
            " add it again"
        ]
    notes = leftover_credentials.advice(name, plan.roles) if plan.given_up else []
    if name in removal.settings.nodes:
        notes.append(
            f"the pillar still declares {name}: the next expand adds it again; to prevent that,"
            " remove it from the pillar"
        )
    return notes + apiserver_proxies.refresh_apiserver_proxies(
        removal.run.cluster, removal.settings, name, plan.roles
    )


def build_report(removal: Removal, result: NodeReport, notes: Sequence[str]) -> Report:
    """Return the report of the run."""
    progress = removal.run.progress
    retcode = int(result.error["retcode"]) if result.error else 0
    nodes = () if removal.plan.empty else (result,)
    return Report(
        progress.run,
        nodes,
        progress.started,
        progress.elapsed(),
        not retcode,
        retcode,
        tuple(notes),
        removal.snapshot,
    )
