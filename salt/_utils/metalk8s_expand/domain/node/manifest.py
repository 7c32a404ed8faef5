"""Build the Node object of a declaration, and the smallest patch for an existing Node.

This project owns these fields by their keys: the SSH annotations, the version label, and the
labels and NoSchedule taints of the known roles. It owns every other label or taint while it is
declared, and later if a registration set it (``Owned``). A registration adds and removes only the
fields that this project owns and never changes the other fields of a Node.

The template is that of MetalK8s's documentation. It contains ssh-key-path, ssh-host and ssh-sudo,
so these are always written. It does not contain ssh-port, ssh-user and ssh-host-key, so these are
written only if they are not the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metalk8s_expand.domain.node import roles, ssh_annotations
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.errors import visible

VERSION_LABEL = "metalk8s.scality.com/version"
FIELD_MANAGER = "metalk8s-expand"
OWNED = "metalk8s-expand.scality.com/owned"
CORDONED = "metalk8s-expand.scality.com/cordoned"
# A label, so that one request finds the Nodes whose API proxy does not list every API server.
PROXY_BEHIND = "metalk8s-expand.scality.com/api-proxy-behind"
EXCLUDE_DISRUPTION = "node.kubernetes.io/exclude-disruption"

Object = Mapping[str, Any]
Identity = tuple[str, str]

_SSH_ANNOTATIONS = frozenset(ssh_annotations.KEYS)
_ROLE_LABELS = frozenset(roles.label_keys(roles.KNOWN))
_ROLE_TAINTS = frozenset((taint.key, taint.effect) for taint in roles.taints(roles.KNOWN))


@dataclass(frozen=True)
class Owned:
    """Labels and taints that earlier registrations set on the Node with this UID.

    Those that this project owns by their keys are not in it. A taint is its key and effect. The
    UID is empty if a registration was interrupted while it created the Node.
    """

    labels: frozenset[str] = frozenset()
    taints: frozenset[Identity] = frozenset()
    uid: str = ""

    def of(self, observed: Object) -> Owned:
        """Return the record, or NOTHING if the observed Node is another Node of the same name."""
        meant = uid(observed) == self.uid if self.uid else is_created_by_us(observed)
        return self if meant else NOTHING


NOTHING = Owned()


@dataclass(frozen=True)
class Change:
    """One difference between the Node and its declaration; None means absent."""

    path: str
    found: str | None
    wanted: str | None

    def __post_init__(self) -> None:
        # An annotation of a Node may hold any text.
        object.__setattr__(self, "path", visible(self.path))
        if self.found is not None:
            object.__setattr__(self, "found", visible(self.found))

    def as_dict(self) -> dict[str, str | None]:
        return {"path": self.path, "found": self.found, "wanted": self.wanted}


def manifest(node: Node) -> dict[str, Any]:
    """Return the Node of MetalK8s's template; its YAML or JSON is valid input for kubectl."""
    metadata = {
        "name": node.name,
        "annotations": ssh_annotations.to_annotations(node.ssh, node.name),
        "labels": wanted_labels(node),
    }
    spec = {"spec": {"taints": [taint.as_dict() for taint in node.taints]}} if node.taints else {}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, **spec}


def registration(node: Node) -> dict[str, Any]:
    """Return the manifest plus fields that make the Node safe until its kubelet runs.

    The Node is cordoned, marked as created by this project and excluded from disruption counts.
    """
    body = manifest(node)
    body["metadata"]["annotations"] |= {OWNED: "true", CORDONED: "true"}
    body["metadata"]["labels"] |= {EXCLUDE_DISRUPTION: ""}
    body["spec"] = {"unschedulable": True, **body.get("spec", {})}
    return body


def wanted_labels(node: Node) -> dict[str, str]:
    return {
        VERSION_LABEL: node.version,
        **dict.fromkeys(roles.label_keys(node.roles), ""),
        **node.labels,
    }


def drift(node: Node, observed: Object, owned: Owned = NOTHING) -> tuple[Change, ...]:
    """Return the differences in the fields that this project owns; () if the Node matches."""
    known, metadata = owned.of(observed), _mapping(observed, "metadata")
    annotations = _mapping(metadata, "annotations")
    labels = _mapping(metadata, "labels")
    return (
        *_differences("metadata.annotations", annotations, _annotations_to_set(node, annotations)),
        *_differences("metadata.labels", labels, _labels_to_set(node, labels, known)),
        *_taint_changes(node, observed, known),
    )


def merge_patch(node: Node, observed: Object, owned: Owned = NOTHING) -> dict[str, Any] | None:
    """Return the JSON merge patch of the metadata (None removes a key); None if no change."""
    metadata = _mapping(observed, "metadata")
    sections = {
        "annotations": _annotations_to_set(node, _mapping(metadata, "annotations")),
        "labels": _labels_to_set(node, _mapping(metadata, "labels"), owned.of(observed)),
    }
    changed = {section: keys for section, keys in sections.items() if keys}
    return {"metadata": changed} if changed else None


def taints_patch(
    node: Node, observed: Object, owned: Owned = NOTHING
) -> list[dict[str, Any]] | None:
    """Return the JSON Patch of the taints; None if no change.

    Taints are one atomic list that controllers write too. The patch therefore starts with a test
    of the observed list, where null means that the Node has no taints.
    """
    known = owned.of(observed)
    if not _taint_changes(node, observed, known):
        return None
    observed_taints = _mapping(observed, "spec").get("taints")
    declared = _declared_taints(node)
    wanted = []
    for observed_taint in observed_taints or ():
        if not _is_ours(_identity(observed_taint), declared, known):
            wanted.append(observed_taint)
    wanted.extend(taint.as_dict() for taint in node.taints)
    test = {"op": "test", "path": "/spec/taints", "value": observed_taints}
    change = (
        {"op": "add", "path": "/spec/taints", "value": wanted}
        if wanted
        else {"op": "remove", "path": "/spec/taints"}
    )
    return [test, change]


def uid(observed: Object) -> str:
    """Return the Node's UID; empty if the Node does not exist."""
    return str(_mapping(observed, "metadata").get("uid") or "")


def is_cordoned_by_us(observed: Object) -> bool:
    """Return whether our registration cordoned the Node; a cordon of an operator is not ours.

    Our mark alone is not proof: an operator may have uncordoned the Node and cordoned it later for
    another reason. The API server records the manager of each field, so the cordon is ours if
    managedFields names no other manager of it.
    """
    cordoned = _mapping(observed, "spec").get("unschedulable") is True
    return cordoned and is_marked(observed) and not _cordoned_by(observed) - {FIELD_MANAGER}


def foreign_cordon(observed: Object) -> str:
    """Return the managers that cordoned the Node, as text.

    The text is empty if the Node is schedulable or our registration cordoned it.
    """
    if _mapping(observed, "spec").get("unschedulable") is not True or is_cordoned_by_us(observed):
        return ""
    others = sorted(
        visible(manager) for manager in _cordoned_by(observed) - {FIELD_MANAGER} if manager
    )
    return ", ".join(others) or "another client"


def is_marked(observed: Object) -> bool:
    """Return whether the Node has the mark of our cordon; an operator may have uncordoned it."""
    return _mapping(_mapping(observed, "metadata"), "annotations").get(CORDONED) == "true"


def is_created_by_us(observed: Object) -> bool:
    """Return whether our registration created this Node."""
    return _mapping(_mapping(observed, "metadata"), "annotations").get(OWNED) == "true"


def _cordoned_by(observed: Object) -> set[object]:
    """Return the managers of the cordon. One manager may have several entries in managedFields."""
    managers: set[object] = set()
    for entry in _mapping(observed, "metadata").get("managedFields") or ():
        if "f:unschedulable" in _mapping(_mapping(entry, "fieldsV1"), "f:spec"):
            managers.add(entry.get("manager"))
    return managers


def _annotations_to_set(node: Node, annotations: Object) -> dict[str, str | None]:
    wanted = ssh_annotations.to_annotations(node.ssh, node.name)
    changed = _to_set(annotations, wanted, _SSH_ANNOTATIONS)
    if ssh_annotations.HOST not in annotations:
        return changed
    # An existing Node may leave a default out or state it, as MetalK8s's UI does.
    return {
        key: value
        for key, value in changed.items()
        if not ssh_annotations.mean_the_same(key, annotations.get(key), value)
    }


def _labels_to_set(node: Node, labels: Object, owned: Owned) -> dict[str, str | None]:
    return _to_set(labels, wanted_labels(node), _ROLE_LABELS | owned.labels)


def _to_set(
    current: Object, wanted: Mapping[str, str], ours: frozenset[str]
) -> dict[str, str | None]:
    """Return the new value of each key that differs; None removes a key that is not wanted.

    Only keys in ``ours`` are removed.
    """
    dropped = (ours & current.keys()) - wanted.keys()
    changed: dict[str, str | None] = {
        key: value for key, value in wanted.items() if current.get(key) != value
    }
    return changed | dict.fromkeys(sorted(dropped))


def _differences(path: str, current: Object, to_set: Mapping[str, str | None]) -> list[Change]:
    return [Change(f"{path}[{key}]", current.get(key), wanted) for key, wanted in to_set.items()]


def _taint_changes(node: Node, observed: Object, owned: Owned) -> list[Change]:
    wanted = _declared_taints(node)
    current: dict[Identity, str] = {}
    for taint in _mapping(observed, "spec").get("taints") or ():
        identity = _identity(taint)
        if _is_ours(identity, wanted, owned):
            current[identity] = taint.get("value") or ""
    changes = []
    for identity in dict.fromkeys((*current, *wanted)):
        if current.get(identity) != wanted.get(identity):
            key, effect = identity
            path = f"spec.taints[{key}:{effect}]"
            changes.append(Change(path, current.get(identity), wanted.get(identity)))
    return changes


def _declared_taints(node: Node) -> dict[Identity, str]:
    return {(taint.key, taint.effect): taint.value for taint in node.taints}


def _is_ours(identity: Identity, declared: Mapping[Identity, str], owned: Owned) -> bool:
    return identity in _ROLE_TAINTS or identity in declared or identity in owned.taints


def _identity(taint: Object) -> Identity:
    return str(taint.get("key")), str(taint.get("effect"))


def _mapping(parent: Object, key: str) -> Object:
    """Return a section of an API object; {} if it is absent or null."""
    return parent.get(key) or {}
