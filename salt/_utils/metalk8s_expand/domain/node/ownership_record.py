"""Record which labels and taints registrations set on Nodes, and update the record.

A registration removes a label or taint that is no longer declared only if a registration set it.
The Node itself is no proof of that: its kubelet may rewrite annotations and the managers of
fields. So a ConfigMap holds a line for each Node that needs one:
``{"labels": [keys], "taints": ["key:effect"], "uid": UID of the Node}``.

A Node that was deleted and created again has a new UID. No registration set the labels and taints
of the new Node, except taints that are still declared: its kubelet registers with them for us.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from metalk8s_expand.domain.node import manifest, roles
from metalk8s_expand.domain.node.manifest import NOTHING, Identity, Object, Owned
from metalk8s_expand.domain.node.objects import labels_of
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.errors import SettingsError

NAMESPACE = "kube-system"
NAME = "metalk8s-expand-owned"
# The API server refuses a ConfigMap whose keys and values together are larger.
MAX_BYTES = 1024 * 1024


def after(node: Node, observed: Object, recorded: Owned) -> Owned:
    """Return the record for the time when the Node matches its declaration.

    Labels and taints that had the declared value before the registration are not in the record.
    """
    known = recorded.of(observed)
    ours_again = recorded.taints if recorded.uid else known.taints
    current_labels, current_taints = labels_of(observed), _taints(observed)
    labels = []
    for key, value in node.labels.items():
        if key in known.labels or current_labels.get(key) != value:
            labels.append(key)
    taints = []
    for identity, value in _free_taints(node).items():
        if identity in ours_again or current_taints.get(identity) != value:
            taints.append(identity)
    return _owned(labels, taints, manifest.uid(observed))


def before(node: Node, observed: Object, recorded: Owned) -> Owned:
    """Return the record to write before the change of the Node.

    It covers the labels and taints before and after, so an interrupted run loses none.
    """
    known, then = recorded.of(observed), after(node, observed, recorded)
    return _owned(known.labels | then.labels, known.taints | then.taints, manifest.uid(observed))


def is_outdated(node: Node, observed: Object, recorded: Owned) -> bool:
    """Return whether the record of a Node that matches its declaration must be written again."""
    declared = recorded.labels <= node.labels.keys() and recorded.taints <= {
        (taint.key, taint.effect) for taint in node.taints
    }
    return recorded != NOTHING and not (declared and recorded.uid == manifest.uid(observed))


def bound(owned: Owned, observed: Object) -> Owned:
    """Return the record with the UID of the created Node."""
    return _owned(owned.labels, owned.taints, manifest.uid(observed))


def serialize(owned: Owned) -> str | None:
    """Return the line of one Node; None if the Node needs no line."""
    if owned == NOTHING:
        return None
    taints = sorted(f"{key}:{effect}" for key, effect in owned.taints)
    fields = {"labels": sorted(owned.labels), "taints": taints, "uid": owned.uid}
    return json.dumps(fields, separators=(",", ":"))


def parse(name: str, line: str | None) -> Owned:
    """Return the record in a line; raise SettingsError if a manual edit damaged the line."""
    if line is None:
        return NOTHING
    try:
        fields = json.loads(line)
        taints = [_identity(taint) for taint in fields.get("taints", [])]
        return _owned(
            map(_string, fields.get("labels", [])), taints, _string(fields.get("uid", ""))
        )
    except (ValueError, TypeError, AttributeError) as exc:
        raise SettingsError(
            f"the entry of this Node in ConfigMap {NAMESPACE}/{NAME}, which records the labels and"
            f" taints that were set, cannot be read: {line!r}",
            node=name,
            hint=(
                f"delete the entry (kubectl -n {NAMESPACE} edit configmap {NAME}); the labels and "
                "taints of the Node then stay"
            ),
        ) from exc


def check_size(lines: Mapping[str, str]) -> None:
    """Raise SettingsError if the API server would refuse a ConfigMap with these lines."""
    size = sum(len(name) + len(line.encode()) for name, line in lines.items())
    if size > MAX_BYTES:
        raise SettingsError(
            f"ConfigMap {NAMESPACE}/{NAME} would hold {size} bytes for {len(lines)} Nodes, and the"
            f" maximum is {MAX_BYTES}",
            hint=(
                "declare fewer custom labels and taints, or delete the entries of Nodes that no"
                f" longer exist: kubectl -n {NAMESPACE} edit configmap {NAME}"
            ),
        )


def _owned(labels: Iterable[str], taints: Iterable[Identity], uid: str) -> Owned:
    """Return a record; without labels and taints it has no UID, so that it equals NOTHING."""
    record = Owned(frozenset(labels), frozenset(taints), uid)
    return record if record.labels or record.taints else NOTHING


def _free_taints(node: Node) -> dict[Identity, str]:
    """Return the declared taints except the NoSchedule taints of the known roles."""
    free = {}
    for taint in node.taints:
        if not (taint.effect == roles.NO_SCHEDULE and roles.is_role_key(taint.key)):
            free[(taint.key, taint.effect)] = taint.value
    return free


def _taints(observed: Object) -> dict[Identity, str]:
    taints = (observed.get("spec") or {}).get("taints") or ()
    return {(taint.get("key"), taint.get("effect")): taint.get("value") or "" for taint in taints}


def _identity(taint: object) -> Identity:
    key, colon, effect = _string(taint).rpartition(":")
    if not colon:
        raise ValueError(taint)
    return key, effect


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
