"""What registrations set on Nodes: how it is written down, and how it moves when a Node is registered.

A label or taint that is no longer declared is removed only if we had set it, and the Node itself cannot say who did: its
kubelet may rewrite annotations and the managers of fields. So there is a ConfigMap, with a line for each Node that needs
one: ``{"labels": [keys], "taints": ["key:effect"], "uid": of the Node}``.

A Node that was deleted and came back is another one, by its UID. What stands on it we did not set, but for taints that
are declared still: its kubelet registers itself with those, on our behalf.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from metalk8s_expand.domain.node import manifest, roles
from metalk8s_expand.domain.node.manifest import NOTHING, Identity, Object, Owned
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.errors import SettingsError

NAMESPACE = "kube-system"
NAME = "metalk8s-expand-owned"
# Of all keys and values together; the API accepts no larger ConfigMap.
MAX_BYTES = 1024 * 1024


def after(node: Node, observed: Object, recorded: Owned) -> Owned:
    """What is ours once the Node agrees with its declaration; what had its wanted value before we came is not."""
    known = recorded.of(observed)
    ours_again = recorded.taints if recorded.uid else known.taints
    labels, taints = _labels(observed), _taints(observed)
    return _owned(
        (
            key
            for key, value in node.labels.items()
            if key in known.labels or labels.get(key) != value
        ),
        (
            key
            for key, value in _free_taints(node).items()
            if key in ours_again or taints.get(key) != value
        ),
        manifest.uid(observed),
    )


def before(node: Node, observed: Object, recorded: Owned) -> Owned:
    """What must be on record before the Node is changed, so that nothing is forgotten when we are cut off meanwhile."""
    known, then = recorded.of(observed), after(node, observed, recorded)
    return _owned(known.labels | then.labels, known.taints | then.taints, manifest.uid(observed))


def is_outdated(node: Node, observed: Object, recorded: Owned) -> bool:
    """Whether the record of a Node that agrees with its declaration has to be written anew."""
    declared = recorded.labels <= node.labels.keys() and recorded.taints <= {
        (taint.key, taint.effect) for taint in node.taints
    }
    return recorded != NOTHING and not (declared and recorded.uid == manifest.uid(observed))


def bound(owned: Owned, observed: Object) -> Owned:
    """The same with the UID of the Node that was created."""
    return _owned(owned.labels, owned.taints, manifest.uid(observed))


def serialize(owned: Owned) -> str | None:
    """One Node's line, or None when it needs none."""
    if owned == NOTHING:
        return None
    taints = sorted(f"{key}:{effect}" for key, effect in owned.taints)
    fields = {"labels": sorted(owned.labels), "taints": taints, "uid": owned.uid}
    return json.dumps(fields, separators=(",", ":"))


def parse(name: str, line: str | None) -> Owned:
    """The other way round; SettingsError when the line of this Node was damaged by hand."""
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
            f"the line of this Node in ConfigMap {NAMESPACE}/{NAME}, which says what was set on it, cannot be read: {line!r}",
            node=name,
            hint=f"take the line out (kubectl -n {NAMESPACE} edit configmap {NAME}); what stands on the Node then stays there",
        ) from exc


def check_size(lines: Mapping[str, str]) -> None:
    """SettingsError when the API would refuse these lines."""
    size = sum(len(name) + len(line.encode()) for name, line in lines.items())
    if size > MAX_BYTES:
        raise SettingsError(
            f"ConfigMap {NAMESPACE}/{NAME} would hold {size} bytes for {len(lines)} Nodes, and {MAX_BYTES} are possible",
            hint="declare fewer labels and taints of your own, or take out the lines of Nodes that are gone: "
            f"kubectl -n {NAMESPACE} edit configmap {NAME}",
        )


def _owned(labels: Iterable[str], taints: Iterable[Identity], uid: str) -> Owned:
    """A value that says nothing has no UID either, so that it equals NOTHING."""
    found = Owned(frozenset(labels), frozenset(taints), uid)
    return found if found.labels or found.taints else NOTHING


def _free_taints(node: Node) -> dict[Identity, str]:
    """The declared taints that are not ours by their key and effect."""
    free = (
        taint
        for taint in node.taints
        if not (taint.effect == roles.NO_SCHEDULE and roles.is_role_key(taint.key))
    )
    return {(taint.key, taint.effect): taint.value for taint in free}


def _labels(observed: Object) -> Mapping[str, object]:
    return (observed.get("metadata") or {}).get("labels") or {}


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
