"""Run one expansion from the agreed plan to its report: check all hosts, then execute the plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.salt import orchestrations
from metalk8s_expand.cluster import etcd_snapshot, health
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.domain.expansion.plan import Plan
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.preflight import findings
from metalk8s_expand.domain.reports.run import NodeReport, Report
from metalk8s_expand.domain.runs import events
from metalk8s_expand.errors import DeployError, ExpandError, PreflightError, StoppedError
from metalk8s_expand.expansion import planner, scheduler, smoke_test
from metalk8s_expand.preflight import cluster, hosts
from metalk8s_expand.runs.journal import JournalWriter
from metalk8s_expand.runs.lock import Lock
from metalk8s_expand.runs.progress import Progress

# One SSH call serves both steps.
LOOK = f"{plan.CHECK_SSH}, {plan.PREFLIGHT}"
# Seconds that preflight of all hosts, and the closing checks, may block while the lock is renewed.
LOOK_S, CLOSING_S = 1800.0, 900.0
# Seconds to verify and copy a snapshot, in addition to the time to take it.
SAVED_S = 300.0

Saved = dict[str, Any] | None


@dataclass(frozen=True)
class ExpandOptions:
    """Options of the operator: skip unusable hosts; run a smoke test Pod on each worker."""

    skip_failed: bool = False
    probe: bool = False


@dataclass(frozen=True)
class Held:
    """The lock and the journal of the active run, and the source of a stop request, if any."""

    lock: Lock
    journal: JournalWriter
    stop: Callable[[], str]
    # The result of the run, for the processes that follow it.
    outcome: dict[str, int] = field(default_factory=dict)

    def go_on(self) -> None:
        """Renew the lock between steps. Raise StoppedError if a stop was requested."""
        self.lock.tick()
        if self.stop():
            raise StoppedError(
                f"the run was stopped between two steps ({self.stop()})",
                hint="the same command goes on",
            )


@dataclass(frozen=True)
class Expansion:
    """The cluster, the settings, the clock and the progress output of one expansion."""

    world: ClusterContext
    declared: Settings
    clock: Clock
    progress: Progress

    def run(
        self, found: Plan, names: Sequence[str] | None, options: ExpandOptions, held: Held
    ) -> Report:
        """Execute the plan. Raise errors before the first change; report errors after it."""
        lock = held.lock
        notes = [f"{name}: nothing to change" for name in found.unchanged] + planner.warnings(
            self.world, self.declared, found
        )
        reports, saved = (
            ((), None) if found.empty else self._executed(found, options.skip_failed, held, notes)
        )
        ready = {*found.unchanged, *(node.name for node in reports if node.ok)}
        workers = [
            node
            for node in self.declared.chosen(names)
            if node.name in ready and not node.is_control_plane
        ]
        stopped = bool(held.stop())
        with lock.renewing(CLOSING_S):
            closing: tuple[str, ...] = ()
            if not stopped:
                probed = workers if options.probe else []
                closing = self._closing(not found.empty, probed, lock)
        return replace(
            build_report(reports, closing, notes, self.progress, stopped), snapshot=saved
        )

    def look(self, chosen: Sequence[Node]) -> hosts.PreflightResult:
        """Run preflight on the hosts of these nodes in parallel."""
        for node in chosen:
            self.progress(node.name, LOOK, f"asking {node.ssh.host}")
        return hosts.run_host_preflight(self.world, chosen, self.declared, self.clock)

    def _executed(
        self, found: Plan, skip_failed: bool, held: Held, notes: list[str]
    ) -> tuple[tuple[NodeReport, ...], Saved]:
        """Check all hosts, save etcd, then execute the plan on the hosts that passed."""
        chosen, lock = found.touched, held.lock
        with lock.renewing(LOOK_S):
            self._tell_of_look(chosen, None)
            reached = self.look(chosen)
        took = self.progress.elapsed()
        self._tell_of_look(chosen, reached)
        held.go_on()
        held.journal.try_to_keep()
        error = reached.error()
        if error and not skip_failed:
            raise error
        notes += [str(item) for item in reached.findings if item.severity != findings.ERROR]
        touched = found.without(reached.failed)
        lock.check()
        saved = self._saved(touched, lock)
        if touched.nodes:
            orchestrations.prepare_ssh(self.world.opts)
        jobs = orchestrations.Orchestrations(self.world.opts)
        timeout = self.declared.deploy_timeout
        run = scheduler.Run(
            access=self.world.access,
            health=self._health,
            jobs=jobs,
            lock=lock,
            journal=held.journal,
            stop=held.stop,
            progress=self.progress,
            max_parallel=found.max_parallel,
            deploy_timeout=timeout,
            clock=self.clock,
            created=set(held.journal.now.created),
            tell=self.progress.step,
        )
        for node in chosen:
            run.record(
                node.name, LOOK, self.progress.started, node.name not in reached.failed, "", took
            )
        run.skipped = dict(reached.reasons)
        scheduler.execute(run, touched)
        return tuple(run.report(item.node.name) for item in found.nodes), saved

    def _tell_of_look(self, chosen: Sequence[Node], reached: hosts.PreflightResult | None) -> None:
        """Publish two steps for each host. An unreachable host gets no preflight step."""
        for name in (node.name for node in chosen):
            if reached is None:
                self.progress.step(name, plan.CHECK_SSH, events.STARTED)
                continue
            took, unreachable = self.progress.elapsed(), reached.unreachable.get(name)
            self.progress.step(
                name,
                plan.CHECK_SSH,
                events.FAILED if unreachable else events.DONE,
                took,
                None,
                unreachable,
            )
            if not unreachable:
                broken = PreflightError(reached.reasons[name]) if name in reached.failed else None
                self.progress.step(
                    name,
                    plan.PREFLIGHT,
                    events.FAILED if broken else events.DONE,
                    took,
                    None,
                    broken,
                )

    def _saved(self, touched: Plan, lock: Lock) -> Saved:
        """Take and return the etcd snapshot if the plan changes members."""
        with lock.renewing(self.declared.etcd_snapshot.timeout_s + SAVED_S):
            taken = etcd_snapshot.take_etcd_snapshot(
                self.world, self.declared, touched, self.progress.run, self.progress
            )
        lock.check()
        return taken

    def _health(self, node: Node) -> list[str]:
        return cluster.health(self.world, self.declared, [node])

    def _closing(self, changed: bool, workers: Sequence[Node], lock: Lock) -> tuple[str, ...]:
        """Return the problems of the whole cluster. Errors here do not discard the run's report."""
        try:
            return (self._addons() if changed else ()) + self._probed(workers, lock)
        except ExpandError as error:
            return (str(error),)

    def _addons(self) -> tuple[str, ...]:
        """Return problems that only the whole cluster shows: DNS must run on two nodes."""
        deadline = self.clock.monotonic() + scheduler.VERIFY_TIMEOUT_S
        access = self.world.access()
        while (problems := health.addon_problems(access)) and self.clock.monotonic() < deadline:
            self.clock.sleep(0.5)
        return tuple(problems)

    def _probed(self, workers: Sequence[Node], lock: Lock) -> tuple[str, ...]:
        if not workers:
            return ()
        self.progress(
            "",
            "probe",
            f"a Pod on each of {', '.join(node.name for node in workers)}, reached through a Service",
        )
        lock.check()
        failed = smoke_test.probe(
            self.world.kube,
            workers,
            self.progress.run,
            image=self.declared.probe_image,
            timeout=smoke_test.TIMEOUT_S,
            clock=self.clock,
        )
        return tuple(f"node {name}: {reason}" for name, reason in failed.items())


def build_report(
    nodes: tuple[NodeReport, ...],
    closing: tuple[str, ...],
    notes: list[str],
    progress: Progress,
    stopped: bool = False,
) -> Report:
    """Return the report of a run from its node reports and closing problems."""
    errors = [int(node.error["retcode"]) for node in nodes if node.error]
    failed = [code for code in errors if code != StoppedError.retcode]
    cut = stopped and any(node.skipped or node.error for node in nodes)
    retcode = DeployError.retcode if closing else 0
    if cut:
        retcode = StoppedError.retcode
    if failed:
        retcode = failed[0]
    skipped = [f"{node.name} was skipped: {node.skipped}" for node in nodes if node.skipped]
    found = (*notes, *skipped, *closing)
    return Report(
        progress.run, nodes, progress.started, progress.elapsed(), not retcode, retcode, found
    )
