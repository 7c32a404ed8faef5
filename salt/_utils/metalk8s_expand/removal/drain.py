"""Drain a Node through the eviction API.

The drain waits for disruption budgets and reports which ones block it. It never evicts a Pod twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from metalk8s_expand.clients.host.clock import (
    Clock,
    Pending,
    Wait,
    current_problems,
    poll_until,
    retry_until,
)
from metalk8s_expand.clients.kubernetes import evictions
from metalk8s_expand.clients.kubernetes.evictions import Eviction
from metalk8s_expand.clients.kubernetes.objects import JsonObject, Kube
from metalk8s_expand.domain.removal import drain_rules
from metalk8s_expand.domain.removal.drain_rules import Allowed
from metalk8s_expand.errors import ConflictError, DeadlineError

INTERVAL_S = 1.0
# A controller detaches a volume within seconds after its Pod has ended. A volume of a DaemonSet
# stays attached as long as its Node exists.
DETACH_S = 90.0


class PodsRefusedError(ConflictError):
    """A retry is useless: only the operator can accept the loss of the data that a Pod holds."""

    retry: ClassVar[bool] = False


Tell = Callable[[str], None]
Admit = Callable[[], object]


def drain_node(
    kube: Kube,
    node: str,
    allowed: Allowed,
    timeout: float,
    admit: Admit,
    tell: Tell,
    clock: Clock,
) -> int:
    """Evict every Pod that has to leave, until none is left; return their number.

    The function calls ``admit`` before each eviction. Raises DeadlineError with the remaining Pods
    and what blocks them, DeployError when waiting is useless, and PodsRefusedError when a Pod has
    appeared that may not be evicted.
    """
    seen: set[str] = set()

    def attempt() -> bool | Pending:
        pods = drain_rules.leaving(evictions.pods_on(kube, node))
        _refuse(kube, node, pods, allowed)
        remaining = []
        for pod in pods:
            seen.add(drain_rules.identity(pod))
            remaining.append(_evict(kube, pod, admit))
        first = f": {remaining[0]}" if remaining else ""
        tell(f"{len(pods)} of {len(seen)} Pods are left{first}")
        return Pending(remaining) if remaining else True

    retry_until(
        Wait(
            f"the Pods of {node} to move to other nodes",
            timeout,
            interval=INTERVAL_S,
            node=node,
            hint=(
                "check the disruption budgets (kubectl get poddisruptionbudgets -A) and run the"
                " same command again, or allow more with drain_timeout_s; the node stays cordoned"
            ),
            error=DeadlineError,
        ),
        attempt,
        clock,
    )
    return len(seen)


def wait_for_volume_detach(kube: Kube, node: str, tick: Callable[[], None], clock: Clock) -> str:
    """Wait, for a limited time, until no volume is attached to the Node; return the rest in a
    sentence.
    """

    def attempt() -> bool | Pending:
        attached = current_problems(lambda: evictions.attachments(kube, node))
        if attached:
            tick()
        return Pending(attached) if attached else True

    try:
        poll_until(Wait("its volumes to detach", DETACH_S, interval=INTERVAL_S), attempt, clock)
    except DeadlineError as error:
        attached = ", ".join(map(str, error.problems))
        return f"volumes are still attached to {node} after {DETACH_S:.0f} s: {attached}"
    return ""


def _refuse(kube: Kube, node: str, pods: list[JsonObject], allowed: Allowed) -> None:
    """Refuse a Pod that names its Node and so bypassed the cordon: the operator did not accept its
    loss.
    """
    waiting = [pod for pod in pods if not drain_rules.is_terminating(pod)]
    claims = [claim for pod in waiting for claim in drain_rules.claims(pod)]
    local = (
        evictions.local_claims(kube, claims)
        if claims and not allowed.delete_local_volumes
        else frozenset()
    )
    problems = drain_rules.obstacles(waiting, allowed, local)
    if problems:
        hint = "move it or set the option, then run the same command again; the node stays cordoned"
        raise PodsRefusedError(
            "there are Pods that may not be evicted", node=node, problems=problems, hint=hint
        )


def _evict(kube: Kube, pod: JsonObject, admit: Admit) -> str:
    """Request the eviction of this Pod once; return why it still exists."""
    if drain_rules.is_terminating(pod):
        return (
            f"Pod {drain_rules.title(pod)} is terminating since"
            f" {pod['metadata']['deletionTimestamp']}"
        )
    admit()
    answer, reason = evictions.evict(kube, pod)
    words = {
        Eviction.ACCEPTED: "is being evicted",
        Eviction.GONE: "is already deleted",
        Eviction.WAIT: f"is blocked: {reason}",
    }
    return f"Pod {drain_rules.title(pod)} {words[answer]}"
