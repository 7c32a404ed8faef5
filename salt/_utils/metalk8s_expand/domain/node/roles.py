"""Roles, their labels and taints: the combinations of MetalK8s and its documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

LABEL_PREFIX = "node-role.kubernetes.io/"
BOOTSTRAP, MASTER, ETCD, INFRA, NODE = "bootstrap", "master", "etcd", "infra", "node"
KNOWN = (BOOTSTRAP, MASTER, ETCD, INFRA, NODE)
# The bootstrap node exists before any expansion and is unique, so a pillar cannot declare it.
DECLARABLE = (MASTER, ETCD, INFRA, NODE)
NO_SCHEDULE = "NoSchedule"
EFFECTS = (NO_SCHEDULE, "PreferNoSchedule", "NoExecute")


@dataclass(frozen=True)
class Taint:
    """A Kubernetes taint; key and effect together are its identity."""

    key: str
    effect: str = NO_SCHEDULE
    value: str = ""

    def as_dict(self) -> dict[str, str]:
        value = {"value": self.value} if self.value else {}
        return {"key": self.key, **value, "effect": self.effect}


@dataclass(frozen=True)
class Profile:
    """A named combination of roles, taints and labels."""

    name: str
    roles: tuple[str, ...]
    taints: tuple[Taint, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


def label_key(role: str) -> str:
    return f"{LABEL_PREFIX}{role}"


def label_keys(roles: Iterable[str]) -> tuple[str, ...]:
    """Return the label keys of these roles, in their order."""
    return tuple(label_key(role) for role in roles)


def taints(roles: Iterable[str]) -> tuple[Taint, ...]:
    """Return one NoSchedule taint per role with the key of the role's label."""
    return tuple(Taint(label_key(role)) for role in roles)


def observed_roles(labels: Mapping[str, object]) -> tuple[str, ...]:
    """Return the known roles in a Node's labels, in the order of KNOWN."""
    return tuple(role for role in KNOWN if label_key(role) in labels)


def is_role_key(key: object) -> bool:
    """Return whether the label or taint key is of a known role.

    ``node-role.kubernetes.io/gpu``, for example, is not: it belongs to the user.
    """
    return key in _KNOWN_KEYS


_KNOWN_KEYS = frozenset(label_keys(KNOWN))

# A Pod must tolerate every taint of a node, so a profile with several planes has only the taint
# of its most permissive plane.
PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("control-plane", (MASTER, ETCD), taints((MASTER, ETCD))),
        Profile("infra", (INFRA,), taints((INFRA,))),
        Profile("worker", (NODE,)),
        Profile("worker-infra", (INFRA,)),
        Profile("control-plane-infra", (MASTER, ETCD, INFRA), taints((INFRA,))),
        Profile("control-plane-worker", (MASTER, ETCD, NODE)),
        Profile("control-plane-worker-infra", (MASTER, ETCD, INFRA)),
    )
}
