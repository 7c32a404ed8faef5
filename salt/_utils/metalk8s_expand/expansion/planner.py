"""Compute the current plan from the declaration and the cluster, without changing anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.kubernetes.heartbeats import silent_kubelets
from metalk8s_expand.clients.kubernetes.objects import JsonObject
from metalk8s_expand.clients.salt.file_server import FileServer
from metalk8s_expand.clients.salt.minion_contact import unreached_minions
from metalk8s_expand.cluster import health as verify
from metalk8s_expand.cluster import node_registration, roster
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.domain.expansion.plan import Condition, Plan
from metalk8s_expand.domain.node import health, manifest, roles
from metalk8s_expand.domain.node.objects import name_of
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.salt import saltenv
from metalk8s_expand.errors import ConflictError
from metalk8s_expand.preflight.silent_minions import foreign_deployments

# Salt's default if the option is not set.
SALTS_THREADS = 5


def current_plan(
    cluster: ClusterContext,
    declared: Settings,
    names: Sequence[str] | None,
    clock: Clock,
    redeploy: bool = False,
) -> Plan:
    """Return the plan for these nodes, or for all declared nodes if names is None.

    Waits some seconds if a kubelet has missed a renewal of its Lease, or a minion does not answer.
    With ``redeploy`` each deployed node is deployed again.
    """
    chosen = declared.chosen(names)
    seen = node_registration.observe(
        cluster.kube, None if names is None else [node.name for node in chosen]
    )
    conditions = _conditions(cluster, chosen, seen.nodes, clock)
    if redeploy:
        conditions = {name: replace(each, redeploy=True) for name, each in conditions.items()}
    built = plan.build_plan(declared, seen.nodes, names, conditions, seen.owned)
    files = FileServer(cluster.opts)
    prepared = {
        item.node.name
        for item in built.nodes
        if item.has(plan.DEPLOY)
        and files.has(saltenv.PREPARATION, saltenv.of_version(item.node.version))
    }
    return built.prepared_first(prepared)


def ensure_same_plan(current: Plan, digest: str | None, saved: Mapping[str, Any] | None) -> None:
    """Raise ConflictError with the differences if the plan does not have the requested digest.

    ``saved`` is the saved plan with that digest, or None if none is saved. Without a digest every
    plan passes.
    """
    if digest is None or current.digest.startswith(digest):
        return
    if saved is not None and saved["digest"] == current.digest:
        return
    moved = plan.differences(saved, current) if saved is not None else []
    raise ConflictError(
        f"the plan has changed since the digest {digest} was created, so nothing was started; the"
        f" current digest is {current.digest}",
        problems=moved or ["no plan with that digest is stored, so the differences are unknown"],
        hint="read the new plan: salt-run metalk8s_expand.plan, with the same nodes",
    )


def ensure_not_refused(current: Plan) -> None:
    """Raise ConflictError if the plan refuses a node: ``expand`` runs the whole plan or nothing."""
    if current.refused:
        raise ConflictError(
            "the plan is refused, so nothing was started",
            node=", ".join(item.node.name for item in current.refused),
            problems=[item.refused or "" for item in current.refused],
            hint="see the whole plan: salt-run metalk8s_expand.plan",
        )


def warnings(world: ClusterContext, declared: Settings, current: Plan) -> list[str]:
    """Return warnings about allowed conditions that the operator must know before the start."""
    names = (name_of(item) for item in world.kube.nodes(roles.label_key(roles.ETCD)))
    even = settings.even_members_warning(
        len([name for name in names if name not in declared.nodes]), declared
    )
    return [
        *([even] if even else []),
        *_cordons(world, declared),
        *_drains(world, current),
        *roster.host_key_warnings(world.opts, declared.nodes.values()),
        *_threads(world.opts, current),
    ]


def _threads(opts: Mapping[str, Any], current: Plan) -> list[str]:
    """Return a warning if the master has too few worker threads for the plan.

    A minion's request for a signature needs two of the master's workers:
    https://github.com/saltstack/salt/issues/27421.
    """
    at_once, threads = current.at_once, int(opts.get("worker_threads", SALTS_THREADS))
    if at_once < threads:
        return []
    return [
        f"{at_once} nodes are deployed in parallel, and the master has worker_threads: {threads};"
        " if that many nodes request a certificate at the same time, the master blocks for a"
        f" minute: set worker_threads to {at_once + 1} or more"
    ]


def _drains(world: ClusterContext, current: Plan) -> list[str]:
    """Return a warning if MetalK8s's deployment would drain nodes that run Pods."""
    deployed = {item.node.name for item in current.nodes if item.deployed}
    drained = [name for name in foreign_deployments(world, current) if name in deployed]
    if not drained:
        return []
    return [f"MetalK8s's deployment drains these nodes, which run Pods now: {', '.join(drained)}"]


def _cordons(world: ClusterContext, declared: Settings) -> list[str]:
    """Return a warning for each declared Node that this project did not cordon.

    An operator cordoned it on purpose, or a MetalK8s deployment failed half-way.
    """
    return [
        f"Node {name_of(item)} is cordoned by {other}, not by this project, and stays cordoned:"
        f" kubectl uncordon {name_of(item)}"
        for item in world.kube.cordoned_nodes()
        if name_of(item) in declared.nodes and (other := manifest.foreign_cordon(item))
    ]


def _conditions(
    world: ClusterContext,
    chosen: Sequence[Node],
    observed: Mapping[str, JsonObject],
    clock: Clock,
) -> dict[str, Condition]:
    """Return what was found on each deployed node."""
    deployed = [
        node for node in chosen if node.name in observed and health.is_deployed(observed[node.name])
    ]
    ready = [node.name for node in deployed if not health.ready_problems(observed[node.name])]
    silent = silent_kubelets(world.kube, ready, clock) if ready else {}
    # A host without a live kubelet may be blank: its deployment brings the minion, too.
    alive = [name for name in ready if name not in silent]
    with ThreadPoolExecutor(1) as beside:
        # The minions take most of the time to answer.
        asked = beside.submit(_all_problems_of_life, world, deployed, observed)
        unreached = unreached_minions(world.minions(), alive)
        problems_of = asked.result()
    conditions = {}
    for name, problems in problems_of.items():
        late = [silent[name]] if name in silent else []
        conditions[name] = Condition((*late, *problems), unreached.get(name, ""))
    return conditions


def _all_problems_of_life(
    world: ClusterContext, deployed: Sequence[Node], observed: Mapping[str, JsonObject]
) -> dict[str, list[str]]:
    """Return what a deployment of these nodes could fix, by node."""
    access = world.access()
    members = None
    if access.etcd and any(node.is_etcd for node in deployed):
        members = access.etcd.members()
    return {
        node.name: _problems_of_life(access, node, observed[node.name], members)
        for node in deployed
    }


def _problems_of_life(
    access: verify.ClusterAccess,
    node: Node,
    node_obj: JsonObject,
    members: Sequence[Member] | None,
) -> list[str]:
    """Return what a deployment could fix.

    Registration corrects drift of the Node object. The check of the cluster reports the problems of
    etcd as a whole.
    """
    others = set(health.node_problems(node, node_obj)) - set(health.ready_problems(node_obj))
    others.update(quorum.cluster_problems(members or ()))
    return [
        item
        for item in verify.node_health_problems(access, node, members, node_obj)
        if item not in others
    ]
