"""Implement ``expand`` and ``add_node``: the order of an expansion is the function ``expand``."""

from __future__ import annotations

from metalk8s_expand.commands.arguments import ExpandOptions, ExpandRequest
from metalk8s_expand.commands.context import CommandContext, Result
from metalk8s_expand.commands.exclusive import exclusive_run
from metalk8s_expand.commands.plan import confirmed, preview, with_saved_plan
from metalk8s_expand.commands.reports import save_report
from metalk8s_expand.domain.expansion.plan import Plan, SelectPlan
from metalk8s_expand.domain.reports.run import render_report
from metalk8s_expand.expansion import workflow
from metalk8s_expand.expansion.node_steps import NODE_STEPS
from metalk8s_expand.expansion.planner import (
    current_plan,
    ensure_not_refused,
    ensure_same_plan,
)
from metalk8s_expand.expansion.scheduler import schedule
from metalk8s_expand.expansion.state import Expansion
from metalk8s_expand.runs.recorded_state import read_state


def expand_or_preview(
    ctx: CommandContext, request: ExpandRequest, options: ExpandOptions
) -> Result:
    """Run the expansion, or with ``dry_run`` show what it would do, for the caller's terminal.

    With ``confirm``, the operator is asked first, before the run waits for the lock.
    """
    if options.dry_run:
        return preview(ctx, request, options)
    if options.confirm:
        options = confirmed(ctx, request, options)
    return ctx.render(render_report, expand(ctx, request, options))


def whole_plan(plan: Plan) -> Plan:
    """Select the whole plan."""
    return plan


def expand(
    ctx: CommandContext,
    request: ExpandRequest,
    options: ExpandOptions,
    select_plan: SelectPlan = whole_plan,
) -> Result:
    """Add the requested nodes that are not in the cluster yet; return the report of the run.

    ``select_plan`` selects the part of the plan to run, while the run holds the lock. Raises an
    ExpandError before the first change. Errors of nodes are in the report.
    """
    saved, request = with_saved_plan(ctx, request, options.digest)
    settings, names = ctx.resolve(request)
    command = f"expand {request.selection}"
    with exclusive_run(ctx, command, options.wait_s, settings.deploy_timeout) as run:
        # Decide: nothing is changed yet.
        workflow.check_cluster(run, settings, names)
        before = read_state(run.cluster)
        plan = current_plan(run.cluster, settings, names, run.clock, request.redeploy)
        ensure_same_plan(plan, options.digest, saved)
        plan = select_plan(plan)
        ensure_not_refused(plan)
        workflow.ensure_minions_answer(run, settings, plan)
        notes = workflow.notes_on(plan, settings, run)
        expansion = Expansion.begin(run, settings)
        hosts = workflow.check_hosts(expansion, plan)
        usable = workflow.usable_part(plan, hosts, options.skip_failed)
        notes += workflow.warnings_of(hosts)

        # Change: register, reconnect, deploy, verify, uncordon. A minion that is down would fail
        # MetalK8s's deployment of every node, so the nodes to deploy come last.
        snapshot = workflow.save_etcd(run, settings, usable)
        workflow.prepare_salt_ssh(run, usable)
        workflow.show_expected(run, usable)
        deploying = usable.deploying
        schedule(expansion, usable.without(deploying), NODE_STEPS)
        schedule(expansion, usable.only(deploying), NODE_STEPS)

        # Report.
        stopped = bool(run.stop_requested())
        notes += workflow.update_proxies_behind(expansion)
        problems = workflow.final_checks(expansion, plan, names, options.probe)
        nodes = [expansion.report(item.node.name) for item in plan.nodes]
        notes += expansion.notes
        report = workflow.build_report(run.progress, nodes, problems, notes, snapshot, stopped)
        data = {**report.as_dict(), "unchanged": plan.empty, "command": request.command()}
        after = before if plan.empty else read_state(run.cluster)
        data["cluster"] = {"before": before, "after": after}
        return save_report(run, {**data, **plan.as_report()})
