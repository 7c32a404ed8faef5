"""Other operations of MetalK8s that run on this master."""

from __future__ import annotations

from collections.abc import Collection

from metalk8s_expand.clients.salt import running_jobs
from metalk8s_expand.clients.salt.running_jobs import Runner
from metalk8s_expand.cluster.context import ClusterContext

OPERATIONS = "metalk8s.orchestrate."


ORCHESTRATE = ("state.orchestrate", "state.orch", "state.sls")


# Salt gives this name to the process of an orchestration that a run of ``expand`` has started.
STARTED = "fun=state.orchestrate"


EARLIER = "an orchestration of an earlier metalk8s_expand run"


def operations(world: ClusterContext) -> list[str]:
    """Return the orchestrations of MetalK8s that run on this master, except the caller's own."""
    descriptions = []
    for runner in running_jobs.running(world.opts):
        title = _operation(runner)
        if title:
            job = f", job {runner.job}" if runner.job else ""
            descriptions.append(f"{title} runs on this master, process {runner.pid}{job}")
    return descriptions


def is_ours(runner: Runner, jobs: Collection[str]) -> bool:
    """Return whether a run of ``expand`` started this orchestration;

    ``jobs`` are those of its journal.
    """
    return _operation(runner) == EARLIER or any(runner.does(job) for job in jobs)


def _operation(runner: Runner) -> str:
    """Return the name of the orchestration, or nothing.

    The name omits the arguments: a pillar may be among them.
    """
    words = [word.removeprefix("mods=") for word in runner.words]
    sls = next((word for word in words if word.startswith(OPERATIONS)), "")
    if sls and any(word in ORCHESTRATE for word in words):
        return sls
    if STARTED in words and any(word.startswith("metalk8s_expand.") for word in words):
        return EARLIER
    return ""
