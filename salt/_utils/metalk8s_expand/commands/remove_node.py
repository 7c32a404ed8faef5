"""Implement ``remove_node``: the order of a removal is the function ``remove_node``."""

from __future__ import annotations

import shlex
from typing import Any

from metalk8s_expand.cluster import running_operations
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.commands import arguments
from metalk8s_expand.commands.context import CommandContext, Result
from metalk8s_expand.commands.exclusive import exclusive_run
from metalk8s_expand.commands.reports import save_report
from metalk8s_expand.domain.removal.drain_rules import Allowed
from metalk8s_expand.domain.removal.plan import RemovalOptions, RemovalPlan, build_removal_plan
from metalk8s_expand.domain.reports.removal import render_removal_plan
from metalk8s_expand.domain.reports.run import render_report
from metalk8s_expand.errors import LockedError, SettingsError
from metalk8s_expand.removal import discovery, workflow
from metalk8s_expand.removal.steps import REMOVAL_STEPS
from metalk8s_expand.runs.recorded_state import read_state

DRAIN_TIMEOUT_S = 600.0


def remove_or_preview(
    ctx: CommandContext,
    node: str,
    wait_s: float,
    dry_run: bool,
    confirm: bool = False,
    **options: Any,
) -> Result:
    """Remove the node, or with ``dry_run`` show what the removal would do.

    With ``confirm``, the operator is asked first, before the run waits for the lock.
    """
    arguments.flags(dry_run=dry_run, confirm=confirm)
    parsed = parse_options(**options)
    if dry_run:
        return ctx.render(render_removal_plan, preview(ctx, node, parsed))
    seconds = arguments.seconds("wait_s", wait_s)
    shown = confirmed(ctx, node, parsed) if confirm else None
    return ctx.render(render_report, remove_node(ctx, node, parsed, seconds, shown))


def preview(ctx: CommandContext, node: str, options: RemovalOptions) -> Result:
    """Return what the removal would do, without changes and without the lock."""
    return {**_current_plan(ctx, node, options).as_dict(), "dry_run": True}


def confirmed(ctx: CommandContext, node: str, options: RemovalOptions) -> RemovalPlan:
    """Show the plan of the removal, ask the operator, and return the plan.

    There is no question if there is nothing to do. Raises SettingsError without a terminal, all
    that the plan refuses, and StoppedError if the operator refuses the plan.
    """
    remedy = f"show the removal with {command_line(node, options)} dry_run=True, then run it"
    ctx.confirmation.ensure_possible(f"{remedy} without confirm=True")
    plan = _current_plan(ctx, node, options)
    workflow.ensure_not_refused(plan)
    if not plan.empty:
        ctx.confirmation.ask(f"remove_node {node}", render_removal_plan(plan.as_dict()))
    return plan


def _current_plan(ctx: CommandContext, node: str, options: RemovalOptions) -> RemovalPlan:
    """Return the plan of the removal as the cluster is now, without changes and the lock."""
    inventory = discovery.discover_node(ctx.cluster, ctx.settings(), node)
    return build_removal_plan(inventory, options)


def remove_node(
    ctx: CommandContext,
    node: str,
    options: RemovalOptions,
    wait_s: float = 0.0,
    shown: RemovalPlan | None = None,
) -> Result:
    """Remove one node from the cluster; return the report of the run.

    Every step finds what an interrupted run has done, so the cluster is the only record of
    progress. ``shown`` is the plan that the operator has confirmed: another plan is refused with
    ConflictError. Raises an ExpandError before the first change. A later error is in the report.
    """
    settings = ctx.settings()
    command = f"remove_node {node}"
    with exclusive_run(ctx, command, wait_s, settings.deploy_timeout) as run:
        # Decide: nothing is changed yet.
        ensure_no_other_operation(run.cluster)
        before = read_state(run.cluster)
        inventory, plan = workflow.discover_and_plan(run, settings, node, options)
        workflow.ensure_not_refused(plan)
        workflow.ensure_same_plan(plan, shown)
        removal = workflow.begin(run, settings, inventory, options, plan)

        # Change: guard, cordon, drain, leadership, API server, member, reset, key, Node.
        result = workflow.run_steps(removal, REMOVAL_STEPS)

        # Report.
        notes = removal.notes + workflow.final_notes(removal, result)
        report = workflow.build_report(removal, result, notes)
        data = {**report.as_dict(), "plan": plan.as_dict(), "unchanged": plan.empty}
        data["command"] = command_line(node, options)
        data["cluster"] = {"before": before, "after": read_state(run.cluster)}
        if result.ok:
            data[discovery.REMOVED] = node
        return save_report(run, data)


def parse_options(
    force: Any = False,
    delete_emptydir_data: Any = False,
    delete_bare_pods: Any = False,
    delete_local_volumes: Any = False,
    volumes: Any = False,
    drain_timeout_s: Any = DRAIN_TIMEOUT_S,
) -> RemovalOptions:
    """Return the options that a runner's arguments describe.

    Raises SettingsError if an argument has the wrong type: ``force=no`` must not mean yes.
    """
    flags = {
        "force": force,
        "delete_emptydir_data": delete_emptydir_data,
        "delete_bare_pods": delete_bare_pods,
        "delete_local_volumes": delete_local_volumes,
        "volumes": volumes,
    }
    problems = []
    for name, value in flags.items():
        problems += arguments.flag_problems(name, value)
    if (
        isinstance(drain_timeout_s, bool)
        or not isinstance(drain_timeout_s, (int, float))
        or drain_timeout_s <= 0
    ):
        problems.append(
            f"drain_timeout_s is {drain_timeout_s!r}: write a number of seconds, more than 0"
        )
    if problems:
        raise SettingsError("the arguments are wrong, so nothing was changed", problems=problems)
    allowed = Allowed(delete_emptydir_data, delete_bare_pods, delete_local_volumes, volumes)
    return RemovalOptions(force, allowed, float(drain_timeout_s))


def command_line(node: str, options: RemovalOptions) -> str:
    """Return the command line that resumes this removal."""
    flags = {"force": options.force, **vars(options.allowed)}
    words = [f"{name}=True" for name, value in flags.items() if value]
    if options.drain_timeout_s != DRAIN_TIMEOUT_S:
        words.append(f"drain_timeout_s={options.drain_timeout_s:g}")
    return shlex.join(["salt-run", "metalk8s_expand.remove_node", node, *words])


def ensure_no_other_operation(cluster: ClusterContext) -> None:
    """Raise LockedError if another operation runs on this cluster."""
    running = running_operations.operations(cluster)
    if running:
        raise LockedError(
            "another operation runs on this cluster, so nothing was changed",
            problems=running,
            hint="wait for its end, or stop it: salt-run jobs.master",
        )
