"""Implement ``manifest`` and ``register``: show or create the Node object of one node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalk8s_expand.cluster import node_registration
from metalk8s_expand.commands import arguments
from metalk8s_expand.commands.context import CommandContext, Result
from metalk8s_expand.domain.node import manifest as manifests
from metalk8s_expand.expansion import planner


def manifest(ctx: CommandContext, name: str, overrides: Mapping[str, Any] | None = None) -> str:
    """Return the Node manifest as YAML."""
    import yaml

    node = arguments.with_node(ctx.settings(), name, overrides or {}).node(name)
    return str(yaml.safe_dump(manifests.manifest(node), sort_keys=False, default_flow_style=False))


def register(
    ctx: CommandContext,
    name: str,
    overrides: Mapping[str, Any] | None = None,
    dry_run: bool = False,
) -> Result:
    """Create or correct the Node object; return its changes."""
    arguments.flags(dry_run=dry_run)
    settings = arguments.with_node(ctx.settings(), name, overrides or {})
    planner.ensure_not_refused(planner.current_plan(ctx.cluster, settings, [name], ctx.clock))
    changes = node_registration.register(ctx.cluster.kube, settings.node(name), test=dry_run)
    return {"node": name, "changes": changes, **({"dry_run": True} if dry_run else {})}
