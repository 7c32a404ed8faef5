"""Hold one expansion while it runs: its run, its settings, and the results of its nodes so far."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from metalk8s_expand.clients.kubernetes.heartbeats import HeartbeatWatch, watch_heartbeats
from metalk8s_expand.clients.salt.orchestrations import Orchestrations
from metalk8s_expand.cluster.health import ClusterAccess
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.domain.preflight.result import PreflightResult
from metalk8s_expand.domain.reports.run import NodeReport, StepResult
from metalk8s_expand.domain.runs import events
from metalk8s_expand.errors import ExpandError, PreflightError, StoppedError
from metalk8s_expand.runs.context import RunContext


@dataclass
class Expansion:
    """One expansion. All mappings are by node name.

    ``created`` are Nodes of this run, or of the run that it resumes, on which no kubelet has
    reported yet. ``prepared`` are nodes whose hosts this run has prepared. ``jobs`` are the Salt
    jobs of the orchestrations, by the node's name and the step.
    """

    run: RunContext
    settings: Settings
    orchestrations: Orchestrations
    # The kubelets as they were when the run began.
    heartbeats: HeartbeatWatch
    steps: dict[str, list[StepResult]] = field(default_factory=dict)
    errors: dict[str, ExpandError] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    created: set[str] = field(default_factory=set)
    prepared: set[str] = field(default_factory=set)
    rolled_back: dict[str, list[str]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    jobs: dict[tuple[str, str], str] = field(default_factory=dict)
    # What the operator should know of nodes other than the one that a step works on.
    notes: list[str] = field(default_factory=list)
    # Nodes whose API proxy this run could not update.
    behind: set[str] = field(default_factory=set)

    @classmethod
    def begin(cls, run: RunContext, settings: Settings) -> Expansion:
        """Return the expansion of this run, which knows the Nodes of an interrupted run."""
        orchestrations = Orchestrations(run.cluster.opts)
        watch = watch_heartbeats(run.cluster.kube)
        return cls(run, settings, orchestrations, watch, created=set(run.journal.now.created))

    def access(self) -> ClusterAccess:
        """Return the clients of the API and of etcd."""
        return self.run.cluster.access()

    def report(self, name: str) -> NodeReport:
        """Return the report of one node."""
        error = self.errors.get(name)
        return NodeReport(
            name,
            tuple(self.steps.get(name, ())),
            error is None and name not in self.skipped,
            None if error is None else error.as_dict(),
            self.skipped.get(name),
            tuple(self.rolled_back.get(name, ())),
            self.states.get(name),
        )

    def record(self, name: str, step: StepResult) -> None:
        """Record a step that has ended."""
        self.steps.setdefault(name, []).append(step)

    def record_host_checks(self, current: plan.Plan, hosts: PreflightResult) -> None:
        """Record and publish the result of the host checks, which took until now.

        An unreachable host gets no preflight step.
        """
        progress = self.run.progress
        elapsed = progress.elapsed()
        for name in (node.name for node in current.touched):
            passed = name not in hosts.failed
            self.record(name, StepResult(plan.HOST_CHECKS, progress.started, elapsed, passed))
            unreachable = hosts.unreachable.get(name)
            self._publish(name, plan.CHECK_SSH, elapsed, unreachable)
            if not unreachable:
                failure = None if passed else PreflightError(hosts.reasons[name])
                self._publish(name, plan.PREFLIGHT, elapsed, failure)
        self.skipped = dict(hosts.reasons)

    def _publish(self, name: str, step: str, elapsed: float, error: ExpandError | None) -> None:
        state = events.FAILED if error else events.DONE
        self.run.progress.step(name, step, state, elapsed, None, error)

    def ensure_may_begin(self, step: str) -> None:
        """Raise LockLostError without the lock, or StoppedError after a stop request."""
        self.run.lock.check()
        requested_by = self.run.stop_requested()
        if requested_by:
            raise StoppedError(
                f"the run was stopped before the step {step} ({requested_by})",
                hint="run the same command again to continue from here",
            )

    @contextmanager
    def step(self, name: str, step: str) -> Iterator[None]:
        """Record, show and publish the beginning and the end of a step of a node."""
        run = self.run
        with run.step(name, step, partial(self.record, name), lambda: self.jobs.get((name, step))):
            run.journal.step_started(name, step)
            yield
