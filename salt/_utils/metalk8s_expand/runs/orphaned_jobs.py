"""What an earlier run has started and that still runs though the run is dead: found and waited for, not started twice.

An orchestration is a process of its own that a killed runner leaves behind, and a minion ends its state job whatever
became of both. The same states applied a second time beside them would fail, or do the same thing at once.
"""

from __future__ import annotations

from collections.abc import Callable

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.salt import minions, running_jobs
from metalk8s_expand.clients.salt.running_jobs import Runner
from metalk8s_expand.cluster import running_operations
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.runs.journal_record import JournalRecord
from metalk8s_expand.errors import LockedError

POLL_S = 1.0
# A minion that answers nothing costs some seconds at each question, so it is not asked as often.
ASK_S = 5.0

Tell = Callable[[str], None]


def wait(
    world: ClusterContext,
    before: JournalRecord,
    timeout: float,
    clock: Clock,
    tick: Callable[[], None],
    tell: Tell,
) -> None:
    """Wait until nothing of the earlier run goes on, at most ``timeout`` seconds; LockedError when it does still."""
    deadline = clock.monotonic() + timeout
    _until_none(lambda: _orchestrations(world, before.jobs), POLL_S, deadline, clock, tick, tell)
    nodes = sorted(before.nodes)
    if nodes:
        _until_none(lambda: _state_jobs(world, nodes), ASK_S, deadline, clock, tick, tell)


def _until_none(
    running: Callable[[], list[str]],
    interval: float,
    deadline: float,
    clock: Clock,
    tick: Callable[[], None],
    tell: Tell,
) -> None:
    told: list[str] = []
    while found := running():
        if found != told:
            told = found
            tell("an earlier run is dead, what it started is waited for: " + "; ".join(found))
        if clock.monotonic() >= deadline:
            raise LockedError(
                "what an earlier run has started still runs, so nothing was started",
                problems=found,
                hint="look at it: salt-run jobs.active, salt-run jobs.lookup_jid JOB; wait, or end it, and run again",
                log="/var/log/salt/master; /var/log/salt/minion on the node",
            )
        tick()
        clock.sleep(interval)


def _orchestrations(world: ClusterContext, jobs: set[str]) -> list[str]:
    return [
        _title(runner)
        for runner in running_jobs.running(world.opts)
        if running_operations.is_ours(runner, jobs)
    ]


def _title(runner: Runner) -> str:
    return f"an orchestration, process {runner.pid} on this master{f', job {runner.job}' if runner.job else ''}"


def _state_jobs(world: ClusterContext, nodes: list[str]) -> list[str]:
    """The state jobs of minions that answer; one that does not is dead, or not there yet."""
    answers = minions.Minions(world.opts).ask(nodes, "saltutil.running", [])
    return [
        f"job {job.get('jid')} ({job.get('fun')}) on {name}"
        for name, listed in sorted(answers.items())
        for job in (listed if isinstance(listed, list) else ())
        if str(job.get("fun", "")).startswith("state.")
    ]
