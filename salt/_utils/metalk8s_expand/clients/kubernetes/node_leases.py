"""The Leases that kubelets renew in the namespace kube-node-lease."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from metalk8s_expand.clients.kubernetes.api import FORBIDDEN, JsonObject
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.domain.node.heartbeat import Heartbeat
from metalk8s_expand.domain.node.objects import name_of
from metalk8s_expand.errors import UnreachableError

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
# The duration that a kubelet writes by default.
DURATION_S = 40.0

Result = TypeVar("Result")


def heartbeats(kube: Kube) -> dict[str, Heartbeat]:
    """Return the last renewal of each kubelet by the name of its Node, in one list request.

    Raises UnreachableError, with its remedy if the role of the master lacks this right.
    """
    beats = {}
    for lease in _allowed(lambda: kube.listed(LEASES, slim=_slim)):
        beat = _heartbeat(lease)
        if beat is not None:
            beats[name_of(lease)] = beat
    return beats


def heartbeat(kube: Kube, name: str) -> dict[str, Heartbeat]:
    """Return the last renewal of one kubelet by the name of its Node, as ``heartbeats``."""
    lease = _allowed(lambda: kube.get(f"{LEASES}/{name}"))
    beat = _heartbeat(lease) if lease else None
    return {} if beat is None else {name: beat}


def _allowed(ask: Callable[[], Result]) -> Result:
    try:
        return ask()
    except UnreachableError as error:
        if error.cause != FORBIDDEN:
            raise
        raise UnreachableError(
            "the master may not read the Leases of kubelets, which show whether a Node is Ready"
            f" now: {error.message}",
            cause=error.cause,
            hint=(
                "apply expand-rbac.yaml.j2 of this version (docs/explanations/security.rst); on a"
                " master without MetalK8s: salt BOOTSTRAP state.apply metalk8s.roles.addons"
            ),
        ) from error


def _heartbeat(lease: JsonObject) -> Heartbeat | None:
    """Return the renewal that a Lease shows, or None if no kubelet has renewed it yet."""
    spec = lease.get("spec") or {}
    renewed = str(spec.get("renewTime") or "")
    try:
        seconds = datetime.fromisoformat(renewed.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
    return Heartbeat(renewed, seconds, float(spec.get("leaseDurationSeconds") or DURATION_S))


def _slim(lease: JsonObject) -> None:
    """Remove the part of a Lease that no caller reads."""
    (lease.get("metadata") or {}).pop("managedFields", None)
