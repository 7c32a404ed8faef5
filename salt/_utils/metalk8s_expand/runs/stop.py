"""Request from any host that the run that holds the lock stop after its current steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metalk8s_expand.clients.host.clock import Clock, Wait, wait_until
from metalk8s_expand.clients.kubernetes.lease import Leases
from metalk8s_expand.domain.runs import lease_rules as rules
from metalk8s_expand.domain.runs.lease_rules import Lease
from metalk8s_expand.errors import ConflictError, DeadlineError

ATTEMPTS = 10
FOLLOW = "salt-run metalk8s_expand.status follow=True"


@dataclass(frozen=True)
class StopResult:
    """The result of the request. ``run`` is empty if no run was active."""

    run: str
    title: str
    ended: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the result as a JSON-ready mapping."""
        return {"run": self.run or None, "holder": self.title or None, "ended": self.ended}


def stop(leases: Leases, who: str, wait_s: float = 0.0, *, clock: Clock) -> StopResult:
    """Request the stop, and wait at most ``wait_s`` seconds for the end of the run.

    Raises DeadlineError if the run does not end in time.
    """
    lease = _ask(leases, who)
    if lease is None:
        return StopResult("", "", True)
    if not wait_s:
        return StopResult(lease.run, lease.title, False)
    wait_until(
        Wait(
            f"the run {lease.run} to stop",
            wait_s,
            hint=(
                "it stops after its current steps, and a deployment may take minutes. Follow it:"
                f" {FOLLOW}. If it is dead, run its command again: that resumes it"
            ),
            log=f"/var/log/salt/master on {lease.host}",
            error=DeadlineError,
        ),
        lambda: _still_running(leases, lease),
        clock,
    )
    return StopResult(lease.run, lease.title, True)


def render_stop(asked: StopResult) -> str:
    """Return the result as text for people."""
    if not asked.run:
        return "No run is active."
    if asked.ended:
        return f"Stopped: {asked.title}"
    return f"It will stop after its current steps: {asked.title}\nFollow it: {FOLLOW}"


def _ask(leases: Leases, who: str) -> Lease | None:
    """Store the request in the Lease and return the Lease; None if it has no holder."""
    for _ in range(ATTEMPTS):
        lease = rules.of(leases.get())
        if lease is None or not lease.holder:
            return None
        if lease.stop:
            return lease
        try:
            if leases.update(rules.stopping(lease, who)) is not None:
                return lease
        except ConflictError:
            # The holder renewed the Lease in the meantime.
            continue
    raise ConflictError(
        f"the Lease could not be changed in {ATTEMPTS} attempts", hint="run the same command again"
    )


def _still_running(leases: Leases, asked: Lease) -> list[str]:
    now = rules.of(leases.get())
    return (
        [f"it holds the lock: {now.title}"]
        if now is not None and now.holder == asked.holder
        else []
    )
