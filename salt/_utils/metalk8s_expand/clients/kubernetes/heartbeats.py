"""Observe which kubelets renew their Leases: the Ready condition of a dead host is True for long.

The API keeps the last status that a kubelet has reported for 40 seconds or more after its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metalk8s_expand.clients.host.clock import Clock, Wait, wait_until
from metalk8s_expand.clients.kubernetes import node_leases
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.domain.node import heartbeat
from metalk8s_expand.domain.node.heartbeat import Heartbeats
from metalk8s_expand.errors import DeadlineError

# Seconds within which a live kubelet renews its Lease: twice its usual interval.
RENEWAL_S = 20.0
POLL_S = 1.0


@dataclass(frozen=True)
class HeartbeatWatch:
    """The first look at the Leases; each later look is compared with it."""

    kube: Kube
    first: Heartbeats

    def problems(self, name: str) -> list[str]:
        """Return a problem unless this kubelet has renewed its Lease since the first look."""
        now = node_leases.heartbeat(self.kube, name)
        silent = heartbeat.unrenewed(self.first, now, [name])
        return [heartbeat.problem(name, now) for name in silent]

    def wait(self, names: Sequence[str], clock: Clock) -> dict[str, str]:
        """Wait until these kubelets have renewed their Leases, at most ``RENEWAL_S`` seconds.

        Returns the problem of each that has not.
        """
        silent = {name: heartbeat.problem(name, self.first) for name in names}

        def look() -> list[str]:
            now = node_leases.heartbeats(self.kube)
            for name in names:
                silent.pop(name, None)
            for name in heartbeat.unrenewed(self.first, now, names):
                silent[name] = heartbeat.problem(name, now)
            return list(silent.values())

        try:
            wait_until(Wait("kubelets to renew their Leases", RENEWAL_S, POLL_S), look, clock)
        except DeadlineError:
            return silent
        return {}


def watch_heartbeats(kube: Kube) -> HeartbeatWatch:
    """Return a watch that begins now."""
    return HeartbeatWatch(kube, node_leases.heartbeats(kube))


def watch_kubelet(kube: Kube, name: str, renewed: str | None = None) -> HeartbeatWatch:
    """Return a watch of one kubelet that begins now, or at the renewal ``renewed``.

    An empty ``renewed`` says that it had no Lease: its first one is a renewal.
    """
    if renewed is None:
        return HeartbeatWatch(kube, node_leases.heartbeat(kube, name))
    return HeartbeatWatch(kube, heartbeat.remembered(name, renewed))


def silent_kubelets(kube: Kube, names: Sequence[str], clock: Clock) -> dict[str, str]:
    """Return the problem of each of these nodes whose kubelet does not renew its Lease.

    One look suffices if no kubelet has missed a renewal. Otherwise the function waits for those
    that have, at most ``RENEWAL_S`` seconds.
    """
    watch = watch_heartbeats(kube)
    late = heartbeat.late(watch.first, names)
    return watch.wait(sorted(late), clock) if late else {}
