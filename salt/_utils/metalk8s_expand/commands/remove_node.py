"""Implement ``remove_node``: parse its arguments, show or execute its plan, return its report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.salt import cache
from metalk8s_expand.cluster import etcd_snapshot, running_operations
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.commands import arguments
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.removal.drain_rules import Allowed
from metalk8s_expand.domain.removal.plan import RemovalOptions
from metalk8s_expand.domain.reports.run import Report
from metalk8s_expand.errors import LockedError, SettingsError
from metalk8s_expand.expansion.workflow import SAVED_S, Held
from metalk8s_expand.removal import discovery, workflow
from metalk8s_expand.runs.progress import Progress

DRAIN_TIMEOUT_S = 600.0


def options(
    force: Any = False,
    delete_emptydir_data: Any = False,
    delete_bare_pods: Any = False,
    delete_local_volumes: Any = False,
    drain_timeout_s: Any = DRAIN_TIMEOUT_S,
) -> RemovalOptions:
    """The arguments as a value.

    Raises SettingsError if an argument has the wrong type: ``force=no`` must not mean yes.
    """
    flags = {
        "force": force,
        "delete_emptydir_data": delete_emptydir_data,
        "delete_bare_pods": delete_bare_pods,
        "delete_local_volumes": delete_local_volumes,
    }
    wrong = [
        problem for name, value in flags.items() for problem in arguments.flag_problems(name, value)
    ]
    if (
        isinstance(drain_timeout_s, bool)
        or not isinstance(drain_timeout_s, (int, float))
        or drain_timeout_s <= 0
    ):
        wrong.append(
            f"drain_timeout_s is {drain_timeout_s!r}: write a number of seconds, more than 0"
        )
    if wrong:
        raise SettingsError("the arguments are wrong, so nothing was changed", problems=wrong)
    allowed = Allowed(delete_emptydir_data, delete_bare_pods, delete_local_volumes)
    return RemovalOptions(force, allowed, float(drain_timeout_s))


def remove_node(
    world: ClusterContext,
    declared: Settings,
    node: str,
    wanted: RemovalOptions,
    held: Held,
    progress: Progress,
    clock: Clock,
) -> dict[str, Any]:
    """Remove the node, save and return the report. Takes an etcd snapshot before a member goes."""
    busy = running_operations.operations(world)
    if busy:
        hint = "wait until it has ended, or end it: salt-run jobs.master"
        raise LockedError(
            "another operation runs on this cluster, so nothing was changed",
            problems=busy,
            hint=hint,
        )
    saved: list[dict[str, Any]] = []

    def begin(step: str) -> None:
        held.go_on()
        held.journal.began(node, step)

    def save() -> None:
        with held.lock.renewing(declared.etcd_snapshot.timeout_s + SAVED_S):
            taken = etcd_snapshot.take_for(world, declared, progress.run, progress)
        saved.extend([taken] if taken else [])

    outcome = workflow.remove(
        world, declared, node, wanted, held.lock, progress, clock, save, begin, progress.step
    )
    error = outcome.node.error
    held.journal.left(node, str(error["message"]) if error else "")
    found = replace(_report(outcome, progress), snapshot=next(iter(saved), None))
    data = {**found.as_dict(), "plan": outcome.plan.as_dict(), "unchanged": outcome.plan.empty}
    if outcome.node.ok:
        data[discovery.REMOVED] = node
    data["log"] = str(cache.save_report(world.opts, data))
    return data


def planned(
    world: ClusterContext, declared: Settings, node: str, wanted: RemovalOptions
) -> dict[str, Any]:
    """Return what the removal would do, without changes and without the lock."""
    return {**workflow.planned(world, declared, node, wanted).as_dict(), "dry_run": True}


def _report(outcome: workflow.Outcome, progress: Progress) -> Report:
    error = outcome.node.error
    retcode = int(error["retcode"]) if error else 0
    nodes = () if outcome.plan.empty else (outcome.node,)
    return Report(
        progress.run,
        nodes,
        progress.started,
        progress.elapsed(),
        not retcode,
        retcode,
        outcome.notes,
    )
