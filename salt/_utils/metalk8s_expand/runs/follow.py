"""Report on a run from another process: its journal, and from its Lease whether it is alive."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from metalk8s_expand.clients.host.clock import Clock, Pending, Wait, poll_until
from metalk8s_expand.clients.kubernetes.lease import Leases
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.domain.runs import lease_rules as rules
from metalk8s_expand.domain.runs.journal_record import JournalRecord
from metalk8s_expand.domain.runs.lease_rules import DURATION_S, Lease, RenewalWatch
from metalk8s_expand.errors import DeadlineError, UnreachableError
from metalk8s_expand.runs import journal

POLL_S = 1.0
# Longer than an API server takes to restart during an expansion.
PATIENCE_S = 120.0


def current(kube: Kube, leases: Leases, now: float) -> dict[str, Any] | None:
    """Return the active or interrupted run as a JSON-ready mapping.

    None if there is no run or the last run has ended. ``now`` is in seconds since the epoch.
    """
    record = journal.read(kube)
    if record is None or record.ended is not None:
        return None
    lease = rules.of(leases.get())
    alive = lease is not None and lease.run == record.run
    doing = {
        name: {"step": step.step, "seconds": round(now - step.since, 1), "job": step.job or None}
        for name, step in record.nodes.items()
    }
    return {
        "run": record.run,
        "doing": record.doing,
        "host": record.host,
        "started": record.started,
        "alive": alive,
        "stop": lease.stop if alive and lease else "",
        "nodes": doing,
        "failed": dict(record.failed),
        "finished": record.finished,
    }


def render_status(now: Mapping[str, Any] | None) -> str:
    """Return the run of ``current`` as text for people; empty if there is none."""
    if now is None:
        return ""
    title = f"Run {now['run']} ({now['doing']}, on {now['host']})"
    state = "is active" if now["alive"] else "was interrupted; the same command resumes it"
    asked = f", asked to stop: {now['stop']}" if now["stop"] else ""
    steps = []
    for name, step in now["nodes"].items():
        job = f", job {step['job']}" if step["job"] else ""
        steps.append(f"- {name}: {step['step']} for {step['seconds']:.0f} s{job}")
    failed = [f"- {name}: FAILED: {reason}" for name, reason in now["failed"].items()]
    return "\n".join([f"{title} {state}{asked}; {now['finished']} nodes are done", *steps, *failed])


def follow(
    kube: Kube,
    leases: Leases,
    tell: Callable[[str], None],
    clock: Clock,
    show: Callable[[Callable[[], JournalRecord | None]], None] = lambda record: None,
) -> None:
    """Print every log line of the active run until the run ends.

    ``show`` receives a function that returns the newest record of the run, for a display.
    Raises DeadlineError if the run renews its Lease no longer or does not hold it.
    """
    watched = _Watched(kube, leases, clock)
    first = watched.look()
    if first is None or first.ended is not None:
        tell("No run is active.")
        return
    tell(f"{first.title}, since {clock.now() - first.started:.0f} s:")
    record: JournalRecord | None = first
    newest = first
    printed = 0
    show(lambda: newest)

    def attempt() -> str | Pending:
        nonlocal printed, record, newest
        if record is None:
            record = watched.look()
        if record is None or record.run != first.run:
            return f"{first.title} is over, another run has started"
        newest = record
        for line in record.since(printed):
            tell(line)
        printed = record.told
        if record.ended is None:
            record = None
            return Pending(())
        return (
            f"{first.title} has {record.outcome}. Its report: salt-run metalk8s_expand.report"
            f" {first.run}"
        )

    # A run may take hours. If it renews its Lease no longer, ``look`` raises.
    tell(poll_until(Wait("the run to end", math.inf, interval=POLL_S), attempt, clock))


class _Watched:
    """A reader of the journal that also checks that the run renews its Lease."""

    def __init__(self, kube: Kube, leases: Leases, clock: Clock) -> None:
        self._kube = kube
        self._leases = leases
        self._clock = clock
        self._watch = RenewalWatch()
        self._answered = clock.monotonic()

    def look(self) -> JournalRecord | None:
        """Return the journal, after a wait of at most ``PATIENCE_S`` seconds for the API server."""
        wait = Wait("the API server", PATIENCE_S, interval=POLL_S)
        record, lease = poll_until(wait, self._read, self._clock)
        self._answered = self._clock.monotonic()
        if record is not None and record.ended is None:
            self._judge(record, lease)
        return record

    def _read(self) -> tuple[JournalRecord | None, Lease | None] | Pending:
        try:
            return journal.read(self._kube), rules.of(self._leases.get())
        except UnreachableError as error:
            return Pending((), error)

    def _judge(self, record: JournalRecord, lease: Lease | None) -> None:
        """Raise DeadlineError if the run does not hold the Lease, or renews it no longer."""
        duration = lease.duration if lease is not None else DURATION_S
        if lease is not None:
            self._watch = self._watch.saw(lease, self._answered)
        if (
            lease is None
            or lease.run != record.run
            or self._answered - self._watch.since > duration
        ):
            raise DeadlineError(
                f"{record.title} does not renew its lock any longer: it was killed, or its host is"
                " down",
                hint="run its command again with wait_s=90: it takes over and resumes the run",
                log=f"/var/log/salt/master on {record.host}",
            )
