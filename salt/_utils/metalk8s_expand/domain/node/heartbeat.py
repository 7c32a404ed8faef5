"""Decide from the Leases of kubelets whether a Node's Ready condition is fresh.

A kubelet renews its Lease four times in the duration of the Lease. Times of the Leases are compared
with each other only: the clocks of the master and of a node may differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# A kubelet that is this part of the duration behind the newest Lease has missed a renewal.
MISSED = 0.375


@dataclass(frozen=True)
class Heartbeat:
    """The last renewal of a kubelet's Lease.

    ``renewed`` is the time as the API has it, ``seconds`` the same since the epoch. ``duration`` is
    that of the Lease, in seconds.
    """

    renewed: str
    seconds: float
    duration: float


Heartbeats = Mapping[str, Heartbeat]


def remembered(name: str, renewed: str) -> Heartbeats:
    """Return the heartbeat of one kubelet from its remembered time, which is empty if it had none.

    Only its time can be compared.
    """
    return {name: Heartbeat(renewed, 0.0, 0.0)} if renewed else {}


def late(beats: Heartbeats, names: Iterable[str]) -> set[str]:
    """Return the nodes whose kubelet has no Lease, or has missed a renewal."""
    newest = max((beat.seconds for beat in beats.values()), default=0.0)
    late_ones = set()
    for name in names:
        beat = beats.get(name)
        if beat is None or newest - beat.seconds > beat.duration * MISSED:
            late_ones.add(name)
    return late_ones


def unrenewed(first: Heartbeats, now: Heartbeats, names: Iterable[str]) -> list[str]:
    """Return the nodes whose kubelet has not renewed its Lease since the first look."""
    silent = []
    for name in names:
        beat, known = now.get(name), first.get(name)
        if beat is None or (known is not None and beat.renewed == known.renewed):
            silent.append(name)
    return silent


def problem(name: str, beats: Heartbeats) -> str:
    """Return the problem of a node whose kubelet does not renew its Lease."""
    beat = beats.get(name)
    if beat is None:
        return f"Node {name} is not Ready: its kubelet has no Lease in kube-node-lease"
    return (
        f"Node {name} is not Ready: its kubelet does not renew its Lease in kube-node-lease, last"
        f" at {beat.renewed}"
    )
