"""Run a command exclusively: with the lock, the journal, the signal handlers and the events."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from metalk8s_expand.clients.host import signals
from metalk8s_expand.clients.kubernetes.lease import claim
from metalk8s_expand.cluster import health
from metalk8s_expand.commands.context import CommandContext
from metalk8s_expand.domain.runs import events
from metalk8s_expand.domain.runs.events import RunEnd
from metalk8s_expand.runs import orphaned_jobs
from metalk8s_expand.runs.context import RunContext
from metalk8s_expand.runs.journal import JournalWriter, NewRun
from metalk8s_expand.runs.lock import Lock, acquire


@contextmanager
def exclusive_run(
    ctx: CommandContext, command: str, wait_s: float, job_timeout_s: float
) -> Iterator[RunContext]:
    """Hold the lock for one run, and yield after jobs of earlier runs have ended.

    No other run changes the cluster while this one holds the lock. ``wait_s`` limits the wait for
    the lock, ``job_timeout_s`` the wait for jobs of an interrupted run. Raises LockedError if a
    wait expires, and QuorumError if etcd has an alarm: the run could not even write its Lease.
    """
    health.ensure_no_alarm(ctx.cluster.access())
    progress = ctx.progress
    with _lock(ctx, command, wait_s) as lock, signals.handle_signals() as signal:
        new = NewRun(progress.run, command, platform.node(), lock.epoch)
        journal = JournalWriter(ctx.cluster.kube, new, ctx.clock)
        progress.listener, progress.bus = journal.log_line, ctx.bus.fire
        run = RunContext(
            ctx.cluster, ctx.clock, progress, lock, journal, lambda: signal.name or lock.stop
        )
        outcome = "failed"
        progress.show(lambda: journal.now)
        progress.event(events.started(progress.run, command, journal.now.host))
        try:
            journal.keep()
            orphaned_jobs.wait(run, job_timeout_s)
            lock.check()
            journal.reset()
            yield run
            outcome = "ended"
        except KeyboardInterrupt:
            outcome = "been interrupted"
            raise
        finally:
            progress.close()
            journal.close(outcome)
            _publish_end(run, command, outcome, sys.exc_info()[1])


def _publish_end(run: RunContext, command: str, outcome: str, error: BaseException | None) -> None:
    """Publish the end of the run. The exit code comes from the report, if there is one."""
    progress, retcode = run.progress, run.exit_code.get("retcode")
    if retcode is None:
        retcode = getattr(error, "retcode", 1) if error else 0
    end = RunEnd(outcome, progress.elapsed(), retcode, error)
    progress.event(events.ended(progress.run, command, end))


def _lock(ctx: CommandContext, command: str, wait_s: float) -> Lock:
    """Acquire the Lease, which only one run holds at a time."""
    return acquire(
        ctx.cluster.leases(),
        claim(ctx.progress.run, command),
        wait_s,
        clock=ctx.clock,
        waiting=lambda holder: ctx.progress("", "lock", f"waiting for {holder}"),
    )
