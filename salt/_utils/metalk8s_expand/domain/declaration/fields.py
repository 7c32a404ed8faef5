"""Parse the declaration's roles, taints, profiles, check names and free labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.node.manifest import EXCLUDE_DISRUPTION, PROXY_BEHIND, VERSION_LABEL
from metalk8s_expand.domain.node.roles import PROFILES, Taint
from metalk8s_expand.domain.parsing import scalars
from metalk8s_expand.domain.parsing.reader import suggestion
from metalk8s_expand.domain.preflight import findings

# The kubelet or this project sets these labels and would overwrite a declared value.
RESERVED_LABELS = (
    VERSION_LABEL,
    EXCLUDE_DISRUPTION,
    PROXY_BEHIND,
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
)
# Kubernetes' controllers set these taints from Node conditions.
RESERVED_TAINTS = "node.kubernetes.io/"


def role(value: object) -> str:
    """Parse a role that the operator may declare."""
    if value == roles.BOOTSTRAP:
        raise scalars.Invalid(
            "is the bootstrap node's role", "remove it: the bootstrap node already exists"
        )
    if not isinstance(value, str) or value not in roles.DECLARABLE:
        raise scalars.Invalid("is an unknown role", suggestion(value, roles.DECLARABLE))
    return value


def check(value: object) -> str:
    """Parse the name of a preflight check."""
    if not isinstance(value, str) or value not in findings.NAMES:
        raise scalars.Invalid("is an unknown check", suggestion(value, findings.NAMES))
    return value


def taint(value: object) -> Taint:
    """Parse a role's name, or a mapping of key, effect and value, into a taint."""
    if isinstance(value, str):
        return Taint(roles.label_key(role(value)))
    if (
        not isinstance(value, Mapping)
        or "key" not in value
        or not set(value) <= {"key", "effect", "value"}
    ):
        raise scalars.Invalid(
            "is not a taint", "write a role's name, or a mapping of key, effect and value"
        )
    key, effect = scalars.label_key(value["key"]), value.get("effect", roles.NO_SCHEDULE)
    if key.startswith(RESERVED_TAINTS) or key == roles.label_key(roles.BOOTSTRAP):
        raise scalars.Invalid("is reserved for Kubernetes or the bootstrap node", "use another key")
    if effect not in roles.EFFECTS:
        raise scalars.Invalid("has an unknown effect", f"write one of {', '.join(roles.EFFECTS)}")
    return Taint(key, effect, scalars.label_value(value.get("value", "")))


def free_label_key(value: object) -> str:
    """Parse the key of a label that the operator may set."""
    key = scalars.label_key(value)
    if key.startswith(roles.LABEL_PREFIX):
        raise scalars.Invalid("is a role label", "add the role to roles, or use a profile")
    if key in RESERVED_LABELS:
        raise scalars.Invalid(
            "is a label that the expansion sets", "remove it; set the version with the key version"
        )
    return key


def known_profile(profiles: Iterable[str]) -> Callable[[object], str]:
    """Return a parser that accepts the names of these profiles."""
    known = list(profiles)

    def parse(value: object) -> str:
        if value == roles.BOOTSTRAP:
            raise scalars.Invalid(
                "is the bootstrap node's profile", "remove it: the bootstrap node already exists"
            )
        if not isinstance(value, str) or value not in known:
            raise scalars.Invalid("is an unknown profile", suggestion(value, known))
        return value

    return parse


def own_profile_name(value: object) -> str:
    """Parse a profile name that no built-in profile uses."""
    if value == roles.BOOTSTRAP or value in PROFILES:
        raise scalars.Invalid("is the name of a built-in profile", "choose another name")
    return scalars.node_name(value)
