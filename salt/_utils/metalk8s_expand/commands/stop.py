"""Implement ``stop``: request that the active run ends after its current steps."""

from __future__ import annotations

from metalk8s_expand.clients.kubernetes.lease import claim
from metalk8s_expand.commands import arguments
from metalk8s_expand.commands.context import CommandContext, Result
from metalk8s_expand.runs.stop import render_stop
from metalk8s_expand.runs.stop import stop as request_stop


def stop(ctx: CommandContext, wait_s: float = 0) -> Result:
    """Request the end of the active run; wait up to ``wait_s`` seconds for it."""
    caller = claim(ctx.progress.run, "stop")
    result = request_stop(
        ctx.cluster.leases(),
        f"asked by {caller.user} on {caller.host}",
        arguments.seconds("wait_s", wait_s),
        clock=ctx.clock,
    )
    return ctx.render(lambda data: render_stop(result), result.as_dict())
