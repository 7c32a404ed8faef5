"""Implement ``manifest``, ``register`` and ``declare``: from a declaration to a Node, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalk8s_expand.clients.salt.pillar import PILLAR_KEY, declared_pillar, pillar_id
from metalk8s_expand.cluster import node_registration
from metalk8s_expand.commands import arguments
from metalk8s_expand.commands.arguments import Names
from metalk8s_expand.commands.context import CommandContext, Result
from metalk8s_expand.domain.declaration import description, selection, settings
from metalk8s_expand.domain.declaration.description import Description
from metalk8s_expand.domain.declaration.node_entry import Terms
from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.domain.node import manifest as manifests
from metalk8s_expand.errors import ConflictError
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
    kube = ctx.cluster.kube
    seen = node_registration.observe(kube, [name])
    planner.ensure_not_refused(plan.build_plan(settings, seen.nodes, [name], owned=seen.owned))
    changes = node_registration.register(kube, settings.node(name), test=dry_run)
    return {"node": name, "changes": changes, **({"dry_run": True} if dry_run else {})}


def declare(ctx: CommandContext, nodes: Names = None) -> Result | str:
    """Return the declaration that describes the Nodes as they are; nothing is changed.

    Raises SettingsError for names of no Node, and ConflictError for a Node that the caller names
    and that no declaration can describe.
    """
    wanted = selection.parse(nodes)
    seen = node_registration.observe(ctx.cluster.kube)
    names = description.chosen(wanted, seen.nodes)
    chosen = {name: seen.nodes[name] for name in names}
    told = ctx.cluster.version(list(seen.nodes.values()))
    described = description.describe(
        chosen, seen.owned, _terms(ctx.opts), told.items[0] if told else ""
    )
    refused = [name for name in wanted.nodes or () if name in described.undescribed]
    if refused:
        raise ConflictError(
            "no declaration can describe these Nodes as they are",
            node=", ".join(refused),
            problems=[f"{name}: {described.undescribed[name]}" for name in refused],
            hint="fix these problems, or leave the Nodes out: salt-run metalk8s_expand.declare",
        )
    text = render_declaration(described, pillar_id(ctx.opts))
    if ctx.for_people:
        return text
    return {
        "declaration": {PILLAR_KEY: described.pillar},
        "yaml": text,
        "undescribed": described.undescribed,
        "left_out": described.left_out,
    }


def render_declaration(described: Description, master_id: str) -> str:
    """Return the text of a pillar file, with what it does not describe as comments."""
    import yaml

    count = len(described.pillar["nodes"])
    lines = [
        f"# {count} Node{'' if count == 1 else 's'} as the cluster has them, for the pillar of"
        f" {master_id}.",
    ]
    for name, reason in described.undescribed.items():
        lines.append(f"# {name} is not described: {reason}")
    for name, items in described.left_out.items():
        lines.append(f"# {name} keeps what no declaration can state: {', '.join(items)}")
    # A long line stays whole, such as a host key.
    body = yaml.safe_dump(
        {PILLAR_KEY: described.pillar}, sort_keys=False, default_flow_style=False, width=10_000
    )
    return "\n".join([*lines, body]).rstrip("\n")


def _terms(opts: Mapping[str, Any]) -> Terms:
    """Return the profiles and the key directory of the pillar; the defaults without a pillar."""
    pillar = declared_pillar(opts)
    return Terms() if pillar is None else settings.parse(pillar).terms
