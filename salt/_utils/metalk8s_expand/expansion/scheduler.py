"""Schedule the steps of all nodes of an expansion and report them; the steps do the work.

One thread alternates between the nodes. Each node is a generator that yields while it waits. Salt
forks to start a job, and threads do not survive a fork. A single order of events is also easier to
trust.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from metalk8s_expand.clients.host.clock import Clock, current_problems
from metalk8s_expand.cluster import health as verify
from metalk8s_expand.cluster import node_registration
from metalk8s_expand.domain.expansion import plan as plans
from metalk8s_expand.domain.expansion.plan import NodePlan, Plan
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.reports.run import NodeReport, StepResult
from metalk8s_expand.domain.runs import events
from metalk8s_expand.domain.runs.lease_rules import LockLostError
from metalk8s_expand.domain.salt import orchestration_result
from metalk8s_expand.errors import (
    DeadlineError,
    DeployError,
    ExpandError,
    QuorumError,
    StoppedError,
)
from metalk8s_expand.expansion import rollback
from metalk8s_expand.expansion.rollback import Rollback
from metalk8s_expand.preflight.saltenvs import ORCHESTRATION, saltenv
from metalk8s_expand.runs.protocols import LOGS, Lock, Progress, Tell, nobody

log = logging.getLogger(__name__)

TICK_S = 0.2
VERIFY_TIMEOUT_S = 300.0
HEALTH_TIMEOUT_S = 120.0


Waiting = Iterator[None]


class Jobs(Protocol):
    """Start orchestrations, each in a separate process, and return their results."""

    def new(self) -> str:
        """Return the ID of the next job. The caller records it before it starts the job."""

    def start(self, jid: str, sls: str, saltenv: str, pillar: dict[str, Any]) -> None:
        """Start the orchestration as this job."""

    def result(self, jid: str) -> Any:
        """Return the job's result, or None until the job returns."""

    def is_dead(self, jid: str) -> bool:
        """Return whether the job's process is gone, so that it never returns a result."""


class Journal(Protocol):
    """Record how far the run has come; see the step ``journal``."""

    def began(self, node: str, step: str) -> None:
        """Record a step before it begins. Raise if it must not begin."""

    def at(self, node: str, job: str) -> None:
        """Record the Salt job of a node before the job starts."""

    def made(self, node: str) -> None:
        """Record a Node before its creation."""

    def taken(self, node: str) -> None:
        """Record that a kubelet now owns the Node."""

    def left(self, node: str, failure: str = "") -> None:
        """Record the end of a node after its last step."""


@dataclass
class Run:
    """The clients and settings of one expansion, and its results so far.

    ``health`` returns the problems of the API and those that prevent etcd growth by this node.
    ``stop`` returns the source of a stop request, or an empty string. ``created`` are Nodes of this
    run, or of the run that it resumes, on which no kubelet has reported yet.
    """

    access: Callable[[], verify.ClusterAccess]
    health: Callable[[Node], list[str]]
    jobs: Jobs
    lock: Lock
    journal: Journal
    stop: Callable[[], str]
    progress: Progress
    max_parallel: int
    deploy_timeout: float
    clock: Clock = field(default_factory=Clock)
    steps: dict[str, list[StepResult]] = field(default_factory=dict)
    errors: dict[str, ExpandError] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    created: set[str] = field(default_factory=set)
    undone: dict[str, list[str]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    tell: Tell = nobody
    # Maps each node to the Salt job of its deployment.
    job: dict[str, str] = field(default_factory=dict)

    def report(self, name: str) -> NodeReport:
        """Return the report of one node."""
        error = self.errors.get(name)
        return NodeReport(
            name,
            tuple(self.steps.get(name, ())),
            error is None and name not in self.skipped,
            None if error is None else error.as_dict(),
            self.skipped.get(name),
            tuple(self.undone.get(name, ())),
            self.states.get(name),
        )

    def record(
        self,
        name: str,
        step: str,
        started: float,
        ok: bool,
        detail: str = "",
        elapsed: float | None = None,
    ) -> None:
        """Record a step that has ended."""
        took = self.clock.now() - started if elapsed is None else elapsed
        self.steps.setdefault(name, []).append(StepResult(step, started, took, ok, detail))


def execute(run: Run, plan: Plan) -> None:
    """Execute the plan: control-plane nodes one after another, workers in parallel with them."""
    waiting = [_worker(run, item) for item in reversed(plan.workers)]
    serial, beside = [_control_plane(run, plan)], list[Waiting]()
    while serial or beside or waiting:
        while waiting and len(beside) < run.max_parallel:
            beside.append(waiting.pop())
        serial, beside = [
            [task for task in tasks if _alive(run, task)] for tasks in (serial, beside)
        ]
        run.clock.sleep(TICK_S)


def _alive(run: Run, task: Waiting) -> bool:
    """Advance one node and return whether it continues. Renew the lock first: it may take long."""
    run.lock.tick()
    return next(task, _ENDED) is not _ENDED


_ENDED = object()


def _control_plane(run: Run, plan: Plan) -> Waiting:
    """Deploy the control-plane nodes one after another.

    After a failure, add no further member to the unhealthy cluster.
    """
    failed = ""
    for item in plan.control_plane:
        name = item.node.name
        if failed:
            run.skipped[name] = f"{failed} failed before it; run again when that is mended"
            continue
        if _stopped(run, name):
            continue
        yield from _guarded(run, item.node, _health_then_node(run, item))
        failed = name if name in run.errors else ""


def _worker(run: Run, item: NodePlan) -> Waiting:
    if not _stopped(run, item.node.name):
        yield from _guarded(run, item.node, _node(run, item))


def _stopped(run: Run, name: str) -> bool:
    """Skip a node that has not begun when a stop is requested."""
    asked = run.stop()
    if asked:
        run.skipped[name] = f"the run was stopped before it began ({asked})"
    return bool(asked)


def _guarded(run: Run, node: Node, task: Waiting) -> Waiting:
    """Run the steps of one node. An error ends this node's steps only."""
    name = node.name
    try:
        yield from task
        run.journal.left(name)
        return
    except ExpandError as error:
        error.node = error.node or name
        error.log = error.log or LOGS
        run.errors[name] = error
    except Exception as error:
        log.exception("node %s: unexpected %s", name, type(error).__name__)
        run.errors[name] = ExpandError(
            f"unexpected {type(error).__name__}: {error}",
            node=name,
            hint="read the traceback in the master's log; this is a defect, please report it",
            log=LOGS,
        )
    yield from _clear(run, node)


# After these errors a different run or job may work on the node or resume it: no rollback.
_AS_IT_IS = (LockLostError, StoppedError, DeadlineError)


def _clear(run: Run, node: Node) -> Waiting:
    """Roll back a failed node and record its final state."""
    tools = Rollback(run.access, run.lock.check, run.clock)
    done = run.undone.setdefault(node.name, [])
    if not isinstance(run.errors[node.name], _AS_IT_IS):
        yield from rollback.roll_back(tools, node, node.name in run.created, done)
        run.journal.taken(node.name)
    run.states[node.name] = rollback.state(tools, node)
    # The next run looks for a job that may still run.
    if not isinstance(run.errors[node.name], DeadlineError):
        run.journal.left(node.name, run.errors[node.name].message)


def _health_then_node(run: Run, item: NodePlan) -> Waiting:
    with _step(run, item.node.name, "health"):
        yield from _until(
            run,
            "the control plane to be healthy",
            lambda: run.health(item.node),
            HEALTH_TIMEOUT_S,
            QuorumError,
        )
    yield from _node(run, item)


def _node(run: Run, item: NodePlan) -> Waiting:
    """Run the planned steps of one node that change something, in the plan's order."""
    actions: dict[str, Callable[[Run, Node], Waiting]] = {
        plans.REGISTER: _register,
        plans.DEPLOY: _deploy,
        plans.VERIFY: _verify,
        plans.UNCORDON: _uncordon,
    }
    for step in item.steps:
        if step.name in actions:
            _may_begin(run, step.name)
            with _step(run, item.node.name, step.name):
                yield from actions[step.name](run, item.node)


def _may_begin(run: Run, step: str) -> None:
    run.lock.check()
    asked = run.stop()
    if asked:
        raise StoppedError(
            f"the run was stopped before the step {step} ({asked})",
            hint="the same command goes on from here",
        )


@contextmanager
def _step(run: Run, name: str, step: str) -> Iterator[None]:
    started = run.clock.now()
    run.progress(name, step, "started")
    run.tell(name, step, events.STARTED)
    try:
        run.journal.began(name, step)
        yield
    except Exception as error:
        run.record(name, step, started, False)
        run.progress(name, step, f"FAILED after {run.clock.now() - started:.1f} s")
        run.tell(name, step, events.FAILED, run.clock.now() - started, _job(run, name, step), error)
        raise
    run.record(name, step, started, True)
    run.progress(name, step, f"done in {run.clock.now() - started:.1f} s")
    run.tell(name, step, events.DONE, run.clock.now() - started, _job(run, name, step))


def _job(run: Run, name: str, step: str) -> str | None:
    return run.job.get(name) if step == plans.DEPLOY else None


def _register(run: Run, node: Node) -> Waiting:
    kube = run.access().kube
    if kube.node(node.name) is None:
        run.journal.made(node.name)
        run.created.add(node.name)
    node_registration.register(kube, node)
    yield


def _deploy(run: Run, node: Node) -> Waiting:
    """Start the deployment orchestration by name, and take the verdict from the job's return."""
    started = run.clock.now()
    pillar = {"orchestrate": {"node_name": node.name, "epoch": run.lock.epoch}}
    job = run.jobs.new()
    run.progress(node.name, plans.DEPLOY, f"job {job}")
    run.journal.at(node.name, job)
    run.jobs.start(job, ORCHESTRATION, saltenv(node), pillar)
    run.job[node.name] = job
    run.tell(node.name, plans.DEPLOY, events.STARTED, run.clock.now() - started, job)
    deadline = run.clock.monotonic() + run.deploy_timeout
    while (answer := run.jobs.result(job)) is None:
        if run.clock.monotonic() > deadline:
            raise DeadlineError(
                f"{ORCHESTRATION} has not returned after {run.deploy_timeout:.0f} s",
                node=node.name,
                hint=f"it may still run: salt-run jobs.master, salt-run jobs.lookup_jid {job}",
                job=job,
            )
        if run.jobs.is_dead(job):
            raise DeployError(
                f"the process of {ORCHESTRATION} is gone and has returned nothing: was it killed, or is memory short?",
                node=node.name,
                hint="run the same command again: it waits for what the node still does, and goes on",
                job=job,
            )
        yield
    for state in (found for found in orchestration_result.states(answer) if found.ran):
        run.record(
            node.name,
            f"{plans.DEPLOY}: {state.name}",
            started,
            state.ok,
            state.job or "",
            state.elapsed,
        )
    problems = orchestration_result.problems(answer)
    if problems:
        raise DeployError(
            f"{ORCHESTRATION} failed",
            node=node.name,
            problems=problems,
            hint=f"mend the first of these and run the same command again; all of it: salt-run jobs.lookup_jid {job}",
            job=job,
        )
    run.created.discard(node.name)
    run.journal.taken(node.name)


def _verify(run: Run, node: Node) -> Waiting:
    yield from _until(
        run,
        "the node to be as declared",
        lambda: verify.node_health_problems(run.access(), node),
        VERIFY_TIMEOUT_S,
        DeployError,
    )


def _uncordon(run: Run, node: Node) -> Waiting:
    node_registration.uncordon(run.access().kube, node.name)
    yield


def _until(
    run: Run, what: str, problems: Callable[[], list[str]], timeout: float, error: type[ExpandError]
) -> Waiting:
    """Wait like clock.wait_until, but let the steps of other nodes run in between."""
    started = run.clock.monotonic()
    while reasons := current_problems(problems):
        elapsed = run.clock.monotonic() - started
        if elapsed > timeout:
            raise error(
                f"waited {elapsed:.0f} s for {what}",
                problems=reasons,
                hint="mend these and run the same command again",
                log=verify.LOG,
            )
        yield
