"""Implement ``health``: show the cluster, check it, and report all its problems together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.clients.kubernetes.heartbeats import watch_heartbeats
from metalk8s_expand.clients.kubernetes.kubeconfig import kubeconfig_of
from metalk8s_expand.clients.kubernetes.objects import JsonObject
from metalk8s_expand.clients.salt import cache, minion_contact, terminal_log
from metalk8s_expand.cluster import certificates
from metalk8s_expand.cluster import health as cluster_health
from metalk8s_expand.commands.arguments import ExpandRequest, Names
from metalk8s_expand.commands.context import CommandContext, Result
from metalk8s_expand.commands.reports import history
from metalk8s_expand.domain.certificates import expiry
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.node import health as node_health
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.reports.terminal.health import render_health
from metalk8s_expand.errors import DeployError
from metalk8s_expand.minion import certificates as host_certificates
from metalk8s_expand.preflight import silent_minions
from metalk8s_expand.runs.overview import read_overview

log = logging.getLogger(__name__)

# The number of past runs that are shown with their outcome.
HISTORY = 3

# Why a minion gives no answer, if the master does not reach it.
CONTACT_LOST = (minion_contact.NO_KEY, minion_contact.SILENT)


def health(ctx: CommandContext, nodes: Names = None, profiles: Names = None) -> Result:
    """Return the overview of the cluster with its warnings, or with the error of all its problems.

    The exit code is that of the error. Raises UnreachableError if the API does not answer.
    """
    settings, names = ExpandRequest.parse(nodes, profiles).resolve(ctx.settings())
    access = ctx.cluster.access()
    watch = watch_heartbeats(access.kube)
    observed = nodes_by_name(ctx)
    overview = read_overview(access, ctx.cluster.leases(), list(observed.values()))
    problems = cluster_health.cluster_health_problems(access, overview.members)
    problems += cluster_health.addon_problems(access)
    problems += _node_problems(access, settings.chosen(names), observed, overview.members)
    problems += cluster_health.agent_problems(access, deployed_nodes(observed, names))
    answers = certificates_of(ctx, deployed_nodes(observed, names))
    problems += expiry.problems(answers, settings.certificates)
    # The wait comes last: meanwhile most kubelets have renewed their Leases.
    problems += watch.wait(_ready(observed, names), ctx.clock).values()
    data = {
        "healthy": not problems,
        "nodes": len(settings.nodes),
        "warnings": expiry.warnings(answers, settings.certificates),
        "overview": overview.as_dict(),
        "certificates": certificates.overview(answers),
        "history": history(cache.reports_by_run(ctx.opts), HISTORY),
    }
    if problems:
        error = DeployError(
            "the cluster is not as declared",
            # The health of an etcd member is a problem of etcd and of its node.
            problems=list(dict.fromkeys(problems)),
            hint=_hint(settings, answers),
            log=cluster_health.LOG,
        )
        with terminal_log.without_result(ctx.opts):
            log.error("health: %s", error)
        data.update(retcode=error.retcode, error=error.as_dict())
    return ctx.render(render_health, data)


def _node_problems(
    access: cluster_health.ClusterAccess,
    nodes: Sequence[Node],
    observed: Mapping[str, JsonObject],
    members: Sequence[Member] | None,
) -> list[str]:
    """Return what is wrong on each declared node. The agents are checked for all nodes at once."""
    problems = []
    for node in nodes:
        node_obj = observed.get(node.name)
        if node_obj is None:
            problems.append(f"Node {node.name} is declared and not registered")
            continue
        problems += cluster_health.node_health_problems(access, node, members, node_obj)
        problems += node_health.cordon_problems(node_obj)
    return problems


def _hint(settings: Settings, answers: Mapping[str, Any]) -> str:
    """Return the remedy, with the commands for minions that the master does not reach."""
    unreached = [name for name, answer in answers.items() if answer in CONTACT_LOST]
    commands = silent_minions.remedies(settings.nodes, unreached)
    return "; ".join(["the first problem often causes the others", *commands])


def _ready(observed: Mapping[str, JsonObject], names: Sequence[str] | None) -> list[str]:
    """Return the deployed nodes that the API shows as Ready, which a dead host may still be."""
    deployed = deployed_nodes(observed, names)
    return [name for name in deployed if not node_health.ready_problems(observed[name])]


def nodes_by_name(ctx: CommandContext) -> dict[str, JsonObject]:
    """Return the Node objects of the cluster by name."""
    return {node_obj["metadata"]["name"]: node_obj for node_obj in ctx.cluster.kube.nodes()}


def deployed_nodes(
    observed: Mapping[str, JsonObject], names: Sequence[str] | None = None
) -> list[str]:
    """Return the deployed nodes among ``names``, or all deployed nodes.

    This includes undeclared nodes: the pillar does not declare the bootstrap node.
    """
    return [
        name
        for name, node_obj in observed.items()
        if node_health.is_deployed(node_obj) and (names is None or name in names)
    ]


def certificates_of(ctx: CommandContext, names: Sequence[str]) -> dict[str, Any]:
    """Return the data of these nodes' certificates and the master's API client certificate."""
    kubeconfig = kubeconfig_of(ctx.opts)
    return {
        **certificates.observed(ctx.minions, names),
        **host_certificates.of_master(kubeconfig.path, kubeconfig.context, ctx.clock),
    }
