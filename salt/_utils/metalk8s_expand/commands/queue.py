"""Implement ``request`` and ``work``: store the request of an event, and process the requests."""

from __future__ import annotations

from collections.abc import Sequence

from metalk8s_expand.commands import expand
from metalk8s_expand.commands.arguments import ExpandOptions, ExpandRequest
from metalk8s_expand.commands.context import CommandContext, Result
from metalk8s_expand.domain.expansion.plan import SelectPlan
from metalk8s_expand.expansion import planner
from metalk8s_expand.runs import queue_worker


def request(ctx: CommandContext, node: object, retry: bool = False) -> Result:
    """Store the request to add one declared node. Raises SettingsError for any other name."""
    return queue_worker.request(ctx.cluster.kube, ctx.settings, node, retry is True, ctx.clock)


def work(ctx: CommandContext) -> Result:
    """Expand the nodes of the stored requests; return what was done, and the remaining requests."""

    def expand_nodes(names: Sequence[str], wait_s: float, admit: SelectPlan) -> Result:
        options = ExpandOptions(skip_failed=True, wait_s=wait_s)
        return expand.expand(ctx, ExpandRequest.parse(names), options, admit)

    worker = queue_worker.QueueWorker(
        ctx.cluster.kube,
        ctx.cluster.leases(),
        ctx.settings,
        lambda settings, names: planner.current_plan(ctx.cluster, settings, names, ctx.clock),
        expand_nodes,
        ctx.clock,
    )
    return ctx.render(queue_worker.render_requests, worker.process())
