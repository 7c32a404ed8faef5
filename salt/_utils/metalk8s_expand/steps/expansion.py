"""The expansion itself: which step of which node runs when. It decides, schedules and reports; the steps do the work.

One thread steps through the nodes in turn, each a generator that yields while it waits: Salt forks to start a job, which
threads do not survive, and one order of events is easier to trust than many.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from metalk8s_expand.clients.clock import Clock, asked
from metalk8s_expand.domain import plan as plans
from metalk8s_expand.domain import verdict
from metalk8s_expand.domain.nodes import Node
from metalk8s_expand.domain.plan import NodePlan, Plan
from metalk8s_expand.domain.report import NodeReport, StepResult
from metalk8s_expand.errors import DeadlineError, DeployError, ExpandError, QuorumError
from metalk8s_expand.steps import register, verify

log = logging.getLogger(__name__)

ORCHESTRATION = "metalk8s.orchestrate.deploy_node"
TICK_S = 0.2
VERIFY_TIMEOUT_S = 300.0
HEALTH_TIMEOUT_S = 120.0

LOGS = "on the master: /var/log/salt/master; on the node: /var/log/salt/minion, journalctl --unit kubelet, /var/log/pods"

Waiting = Iterator[None]


class Jobs(Protocol):
    """Orchestrations, each in a process of its own."""

    def start(self, sls: str, saltenv: str, pillar: dict[str, Any]) -> str:
        """Start one and return its job ID."""

    def result(self, jid: str) -> Any:
        """Its return, or None while it runs."""


class Lock(Protocol):
    """What lets one run at a time change anything; see the step ``lock``."""

    epoch: int

    def tick(self) -> None:
        """Keep it; to be called often."""

    def check(self) -> None:
        """Pass when the next change may be made. Raises LockLostError when it is lost."""


Progress = Callable[[str, str, str], None]


@dataclass
class Run:
    """What one expansion works with, and what it has done so far.

    ``health`` says what is wrong with the API, or keeps etcd from growing by this node.
    """

    access: Callable[[], verify.Access]
    health: Callable[[Node], list[str]]
    jobs: Jobs
    lock: Lock
    progress: Progress
    max_parallel: int
    deploy_timeout: float
    clock: Clock = field(default_factory=Clock)
    steps: dict[str, list[StepResult]] = field(default_factory=dict)
    errors: dict[str, ExpandError] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def report(self, name: str) -> NodeReport:
        """What was done on one node."""
        error = self.errors.get(name)
        return NodeReport(
            name,
            tuple(self.steps.get(name, ())),
            error is None and name not in self.skipped,
            None if error is None else error.as_dict(),
            self.skipped.get(name),
        )

    def record(self, name: str, step: str, started: float, ok: bool, detail: str = "", elapsed: float | None = None) -> None:
        """Note a step that has ended."""
        took = self.clock.now() - started if elapsed is None else elapsed
        self.steps.setdefault(name, []).append(StepResult(step, started, took, ok, detail))


def execute(run: Run, plan: Plan) -> None:
    """Do everything that the plan says: control-plane nodes one after another, workers beside them."""
    waiting = [_worker(run, item) for item in reversed(plan.workers)]
    serial, beside = [_control_plane(run, plan)], list[Waiting]()
    while serial or beside or waiting:
        while waiting and len(beside) < run.max_parallel:
            beside.append(waiting.pop())
        serial, beside = [[task for task in tasks if _alive(run, task)] for tasks in (serial, beside)]
        run.clock.sleep(TICK_S)


def _alive(run: Run, task: Waiting) -> bool:
    """One turn of a node. Any of them may take long, so the lock is kept before each."""
    run.lock.tick()
    return next(task, _ENDED) is not _ENDED


_ENDED = object()


def _control_plane(run: Run, plan: Plan) -> Waiting:
    """One after another; after a failure no further member is added to a cluster that is not as it should be."""
    failed = ""
    for item in plan.control_plane:
        name = item.node.name
        if failed:
            run.skipped[name] = f"{failed} failed before it; run again when that is mended"
            continue
        yield from _guarded(run, name, _health_then_node(run, item))
        failed = name if name in run.errors else ""


def _worker(run: Run, item: NodePlan) -> Waiting:
    yield from _guarded(run, item.node.name, _node(run, item))


def _guarded(run: Run, name: str, task: Waiting) -> Waiting:
    """An error ends the node's own steps, and nobody else's."""
    try:
        yield from task
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
    """The steps of one node that change something, as planned and in the plan's order."""
    actions: dict[str, Callable[[Run, Node], Waiting]] = {
        plans.REGISTER: _register,
        plans.DEPLOY: _deploy,
        plans.VERIFY: _verify,
        plans.UNCORDON: _uncordon,
    }
    for step in item.steps:
        if step.name in actions:
            with _step(run, item.node.name, step.name):
                run.lock.check()
                yield from actions[step.name](run, item.node)


@contextmanager
def _step(run: Run, name: str, step: str) -> Iterator[None]:
    started = run.clock.now()
    run.progress(name, step, "started")
    try:
        yield
    except Exception:
        run.record(name, step, started, False)
        run.progress(name, step, f"FAILED after {run.clock.now() - started:.1f} s")
        raise
    run.record(name, step, started, True)
    run.progress(name, step, f"done in {run.clock.now() - started:.1f} s")


def _register(run: Run, node: Node) -> Waiting:
    register.register(run.access().kube, node)
    yield


def _deploy(run: Run, node: Node) -> Waiting:
    """Chain into the deployment by its name, and take the verdict from the job's return."""
    started = run.clock.now()
    pillar = {"orchestrate": {"node_name": node.name, "epoch": run.lock.epoch}}
    job = run.jobs.start(ORCHESTRATION, f"metalk8s-{node.version}", pillar)
    run.progress(node.name, plans.DEPLOY, f"job {job}")
    deadline = run.clock.monotonic() + run.deploy_timeout
    while (answer := run.jobs.result(job)) is None:
        if run.clock.monotonic() > deadline:
            raise DeadlineError(
                f"{ORCHESTRATION} has not returned after {run.deploy_timeout:.0f} s",
                node=node.name,
                hint=f"it may still run: salt-run jobs.master, salt-run jobs.lookup_jid {job}",
                job=job,
            )
        yield
    for state in (found for found in verdict.states(answer) if found.ran):
        run.record(node.name, f"{plans.DEPLOY}: {state.name}", started, state.ok, state.job or "", state.elapsed)
    problems = verdict.problems(answer)
    if problems:
        raise DeployError(
            f"{ORCHESTRATION} failed",
            node=node.name,
            problems=problems,
            hint=f"mend the first of these and run the same command again; all of it: salt-run jobs.lookup_jid {job}",
            job=job,
        )


def _verify(run: Run, node: Node) -> Waiting:
    yield from _until(
        run, "the node to be as declared", lambda: verify.node_problems(run.access(), node), VERIFY_TIMEOUT_S, DeployError
    )


def _uncordon(run: Run, node: Node) -> Waiting:
    register.uncordon(run.access().kube, node.name)
    yield


def _until(run: Run, what: str, problems: Callable[[], list[str]], timeout: float, error: type[ExpandError]) -> Waiting:
    """Like clock.wait_until, but lets the other nodes go on in between."""
    started = run.clock.monotonic()
    while reasons := asked(problems):
        elapsed = run.clock.monotonic() - started
        if elapsed > timeout:
            raise error(
                f"waited {elapsed:.0f} s for {what}",
                problems=reasons,
                hint="mend these and run the same command again",
                log=verify.LOG,
            )
        yield
