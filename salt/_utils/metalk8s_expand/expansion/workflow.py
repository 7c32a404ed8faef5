"""The phases of an expansion before and after the steps of its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metalk8s_expand.clients.host.clock import Wait, wait_until
from metalk8s_expand.clients.salt import cache, orchestrations
from metalk8s_expand.cluster import apiserver_proxies, etcd_snapshot, health
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.expansion import plan as plans
from metalk8s_expand.domain.expansion.plan import Plan
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.preflight import findings
from metalk8s_expand.domain.preflight.result import PreflightResult
from metalk8s_expand.domain.reports.preflight import unknown_lines
from metalk8s_expand.domain.reports.run import NodeReport, Report
from metalk8s_expand.domain.runs import events, live_view
from metalk8s_expand.errors import DeadlineError, DeployError, ExpandError, StoppedError
from metalk8s_expand.expansion import planner, smoke_test
from metalk8s_expand.expansion.node_steps import NODE_STEPS, VERIFY_TIMEOUT_S
from metalk8s_expand.expansion.state import Expansion
from metalk8s_expand.preflight import cluster as cluster_preflight
from metalk8s_expand.preflight import hosts as host_preflight
from metalk8s_expand.preflight import silent_minions
from metalk8s_expand.runs.context import RunContext
from metalk8s_expand.runs.live_display import Expected
from metalk8s_expand.runs.progress import Progress

# Seconds that the preflight of all hosts, and the final checks, may block while a thread renews
# the lock.
HOST_PREFLIGHT_S, FINAL_CHECKS_S = 1800.0, 900.0
# The newest earlier runs, whose steps took about as long as those of this run.
ESTIMATED_FROM = 10


def check_cluster(run: RunContext, settings: Settings, names: Sequence[str] | None) -> None:
    """Raise why these nodes may not be started: health, other operations, versions, saltenvs."""
    run.progress("", "cluster", "checking it")
    cluster_preflight.check_cluster(run.cluster, settings, settings.chosen(names))


def ensure_minions_answer(run: RunContext, settings: Settings, plan: Plan) -> None:
    """Raise UnreachableError if MetalK8s's own deployment would meet a minion that is down."""
    error = silent_minions.silent_minions_error(run.cluster, settings, plan)
    if error:
        raise error


def notes_on(plan: Plan, settings: Settings, run: RunContext) -> list[str]:
    """Return what the operator should know of a plan before it runs."""
    notes = [f"{name}: nothing to change" for name in plan.unchanged]
    notes += planner.warnings(run.cluster, settings, plan)
    return notes + silent_minions.notes(run.cluster, settings, plan)


def check_hosts(expansion: Expansion, plan: Plan) -> PreflightResult:
    """Check all hosts of the plan over SSH. Nothing is changed yet."""
    if plan.empty:
        return PreflightResult()
    run = expansion.run
    with run.lock.renewing(HOST_PREFLIGHT_S):
        for node in plan.touched:
            run.progress.step(node.name, plans.CHECK_SSH, events.STARTED)
        host_preflight.show_hosts(run.progress, plan.touched)
        hosts = host_preflight.run_host_preflight(
            run.cluster, plan.touched, expansion.settings, run.clock
        )
    expansion.record_host_checks(plan, hosts)
    run.ensure_not_stopped()
    run.journal.try_to_keep()
    return hosts


def usable_part(plan: Plan, hosts: PreflightResult, skip_failed: bool) -> Plan:
    """Return the plan without the hosts that failed.

    Raises UnreachableError or PreflightError for them unless ``skip_failed`` is set.
    """
    error = hosts.error()
    if error and not skip_failed:
        raise error
    return plan.without(hosts.failed)


def save_etcd(run: RunContext, settings: Settings, plan: Plan) -> dict[str, Any] | None:
    """Take an etcd snapshot if the plan adds a member; return its data for the report."""
    if not etcd_snapshot.adds_member(plan):
        return None
    run.lock.check()
    snapshot = run.save_etcd(settings)
    run.lock.check()
    return snapshot


def prepare_salt_ssh(run: RunContext, plan: Plan) -> None:
    """Prepare the files that the deployments of several nodes would write at once.

    Only MetalK8s's own deployment uses salt-ssh.
    """
    if any(item.has(plans.DEPLOY) and not item.has(plans.PREPARE) for item in plan.nodes):
        orchestrations.prepare_ssh(run.cluster.opts)


def show_expected(run: RunContext, plan: Plan) -> None:
    """Show how many nodes the run works on, and how long their steps took in earlier runs."""
    run.progress.expect(lambda: _expected(run, plan))


def _expected(run: RunContext, plan: Plan) -> Expected:
    """Return the steps of each node, with their usual seconds from the kept reports."""
    steps = {}
    for item in plan.nodes:
        names = [step.name for step in item.steps]
        steps[item.node.name] = [name for name in names if name in NODE_STEPS]
    opts = run.cluster.opts
    earlier = [cache.load_report(path) for path in cache.reports(opts)[-ESTIMATED_FROM:]]
    serial = [item.node.name for item in plan.control_plane]
    medians = live_view.median_seconds(earlier)
    return Expected(steps, serial, plan.max_parallel, medians, plan.adds_voters)


def update_proxies_behind(expansion: Expansion) -> list[str]:
    """Update the API proxies that an earlier run could not; return notes on them.

    A minion that has not answered this run would only be waited for once more.
    """
    run = expansion.run
    if run.stop_requested():
        return []
    run.lock.check()
    return apiserver_proxies.catch_up(run.cluster, expansion.behind)


def final_checks(
    expansion: Expansion, plan: Plan, names: Sequence[str] | None, probe: bool
) -> list[str]:
    """Return the problems of the whole cluster, and of the smoke tests if ``probe`` is set.

    A stopped run checks nothing. An error here does not discard the report of the run.
    """
    run = expansion.run
    if run.stop_requested():
        return []
    with run.lock.renewing(FINAL_CHECKS_S):
        try:
            problems = [] if plan.empty else addon_problems(run)
            if probe:
                problems += smoke_test_problems(expansion, ready_workers(expansion, plan, names))
        except ExpandError as error:
            return [error.as_problem]
    return problems


def addon_problems(run: RunContext) -> list[str]:
    """Return problems that only the whole cluster shows: DNS must have its replicas."""
    access = run.cluster.access()
    wait = Wait("the addons to be available", VERIFY_TIMEOUT_S)
    try:
        wait_until(wait, lambda: health.addon_problems(access), run.clock)
    except DeadlineError as error:
        return [str(problem) for problem in error.problems]
    return []


def ready_workers(expansion: Expansion, plan: Plan, names: Sequence[str] | None) -> list[Node]:
    """Return the selected workers that are unchanged or were deployed by this run."""
    ready = set(plan.unchanged)
    for item in plan.nodes:
        if expansion.report(item.node.name).ok:
            ready.add(item.node.name)
    return [
        node
        for node in expansion.settings.chosen(names)
        if node.name in ready and not node.is_control_plane
    ]


def smoke_test_problems(expansion: Expansion, workers: Sequence[Node]) -> list[str]:
    """Run a Pod on each of these workers, connect to it through a Service, and remove both."""
    if not workers:
        return []
    run = expansion.run
    titles = ", ".join(node.name for node in workers)
    run.progress("", "probe", f"a Pod on each of {titles}, reached through a Service")
    run.lock.check()
    failed = smoke_test.probe(
        run.cluster.kube,
        workers,
        run.progress.run,
        image=expansion.settings.probe_image,
        timeout=smoke_test.TIMEOUT_S,
        clock=run.clock,
    )
    return [f"node {name}: {reason}" for name, reason in failed.items()]


def warnings_of(hosts: PreflightResult) -> list[str]:
    """Return the findings of the hosts that do not fail the preflight.

    What is unknown is one line for each check.
    """
    notes = [str(item) for item in hosts.findings if item.severity == findings.WARNING]
    return notes + unknown_lines([item.as_dict() for item in hosts.findings])


def build_report(
    progress: Progress,
    nodes: Sequence[NodeReport],
    problems: Sequence[str],
    notes: Sequence[str],
    snapshot: dict[str, Any] | None = None,
    stopped: bool = False,
) -> Report:
    """Return the report of a run from its node reports and the problems of the final checks."""
    errors = [int(node.error["retcode"]) for node in nodes if node.error]
    failed = [code for code in errors if code != StoppedError.retcode]
    retcode = DeployError.retcode if problems else 0
    if stopped and any(node.skipped or node.error for node in nodes):
        retcode = StoppedError.retcode
    if failed:
        retcode = failed[0]
    skipped = [f"{node.name} was skipped: {node.skipped}" for node in nodes if node.skipped]
    return Report(
        progress.run,
        tuple(nodes),
        progress.started,
        progress.elapsed(),
        not retcode,
        retcode,
        (*notes, *skipped, *problems),
        snapshot,
    )
