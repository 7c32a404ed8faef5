"""The steps of one node, one function for each, by the names that a plan gives them.

A step is a generator that yields while it waits, so that the scheduler advances other nodes
meanwhile. The plan decides which of the steps a node needs, and their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from metalk8s_expand.clients.host.clock import Wait, poll_problems
from metalk8s_expand.cluster import (
    apiserver_proxies,
    health,
    minion_key,
    node_registration,
    roster,
)
from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.domain.node.objects import SHOWN
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.reports.run import StepResult
from metalk8s_expand.domain.runs import events
from metalk8s_expand.domain.salt import orchestration_result
from metalk8s_expand.domain.salt.saltenv import ORCHESTRATION, PREPARATION
from metalk8s_expand.errors import DeadlineError, DeployError, ExpandError, QuorumError
from metalk8s_expand.expansion.state import Expansion
from metalk8s_expand.preflight import cluster as cluster_preflight
from metalk8s_expand.preflight.saltenvs import saltenv

# The state of this project's deployment that changes the other nodes.
PROXY_STATE = "Let every API proxy know"
# Seconds to wait for a node to be as declared, and for the control plane to be healthy.
VERIFY_TIMEOUT_S = 300.0
HEALTH_TIMEOUT_S = 120.0

Advance = Iterator[object]
NodeStep = Callable[[Expansion, Node], Advance]


def check_health(expansion: Expansion, node: Node) -> Advance:
    """Wait until the control plane is healthy and etcd can take this member."""
    cluster, settings = expansion.run.cluster, expansion.settings
    yield from _until(
        expansion,
        "the control plane to be healthy",
        lambda: cluster_preflight.health_problems(cluster, settings, [node]),
        HEALTH_TIMEOUT_S,
        QuorumError,
    )


def register(expansion: Expansion, node: Node) -> Advance:
    """Create or correct the Node object."""
    kube = expansion.access().kube
    if kube.node(node.name) is None:
        expansion.run.journal.node_created(node.name)
        expansion.created.add(node.name)
    node_registration.register(kube, node)
    yield None


def reconnect(expansion: Expansion, node: Node) -> Advance:
    """Restart the minion over SSH, and accept its key if the host shows the same."""
    world = expansion.run.cluster
    access = roster.access_from(world.opts, expansion.settings)
    [target] = roster.ssh_targets([node], access)
    clock = expansion.run.clock
    yield from minion_key.reconnect(world.keys(), world.minions(), target, clock)


def prepare(expansion: Expansion, node: Node) -> Advance:
    """Prepare the host in parallel with others: nothing of it changes the cluster."""
    yield from _orchestrate(expansion, node, plan.PREPARE, PREPARATION, {})
    expansion.prepared.add(node.name)


def deploy(expansion: Expansion, node: Node) -> Advance:
    """Run the deployment orchestration by its name, and judge it by the job's return."""
    prepared = {"prepared": True} if node.name in expansion.prepared else {}
    yield from _orchestrate(expansion, node, plan.DEPLOY, ORCHESTRATION, prepared)
    expansion.created.discard(node.name)
    expansion.run.journal.node_claimed(node.name)


def _orchestrate(
    expansion: Expansion, node: Node, step: str, sls: str, options: Mapping[str, object]
) -> Advance:
    """Run an orchestration for one node as a step; raise DeployError if a state of it fails."""
    run = expansion.run
    started = run.clock.now()
    job = expansion.orchestrations.new()
    run.progress(node.name, step, f"job {job}")
    run.journal.job_started(node.name, job)
    pillar = {"orchestrate": {"node_name": node.name, "epoch": run.lock.epoch, **options}}
    expansion.orchestrations.start(job, sls, saltenv(node), pillar)
    expansion.jobs[node.name, step] = job
    run.progress.step(node.name, step, events.STARTED, run.clock.now() - started, job)
    deadline = run.clock.monotonic() + expansion.settings.deploy_timeout
    try:
        while (answer := expansion.orchestrations.result(job)) is None:
            _ensure_job_runs(expansion, node, sls, job, deadline)
            for name in expansion.orchestrations.begun_states(job):
                run.progress(node.name, step, f"runs {name}")
            yield None
    finally:
        expansion.orchestrations.forget_states(job)
    for state in orchestration_result.states(answer):
        if state.ran:
            title = f"{step}: {state.name}"
            result = StepResult(title, started, state.elapsed, state.ok, state.job or "")
            expansion.record(node.name, result)
        if state.ok and state.failures:
            # A state that may fail on other nodes than the one that is added.
            expansion.notes.append(_behind(expansion, node, state))
    problems = orchestration_result.problems(answer)
    if problems:
        raise DeployError(
            f"{sls} failed",
            node=node.name,
            problems=problems,
            hint=(
                "fix the first of these problems and run the same command again; the whole result:"
                f" salt-run jobs.lookup_jid {job}"
            ),
            job=job,
        )


def verify(expansion: Expansion, node: Node) -> Advance:
    """Wait until the node is as declared, and its kubelet renews its Lease during the run."""
    yield from _until(
        expansion,
        "the node to be as declared",
        lambda: [
            *health.node_health_problems(expansion.access(), node),
            *expansion.heartbeats.problems(node.name),
        ],
        VERIFY_TIMEOUT_S,
        DeployError,
    )


def uncordon(expansion: Expansion, node: Node) -> Advance:
    """Let the node take Pods, if this project has cordoned it."""
    node_registration.uncordon(expansion.access().kube, node.name)
    yield None


NODE_STEPS: Mapping[str, NodeStep] = {
    plan.REGISTER: register,
    plan.RECONNECT: reconnect,
    plan.PREPARE: prepare,
    plan.DEPLOY: deploy,
    plan.VERIFY: verify,
    plan.UNCORDON: uncordon,
}


def _behind(expansion: Expansion, node: Node, state: orchestration_result.State) -> str:
    """Return a note on a state that failed on other nodes, where it is allowed to.

    Mark the nodes whose API proxy does not list the new API server: the next run updates them.
    """
    failures = list(state.failures)
    if len(failures) > SHOWN:
        more = len(failures) - SHOWN
        failures[SHOWN:] = [f"and {more} more"]
    note = f"{node.name}: {state.name!r} failed on other nodes: {'; '.join(failures)}"
    if not state.name.startswith(PROXY_STATE):
        return note
    expansion.behind.update(state.failed_minions)
    try:
        apiserver_proxies.mark(expansion.access().kube, state.failed_minions)
    except ExpandError as error:
        return f"{note}; they are not marked for the next run: {error.message}"
    return f"{note}; their API proxies use the other API servers until an expand updates them"


def _ensure_job_runs(expansion: Expansion, node: Node, sls: str, job: str, deadline: float) -> None:
    if expansion.run.clock.monotonic() > deadline:
        raise DeadlineError(
            f"{sls} has not returned after {expansion.settings.deploy_timeout:.0f} s",
            node=node.name,
            hint=f"it may still run: salt-run jobs.master, salt-run jobs.lookup_jid {job}",
            job=job,
        )
    if expansion.orchestrations.is_dead(job):
        raise DeployError(
            f"the process of {sls} is gone and has returned nothing: was it killed, or is"
            " memory short?",
            node=node.name,
            hint=(
                "run the same command again: it waits for the jobs that still run on the node, and"
                " continues"
            ),
            job=job,
        )


def _until(
    expansion: Expansion,
    what: str,
    problems: Callable[[], list[str]],
    timeout_s: float,
    error: type[ExpandError],
) -> Advance:
    """Wait like clock.wait_until, but let the scheduler advance other nodes in between."""
    wait = Wait(
        what,
        timeout_s,
        hint="fix these problems and run the same command again",
        log=health.LOG,
        error=error,
    )
    yield from poll_problems(wait, problems, expansion.run.clock)
