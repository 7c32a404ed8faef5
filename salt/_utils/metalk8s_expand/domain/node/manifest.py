"""The Node object that a declaration stands for, and the least change that makes an existing one agree.

Ours by their keys are the SSH annotations, the version label, and the labels and NoSchedule taints of the known roles.
Every other label or taint is ours while it is declared, and afterwards if a registration of ours had set it (``Owned``).
Ours are removed as well as added. Everything else on a Node is someone else's and never touched.

The template is the page's: ssh-key-path, ssh-host and ssh-sudo stand in it and are always written; ssh-port, ssh-user and
ssh-host-key do not, so they are written only when they are not the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metalk8s_expand.domain.node import roles, ssh_annotations
from metalk8s_expand.domain.node.spec import Node

VERSION_LABEL = "metalk8s.scality.com/version"
FIELD_MANAGER = "metalk8s-expand"
OWNED = "metalk8s-expand.scality.com/owned"
CORDONED = "metalk8s-expand.scality.com/cordoned"
EXCLUDE_DISRUPTION = "node.kubernetes.io/exclude-disruption"

Object = Mapping[str, Any]
Identity = tuple[str, str]

_SSH_ANNOTATIONS = frozenset(ssh_annotations.KEYS)
_ROLE_LABELS = frozenset(roles.label_keys(roles.KNOWN))
_ROLE_TAINTS = frozenset((taint.key, taint.effect) for taint in roles.taints(roles.KNOWN))


@dataclass(frozen=True)
class Owned:
    """What earlier registrations set on the Node of this UID, of labels and taints that are not ours by their keys.

    A taint is its key and effect. There is no UID yet when a registration was cut off while it created the Node.
    """

    labels: frozenset[str] = frozenset()
    taints: frozenset[Identity] = frozenset()
    uid: str = ""

    def of(self, observed: Object) -> Owned:
        """The same if the observed Node is the one meant; nothing when it is another one of the same name."""
        meant = uid(observed) == self.uid if self.uid else is_owned(observed)
        return self if meant else NOTHING


NOTHING = Owned()


@dataclass(frozen=True)
class Change:
    """One difference; None means absent."""

    path: str
    found: str | None
    wanted: str | None

    def as_dict(self) -> dict[str, str | None]:
        return {"path": self.path, "found": self.found, "wanted": self.wanted}


def manifest(node: Node) -> dict[str, Any]:
    """The Node of the page's template, ready for kubectl once dumped."""
    metadata = {
        "name": node.name,
        "annotations": ssh_annotations.to_annotations(node.ssh, node.name),
        "labels": wanted_labels(node),
    }
    spec = {"spec": {"taints": [taint.as_dict() for taint in node.taints]}} if node.taints else {}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, **spec}


def registration(node: Node) -> dict[str, Any]:
    """The manifest plus what makes it safe before its kubelet lives: cordoned, marked as ours, no disruption count."""
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
    """What differs in what we own, by path; nothing when the Node agrees with its declaration."""
    known, metadata = owned.of(observed), _mapping(observed, "metadata")
    found_annotations, found_labels = (
        _mapping(metadata, "annotations"),
        _mapping(metadata, "labels"),
    )
    return (
        *_differences(
            "metadata.annotations", found_annotations, _annotations_to_set(node, found_annotations)
        ),
        *_differences("metadata.labels", found_labels, _labels_to_set(node, found_labels, known)),
        *_taint_changes(node, observed, known),
    )


def merge_patch(node: Node, observed: Object, owned: Owned = NOTHING) -> dict[str, Any] | None:
    """The JSON merge patch of the metadata (None removes a key), or None when there is nothing to do."""
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
    """The JSON Patch of the taints, or None when there is nothing to do.

    Taints are one atomic list that the controllers write too, hence the test: a null there means that none exist.
    """
    known = owned.of(observed)
    if not _taint_changes(node, observed, known):
        return None
    found = _mapping(observed, "spec").get("taints")
    kept = [
        taint
        for taint in found or ()
        if not _is_ours(_identity(taint), _declared_taints(node), known)
    ]
    wanted = kept + [taint.as_dict() for taint in node.taints]
    test = {"op": "test", "path": "/spec/taints", "value": found}
    change = (
        {"op": "add", "path": "/spec/taints", "value": wanted}
        if wanted
        else {"op": "remove", "path": "/spec/taints"}
    )
    return [test, change]


def uid(observed: Object) -> str:
    """The Node's UID, empty when there is no such Node."""
    return str(_mapping(observed, "metadata").get("uid") or "")


def is_cordoned_by_us(observed: Object) -> bool:
    """Whether the Node is unschedulable because our registration made it so; an operator's cordon is not ours.

    Our mark alone does not say so: an operator may have uncordoned the Node, and cordoned it later for a reason of his
    own. But the API keeps who set a field, so the cordon is ours while nobody else is known to have set the present one.
    """
    cordoned = _mapping(observed, "spec").get("unschedulable") is True
    return cordoned and is_marked(observed) and not _cordoned_by(observed) - {FIELD_MANAGER}


def foreign_cordon(observed: Object) -> str:
    """Who made the Node unschedulable, for a sentence; empty when it takes Pods, or when we did."""
    if _mapping(observed, "spec").get("unschedulable") is not True or is_cordoned_by_us(observed):
        return ""
    others = sorted(str(manager) for manager in _cordoned_by(observed) - {FIELD_MANAGER} if manager)
    return ", ".join(others) or "somebody else"


def is_marked(observed: Object) -> bool:
    """Whether the Node carries the mark of our cordon, though somebody else may have taken that back."""
    return _mapping(_mapping(observed, "metadata"), "annotations").get(CORDONED) == "true"


def is_owned(observed: Object) -> bool:
    """Whether our registration created this Node."""
    return _mapping(_mapping(observed, "metadata"), "annotations").get(OWNED) == "true"


def _cordoned_by(observed: Object) -> set[object]:
    entries = _mapping(observed, "metadata").get("managedFields") or ()
    fields = {
        entry.get("manager"): _mapping(_mapping(entry, "fieldsV1"), "f:spec") for entry in entries
    }
    return {manager for manager, spec in fields.items() if "f:unschedulable" in spec}


def _annotations_to_set(node: Node, found: Object) -> dict[str, str | None]:
    return _to_set(found, ssh_annotations.to_annotations(node.ssh, node.name), _SSH_ANNOTATIONS)


def _labels_to_set(node: Node, found: Object, owned: Owned) -> dict[str, str | None]:
    return _to_set(found, wanted_labels(node), _ROLE_LABELS | owned.labels)


def _to_set(
    found: Object, wanted: Mapping[str, str], ours: frozenset[str]
) -> dict[str, str | None]:
    """What must become of each key that is not as it should be: the wanted ones as wanted, ours away (None) if not wanted."""
    dropped = (ours & found.keys()) - wanted.keys()
    changed: dict[str, str | None] = {
        key: value for key, value in wanted.items() if found.get(key) != value
    }
    return changed | dict.fromkeys(sorted(dropped))


def _differences(path: str, found: Object, to_set: Mapping[str, str | None]) -> list[Change]:
    return [Change(f"{path}[{key}]", found.get(key), wanted) for key, wanted in to_set.items()]


def _taint_changes(node: Node, observed: Object, owned: Owned) -> list[Change]:
    wanted, taints = _declared_taints(node), _mapping(observed, "spec").get("taints") or ()
    identified = ((_identity(taint), taint.get("value") or "") for taint in taints)
    found = {identity: value for identity, value in identified if _is_ours(identity, wanted, owned)}
    if found == wanted:
        return []
    return [
        Change(f"spec.taints[{key}:{effect}]", found.get((key, effect)), wanted.get((key, effect)))
        for key, effect in dict.fromkeys((*found, *wanted))
        if found.get((key, effect)) != wanted.get((key, effect))
    ]


def _declared_taints(node: Node) -> dict[Identity, str]:
    return {(taint.key, taint.effect): taint.value for taint in node.taints}


def _is_ours(identity: Identity, declared: Mapping[Identity, str], owned: Owned) -> bool:
    return identity in _ROLE_TAINTS or identity in declared or identity in owned.taints


def _identity(taint: Object) -> Identity:
    return str(taint.get("key")), str(taint.get("effect"))


def _mapping(parent: Object, key: str) -> Object:
    """A section of an API object, {} when absent or null."""
    return parent.get(key) or {}
