"""Find the jobs that a dead run has left behind, and wait for their end.

An orchestration is a separate process that outlives a killed runner, and a minion completes its
state job even after both are dead. If the new run applied the same states at the same time, they
would fail or make the same change concurrently.
"""

from __future__ import annotations

from collections.abc import Callable

from metalk8s_expand.clients.host.clock import Pending, Wait, poll_until
from metalk8s_expand.clients.salt import minions, running_jobs
from metalk8s_expand.clients.salt.running_jobs import Runner
from metalk8s_expand.cluster import running_operations
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.errors import LockedError
from metalk8s_expand.runs.context import RunContext

POLL_S = 1.0
# A minion that does not answer costs a few seconds per query, so the run queries minions less
# often.
ASK_S = 5.0
# If the master was killed too, its minions connect again within some ten seconds (recon_max), and
# only the first message to one of them shows it that the master has a new session key.
RECONNECT_S = 30.0


def wait(run: RunContext, timeout: float) -> None:
    """Wait at most ``timeout`` seconds until the jobs of the earlier run have ended.

    Raises LockedError if a job still runs then.
    """
    before, deadline = run.journal.now, run.clock.monotonic() + timeout
    _until_none(run, lambda: _orchestrations(run.cluster, before.jobs), POLL_S, deadline)
    nodes = sorted(before.nodes)
    if nodes:
        silent_until = min(deadline, run.clock.monotonic() + RECONNECT_S)
        _until_none(run, lambda: _state_jobs(run, nodes, silent_until), ASK_S, deadline)


def _until_none(
    run: RunContext, running: Callable[[], list[str]], interval: float, deadline: float
) -> None:
    shown: list[str] = []

    def attempt() -> bool | Pending:
        nonlocal shown
        jobs = running()
        if not jobs:
            return True
        if jobs != shown:
            shown = jobs
            run.progress(
                "",
                "resume",
                "waiting for jobs of an interrupted run: " + "; ".join(jobs),
            )
        if run.clock.monotonic() < deadline:
            run.ensure_not_stopped()
        return Pending((), _still_running(jobs))

    limit = max(0.0, deadline - run.clock.monotonic())
    poll_until(Wait("jobs of an earlier run", limit, interval=interval), attempt, run.clock)


def _still_running(jobs: list[str]) -> LockedError:
    return LockedError(
        "jobs of an interrupted run are still active, so nothing was started",
        problems=jobs,
        hint=(
            "see salt-run jobs.active and salt-run jobs.lookup_jid JOB; wait for their end or stop"
            " them, then run the same command again"
        ),
        log="/var/log/salt/master; /var/log/salt/minion on the node",
    )


def _orchestrations(world: ClusterContext, jobs: set[str]) -> list[str]:
    return [
        _title(runner)
        for runner in running_jobs.running(world.opts)
        if running_operations.is_ours(runner, jobs)
    ]


def _title(runner: Runner) -> str:
    return (
        f"an orchestration, process {runner.pid} on this"
        f" master{f', job {runner.job}' if runner.job else ''}"
    )


def _state_jobs(run: RunContext, nodes: list[str], silent_until: float) -> list[str]:
    """Return the state jobs that run on the minions, and until a time the minions that are silent.

    A silent minion may run a job, and not be connected to the master again. Later it counts as
    idle, because it is dead or was never started.
    """
    master = minions.Minions(run.cluster.opts)
    answers = master.ask(nodes, "saltutil.running", [])
    titles = []
    for name, jobs in sorted(answers.items()):
        # A minion may answer with an error text instead of a list.
        if not isinstance(jobs, list):
            continue
        for job in jobs:
            if str(job.get("fun", "")).startswith("state."):
                titles.append(f"job {job.get('jid')} ({job.get('fun')}) on {name}")
    if run.clock.monotonic() < silent_until:
        silent = sorted(master.accepted(nodes).difference(answers))
        titles += [f"perhaps one on {name}, whose minion does not answer" for name in silent]
    return titles
