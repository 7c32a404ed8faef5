"""One expansion, from a plan that is agreed on to its report: all hosts are looked at, then the plan is executed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metalk8s_expand.clients import salt as master
from metalk8s_expand.clients.clock import Clock
from metalk8s_expand.domain import plan, preflight
from metalk8s_expand.domain.nodes import Node
from metalk8s_expand.domain.plan import Plan
from metalk8s_expand.domain.report import NodeReport, Report
from metalk8s_expand.domain.settings import Settings
from metalk8s_expand.errors import DeployError, ExpandError
from metalk8s_expand.steps import cluster_check, expansion, planning, pod_probe, reach, verify
from metalk8s_expand.steps.lock import Lock
from metalk8s_expand.steps.progress import Progress
from metalk8s_expand.steps.world import World

# One look serves both steps.
LOOK = f"{plan.CHECK_SSH}, {plan.PREFLIGHT}"
# How long a look at all hosts, or at the whole in the end, may keep the lock while it blocks.
LOOK_S, CLOSING_S = 1800.0, 900.0


@dataclass(frozen=True)
class Options:
    """How an operator wants it: go on without hosts that cannot be used; prove each worker by a Pod."""

    skip_failed: bool = False
    probe: bool = False


@dataclass(frozen=True)
class Batch:
    """What one expansion works with."""

    world: World
    declared: Settings
    clock: Clock
    progress: Progress

    def run(self, found: Plan, names: Sequence[str] | None, options: Options, lock: Lock) -> Report:
        """Do what the plan says. An error before the first change is raised; one after it is in the report."""
        notes = [f"{name}: nothing to change" for name in found.unchanged] + planning.warnings(self.world, self.declared)
        reports = () if found.empty else self._executed(found, options.skip_failed, lock, notes)
        ready = {*found.unchanged, *(node.name for node in reports if node.ok)}
        workers = [node for node in self.declared.chosen(names) if node.name in ready and not node.is_control_plane]
        with lock.renewing(CLOSING_S):
            closing = self._closing(not found.empty, workers if options.probe else [], lock)
        return judged(reports, closing, notes, self.progress)

    def look(self, chosen: Sequence[Node]) -> reach.Reached:
        """Ask the hosts of these nodes, all at once."""
        for node in chosen:
            self.progress(node.name, LOOK, f"asking {node.ssh.host}")
        return reach.look(self.world, chosen, self.declared, self.clock)

    def _executed(self, found: Plan, skip_failed: bool, lock: Lock, notes: list[str]) -> tuple[NodeReport, ...]:
        """Reach all hosts, then do what the plan says on those that may be touched."""
        chosen = found.touched
        with lock.renewing(LOOK_S):
            reached = self.look(chosen)
        took = self.progress.elapsed()
        error = reached.error()
        if error and not skip_failed:
            raise error
        notes += [str(item) for item in reached.findings if item.severity != preflight.ERROR]
        touched = found.without(reached.failed)
        lock.check()
        if touched.nodes:
            master.prepare_ssh(self.world.opts)
        jobs = master.Orchestrations(self.world.opts)
        timeout = self.declared.deploy_timeout
        run = expansion.Run(self.world.access, self._health, jobs, lock, self.progress, found.max_parallel, timeout, self.clock)
        for node in chosen:
            run.record(node.name, LOOK, self.progress.started, node.name not in reached.failed, "", took)
        run.skipped = dict(reached.reasons)
        expansion.execute(run, touched)
        return tuple(run.report(item.node.name) for item in found.nodes)

    def _health(self, node: Node) -> list[str]:
        return cluster_check.health(self.world, self.declared, [node])

    def _closing(self, changed: bool, workers: Sequence[Node], lock: Lock) -> tuple[str, ...]:
        """What is wrong with the whole. Whatever happens here, the report of what was done is not lost."""
        try:
            return (self._addons() if changed else ()) + self._probed(workers, lock)
        except ExpandError as error:
            return (str(error),)

    def _addons(self) -> tuple[str, ...]:
        """What only the whole can tell: DNS runs on two nodes."""
        deadline = self.clock.monotonic() + expansion.VERIFY_TIMEOUT_S
        access = self.world.access()
        while (problems := verify.addon_problems(access)) and self.clock.monotonic() < deadline:
            self.clock.sleep(0.5)
        return tuple(problems)

    def _probed(self, workers: Sequence[Node], lock: Lock) -> tuple[str, ...]:
        if not workers:
            return ()
        self.progress("", "probe", f"a Pod on each of {', '.join(node.name for node in workers)}, reached through a Service")
        lock.check()
        failed = pod_probe.probe(self.world.kube, workers, self.progress.run, self.declared.probe_image)
        return tuple(f"node {name}: {reason}" for name, reason in failed.items())


def judged(nodes: tuple[NodeReport, ...], closing: tuple[str, ...], notes: list[str], progress: Progress) -> Report:
    """The report of a run whose nodes and whole came out like this."""
    errors = [int(node.error["retcode"]) for node in nodes if node.error]
    retcode = errors[0] if errors else DeployError.retcode if closing else 0
    skipped = [f"{node.name} was skipped: {node.skipped}" for node in nodes if node.skipped]
    found = (*notes, *skipped, *closing)
    return Report(progress.run, nodes, progress.started, progress.elapsed(), not retcode, retcode, found)
