"""Implement ``plan`` and ``expand dry_run=True``: show what an expansion would do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from metalk8s_expand.clients.salt import cache
from metalk8s_expand.commands import arguments
from metalk8s_expand.commands.arguments import ExpandOptions, ExpandRequest
from metalk8s_expand.commands.context import CommandContext, Result
from metalk8s_expand.commands.preflight import ask_hosts
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.expansion.plan import Plan
from metalk8s_expand.domain.reports.plan import render_plan, render_question
from metalk8s_expand.errors import ExpandError
from metalk8s_expand.expansion import planner
from metalk8s_expand.preflight import cluster as cluster_preflight
from metalk8s_expand.preflight import silent_minions

SavedPlan = Mapping[str, Any] | None

# What a caller without a terminal does instead.
SHOW_FIRST = (
    "show the plan with salt-run metalk8s_expand.plan, then run exactly this plan: plan=DIGEST"
    " instead of confirm=True"
)


def plan(ctx: CommandContext, request: ExpandRequest, preflight: bool = False) -> Result:
    """Return the plan, and the first reason why ``expand`` refuses it.

    With ``preflight``, also the result of the checks of its hosts.
    """
    arguments.flags(preflight=preflight)
    settings, names = ctx.resolve(request)
    current, data = _plan_and_save(ctx, request, settings, names)
    error = _cluster_error(ctx, settings, names) or _plan_error(ctx, settings, current)
    if preflight:
        hosts = ask_hosts(ctx, settings, current.touched)
        data["preflight"] = hosts.as_dict()
        error = error or hosts.error()
    _add_refusal(data, error)
    return ctx.render(render_plan, data)


def preview(ctx: CommandContext, request: ExpandRequest, options: ExpandOptions) -> Result:
    """Return the plan, the results of the hosts and the first reason why ``expand`` refuses."""
    saved, request = with_saved_plan(ctx, request, options.digest)
    settings, names = ctx.resolve(request)
    current, data = _plan_and_save(ctx, request, settings, names)
    hosts = ask_hosts(ctx, settings, current.touched)
    error = (
        _cluster_error(ctx, settings, names)
        or _error_of(lambda: planner.ensure_same_plan(current, options.digest, saved))
        or _plan_error(ctx, settings, current)
        or (None if options.skip_failed else hosts.error())
    )
    data["preflight"] = hosts.as_dict()
    _add_refusal(data, error)
    data["dry_run"] = True
    return ctx.render(render_plan, data)


def confirmed(ctx: CommandContext, request: ExpandRequest, options: ExpandOptions) -> ExpandOptions:
    """Show the plan and ask the operator; return the options that run this plan and no other.

    There is no question if there is nothing to do. Raises SettingsError without a terminal, the
    error that ``expand`` would refuse the plan with, and StoppedError if the operator refuses it.
    """
    ctx.confirmation.ensure_possible(SHOW_FIRST)
    saved, request = with_saved_plan(ctx, request, options.digest)
    settings, names = ctx.resolve(request)
    current, data = _plan_and_save(ctx, request, settings, names)
    planner.ensure_same_plan(current, options.digest, saved)
    error = _cluster_error(ctx, settings, names) or _plan_error(ctx, settings, current)
    if error:
        raise error
    if not current.empty:
        ctx.confirmation.ask(f"expand {request.selection}", render_question(data))
    return replace(options, digest=current.digest)


def with_saved_plan(
    ctx: CommandContext, request: ExpandRequest, digest: str | None
) -> tuple[SavedPlan, ExpandRequest]:
    """Return the saved plan with this digest, if any, and the request completed from it."""
    saved = None if digest is None else cache.load_plan(ctx.opts, digest)
    return saved, request.with_saved_plan(saved)


def _plan_and_save(
    ctx: CommandContext,
    request: ExpandRequest,
    settings: Settings,
    names: tuple[str, ...] | None,
) -> tuple[Plan, Result]:
    """Return the plan and its data, and save it so that a later call can report changes."""
    current = planner.current_plan(ctx.cluster, settings, names, ctx.clock, request.redeploy)
    data = {
        **current.as_dict(),
        **request.to_saved(names),
        "warnings": planner.warnings(ctx.cluster, settings, current),
    }
    cache.save_plan(ctx.opts, data)
    return current, data


def _cluster_error(
    ctx: CommandContext, settings: Settings, names: tuple[str, ...] | None
) -> ExpandError | None:
    """Return why ``expand`` would start nothing on this cluster."""
    return cluster_preflight.cluster_error(ctx.cluster, settings, settings.chosen(names))


def _plan_error(ctx: CommandContext, settings: Settings, current: Plan) -> ExpandError | None:
    """Return why ``expand`` would refuse the plan: a node is refused, or a minion is down."""
    return _error_of(
        lambda: planner.ensure_not_refused(current)
    ) or silent_minions.silent_minions_error(ctx.cluster, settings, current)


def _add_refusal(data: Result, error: ExpandError | None) -> None:
    """Add the refusal and its exit code to the result."""
    data["refusal"] = error.as_dict() if error else None
    data["retcode"] = error.retcode if error else 0


def _error_of(check: Callable[[], object]) -> ExpandError | None:
    try:
        check()
    except ExpandError as error:
        return error
    return None
