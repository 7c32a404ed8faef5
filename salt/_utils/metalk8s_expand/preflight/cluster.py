"""Check the cluster before any host: health, other operations, the version and its saltenv.

Unlike the health check after an expansion, this check accepts an etcd member that is down, unless
the guard refuses: this run may be the one that repairs it.
"""

from __future__ import annotations

from collections.abc import Sequence

from metalk8s_expand.clients.etcd.api import Etcd
from metalk8s_expand.clients.kubernetes.readiness import api_problems
from metalk8s_expand.clients.salt.file_server import FileServer
from metalk8s_expand.cluster import health as verify
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.cluster.running_operations import operations
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.node.manifest import VERSION_LABEL
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.errors import (
    ConflictError,
    ExpandError,
    LockedError,
    QuorumError,
    SettingsError,
)
from metalk8s_expand.preflight import saltenvs

# Skipping this preflight check also skips the version.
VERSION = "version"


def check_cluster(cluster: ClusterContext, settings: Settings, nodes: Sequence[Node]) -> None:
    """Raise why these nodes may not be started; see ``cluster_error``."""
    error = cluster_error(cluster, settings, nodes)
    if error:
        raise error


def cluster_error(
    world: ClusterContext, settings: Settings, nodes: Sequence[Node]
) -> ExpandError | None:
    """Return why these nodes may not be started, with all problems; the gravest selects the class.

    The caller must hold the lock: another run that waits for it is no obstacle, but its deployments
    are. Raises UnreachableError when the API does not answer at all.
    """
    unhealthy, busy, versions = (
        health_problems(world, settings, nodes),
        operations(world),
        version_problems(world, settings, nodes),
    )
    files = FileServer(world.opts)
    unserved = saltenvs.problems(files, nodes)
    problems = [*unhealthy, *busy, *versions, *unserved]
    if unhealthy:
        hint = "make the control plane healthy first"
        return QuorumError(
            "the cluster is not healthy, so nothing was started",
            problems=problems,
            hint=hint,
            log=verify.LOG,
        )
    if busy:
        hint = "wait until it ends, or stop it: salt-run jobs.master"
        return LockedError(
            "another operation runs on this cluster, so nothing was started",
            problems=problems,
            hint=hint,
        )
    if versions:
        hint = "correct the version in the pillar, or finish the upgrade of the cluster first"
        return ConflictError(
            "the versions do not match, so nothing was started", problems=problems, hint=hint
        )
    if unserved:
        text = "a saltenv to deploy these nodes from is missing, so nothing was started"
        return SettingsError(text, problems=problems, hint=saltenvs.hint(files))
    return None


def health_problems(world: ClusterContext, settings: Settings, nodes: Sequence[Node]) -> list[str]:
    """Return the problems of the API, and those that block new etcd members of these nodes."""
    access = world.access()
    return api_problems(access.kube) + (
        _etcd_problems(access.etcd, settings, nodes)
        if access.etcd
        else ["no Node has the etcd role"]
    )


def version_problems(world: ClusterContext, settings: Settings, nodes: Sequence[Node]) -> list[str]:
    """Return the nodes whose version is not the cluster's, and a half-upgraded control plane."""
    items = [
        *world.kube.nodes(roles.label_key(roles.BOOTSTRAP)),
        *world.kube.nodes(roles.label_key(roles.MASTER)),
    ]
    known = world.version(items)
    if known is None:
        return []
    cluster = known.items[0]
    names = {node.name for node in nodes}
    versions = {}
    for item in items:
        metadata = item["metadata"]
        versions[metadata["name"]] = metadata["labels"].get(VERSION_LABEL) or cluster
    mixed = []
    for name, version in versions.items():
        if name not in names and version != cluster:
            mixed.append(f"{name}: {version}")
    problems = []
    if mixed:
        problems.append(f"the control plane has several versions, {cluster} and {', '.join(mixed)}")
    for node in nodes:
        if node.version != cluster and VERSION not in settings.skipped(node.name):
            problems.append(
                f"node {node.name} is declared with the version {node.version}, "
                f"but the cluster's version is {known}"
            )
    return problems


def _etcd_problems(etcd: Etcd, settings: Settings, nodes: Sequence[Node]) -> list[str]:
    try:
        listed = etcd.members()
    except ExpandError as exc:
        return [exc.message]
    # The next run promotes or removes the members that an interrupted run added.
    own = {_peer_url(node) for node in settings.nodes.values()}
    # MetalK8s adds voters. This run finishes the addition of one that never started.
    pending = {_peer_url(node) for node in nodes if node.is_etcd}
    members: list[Member] = []
    urls: set[str] = set()
    for member in listed:
        if member.learner and own.intersection(member.peer_urls):
            continue
        if not member.name and pending.intersection(member.peer_urls):
            continue
        members.append(member)
        urls.update(member.peer_urls)
    newcomers = [node for node in nodes if node.is_etcd and _peer_url(node) not in urls]
    if not newcomers:
        return quorum.steady_problems(members)
    problems: list[str] = []
    for node in newcomers:
        problems.extend(quorum.add_problems(members, node.name, _peer_url(node)))
    return list(dict.fromkeys(problems))


def _peer_url(node: Node) -> str:
    return quorum.peer_url(node.address)
