"""Implement ``status``: report the declared nodes, the active run, the queue and past runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.clients.kubernetes.kubeconfig import kubeconfig_of
from metalk8s_expand.clients.kubernetes.objects import JsonObject
from metalk8s_expand.clients.salt import cache
from metalk8s_expand.cluster import certificates, roster
from metalk8s_expand.commands import arguments
from metalk8s_expand.commands.context import CommandContext, Result
from metalk8s_expand.commands.health import certificates_of, deployed_nodes, nodes_by_name
from metalk8s_expand.commands.reports import history
from metalk8s_expand.domain.configuration import VERSION
from metalk8s_expand.domain.declaration import cluster_defaults
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.node import health, roles
from metalk8s_expand.domain.node.objects import labels_of
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.reports.terminal.document import Block
from metalk8s_expand.domain.reports.terminal.status import render_status
from metalk8s_expand.runs import follow as run_progress
from metalk8s_expand.runs import queue_worker
from metalk8s_expand.runs.overview import read_overview

# The number of past runs that are shown with their outcome.
HISTORY = 10


def status(ctx: CommandContext, follow: bool = False, with_certificates: bool = True) -> Result:
    """Return the state of every declared node, the active run, the requests and the past runs."""
    arguments.flags(follow=follow, certificates=with_certificates)
    kube, leases = ctx.cluster.kube, ctx.cluster.leases()
    if follow:
        try:
            run_progress.follow(
                kube, leases, ctx.progress.follow_line, ctx.clock, ctx.progress.show
            )
        finally:
            ctx.progress.close()
    settings, configuration = _configured(ctx)
    observed = nodes_by_name(ctx)
    overview = read_overview(ctx.cluster.access(), leases, list(observed.values()))
    runs = cache.reports_by_run(ctx.opts)
    active = run_progress.current(kube, leases, ctx.clock.now())
    in_progress = (active or {}).get("nodes", {})
    names = deployed_nodes(observed) if with_certificates else []
    expiry = certificates.overview(certificates_of(ctx, names) if with_certificates else {})
    rows = {}
    for name, node in settings.nodes.items():
        rows[name] = _status(node, observed.get(name), name in in_progress)
        rows[name]["certificates"] = expiry.get(name)
    data = {
        "overview": overview.as_dict(),
        "nodes": rows,
        "certificates": expiry,
        "undeclared": _undeclared(settings, observed),
        "queue": queue_worker.rows(kube),
        "runs": list(runs)[-20:],
        "history": history(runs, HISTORY),
        "now": active,
        "configuration": configuration,
    }
    return ctx.render(_document, data)


def _configured(ctx: CommandContext) -> tuple[Settings, Result]:
    """Return the declaration completed with the cluster's values, and where each value is from.

    A contradiction between the two is among the problems, so that both are shown.
    """
    declared, known = ctx.declaration(), ctx.configuration()
    version = ctx.cluster.version()
    if version:
        known = known.with_value(VERSION, version)
    problems = [*known.problems, *map(str, cluster_defaults.contradictions(declared, known))]
    problems += roster.host_key_warnings(ctx.opts)
    configuration = {
        "kubeconfig": kubeconfig_of(ctx.opts).as_dict(),
        "cluster": cluster_defaults.stated(declared).with_fallback(known).as_dict(),
        "problems": problems,
    }
    return cluster_defaults.fill(declared, known), configuration


def _undeclared(settings: Settings, observed: Mapping[str, JsonObject]) -> dict[str, Any]:
    """Return the registered Nodes that the pillar does not declare, such as the bootstrap node."""
    rows = {}
    for name, node_obj in observed.items():
        if name not in settings.nodes:
            node_roles = roles.observed_roles(labels_of(node_obj))
            rows[name] = _registered(node_obj, node_roles, health.ready_problems(node_obj))
    return rows


def _status(node: Node, node_obj: JsonObject | None, in_progress: bool) -> dict[str, Any]:
    """Return the state of a node. A node in deployment has no problems to report yet."""
    if in_progress:
        return {"state": "in progress", "roles": list(node.roles), "problems": []}
    if node_obj is None:
        return {"state": "not registered", "roles": list(node.roles), "problems": []}
    return _registered(node_obj, node.roles, health.node_problems(node, node_obj))


def _registered(
    node_obj: JsonObject, node_roles: Sequence[str], problems: list[str]
) -> dict[str, Any]:
    """Return the state of a registered Node with these problems, and with its cordon."""
    cordon = health.cordon_problems(node_obj)
    state = "cordoned" if cordon else "ready"
    if problems:
        state = "not ready"
    if not health.is_deployed(node_obj):
        state = "registered, not deployed"
    return {"state": state, "roles": list(node_roles), "problems": problems + cordon}


def _document(data: Result) -> list[Block]:
    return render_status(data, run_progress.render_status(data["now"]))
