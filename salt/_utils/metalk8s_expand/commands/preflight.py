"""Implement ``check_ssh`` and ``preflight``: check the hosts without changing anything."""

from __future__ import annotations

from collections.abc import Sequence

from metalk8s_expand.cluster import roster
from metalk8s_expand.commands.arguments import ExpandRequest, Names
from metalk8s_expand.commands.context import CommandContext, Result
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.preflight.result import PreflightResult
from metalk8s_expand.domain.reports.preflight import render_preflight
from metalk8s_expand.domain.reports.ssh import render_ssh
from metalk8s_expand.errors import ExpandError, UnreachableError
from metalk8s_expand.preflight import hosts
from metalk8s_expand.preflight import ssh as ssh_preflight


def check_ssh(ctx: CommandContext, nodes: Names = None, profiles: Names = None) -> Result:
    """Return which hosts answer over SSH, and the error of each other host."""
    settings, names = ExpandRequest.parse(nodes, profiles).resolve(ctx.declaration())
    targets = roster.ssh_targets(settings.chosen(names), roster.access_from(ctx.opts, settings))
    reached: Result = {}
    unreachable: Result = {}
    answers = ssh_preflight.check_ssh(targets, settings.ssh_timeout, settings.ssh_parallel)
    for name, answer in answers.items():
        group = unreachable if isinstance(answer, ExpandError) else reached
        group[name] = answer.as_dict()
    data = {
        "reached": reached,
        "unreachable": unreachable,
        "warnings": roster.host_key_warnings(ctx.opts, settings.nodes.values()),
        "retcode": UnreachableError.retcode if unreachable else 0,
    }
    return ctx.render(render_ssh, data)


def preflight(ctx: CommandContext, nodes: Names = None, profiles: Names = None) -> Result:
    """Return the result of every check of the hosts."""
    settings, names = ExpandRequest.parse(nodes, profiles).resolve(ctx.settings())
    return ctx.render(render_preflight, ask_hosts(ctx, settings, settings.chosen(names)).as_dict())


def ask_hosts(ctx: CommandContext, settings: Settings, nodes: Sequence[Node]) -> PreflightResult:
    """Run the preflight of these nodes' hosts in parallel, and show which hosts it asks."""
    hosts.show_hosts(ctx.progress, nodes)
    return hosts.run_host_preflight(ctx.cluster, nodes, settings, ctx.clock)
