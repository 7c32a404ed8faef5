"""Apply the declaration to Node objects with the smallest change; undo the cordon of a
registration.

Observe, compare, change: the comparison that ``test`` shows is the change that is made without it.
The labels and taints that only the record identifies as the extension's (see ``ownership``) are
recorded before they are set, and until they are removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from metalk8s_expand.clients.kubernetes.api import CONNECTIONS
from metalk8s_expand.clients.kubernetes.objects import JsonObject, Kube
from metalk8s_expand.cluster import ownership
from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.domain.node import manifest, roles
from metalk8s_expand.domain.node import ownership_record as record
from metalk8s_expand.domain.node.manifest import NOTHING, Owned
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.errors import ConflictError, ExpandError

Result = TypeVar("Result")
Changes = list[dict[str, Any]]
Errors = dict[str, ExpandError]

ATTEMPTS = 15


@dataclass(frozen=True)
class Observation:
    """The Nodes that exist, and what earlier registrations set on them; both by name."""

    nodes: Mapping[str, JsonObject] = field(default_factory=dict)
    owned: Mapping[str, Owned] = field(default_factory=dict)


@dataclass(frozen=True)
class _Task:
    """One Node compared with its declaration."""

    node: Node
    found: JsonObject | None
    owned: Owned
    changes: Changes
    refused: str | None = None

    @property
    def name(self) -> str:
        return self.node.name

    @cached_property
    def before(self) -> Owned:
        return record.before(self.node, self.found or {}, self.owned)

    @cached_property
    def after(self) -> Owned:
        return record.after(self.node, self.found or {}, self.owned)

    @property
    def due(self) -> bool:
        """Return whether there is anything to write; a refused Node stays unchanged."""
        return self.refused is None and bool(
            self.changes or record.is_outdated(self.node, self.found or {}, self.owned)
        )


def observe(kube: Kube, names: Sequence[str] | None = None) -> Observation:
    """Return the state of these Nodes, or of all Nodes.

    Several Nodes take one list request, a single Node takes one read.
    """
    owned = ownership.read(kube, names)
    # The Nodes are read last, since many clients write them: fresh data cause fewer conflicts.
    if names is None or len(names) != 1:
        return Observation({item["metadata"]["name"]: item for item in kube.nodes()}, owned)
    node_obj = kube.node(names[0])
    return Observation({} if node_obj is None else {names[0]: node_obj}, owned)


def register(kube: Kube, node: Node, test: bool = False) -> Changes:
    """Create or patch the Node; return the changes made (with ``test``, the changes to make).

    The changes are empty when the Node is right already. Raises ConflictError when the roles of a
    deployed Node differ, or when other clients write it all the time.
    """

    def attempt() -> _Task:
        task = _compared(node, observe(kube, [node.name]))
        errors = {} if test else _changed(kube, [task], 1)
        if errors:
            raise errors[node.name]
        return task

    task = _repeated(attempt, node.name)
    if task.refused is not None:
        raise _refusal(task)
    return task.changes


def register_all(
    kube: Kube,
    nodes: Sequence[Node],
    observed: Observation | None = None,
    test: bool = False,
    parallel: int = CONNECTIONS,
) -> dict[str, Changes | ExpandError]:
    """Register many Nodes on parallel connections; return by name the changes, or the error.

    The Nodes are compared with ``observed``, which is read now if it is not given. A Node that has
    changed since then is read again.
    """
    seen = observed or observe(kube, [node.name for node in nodes])
    tasks = [_compared(node, seen) for node in nodes]
    outcome: dict[str, Changes | ExpandError] = {}
    for task in tasks:
        outcome[task.name] = _refusal(task) if task.refused else task.changes
    errors = {} if test else _changed(kube, tasks, parallel)
    outcome.update(errors)
    again = [task.node for task in tasks if isinstance(errors.get(task.name), ConflictError)]
    with ThreadPoolExecutor(min(parallel, CONNECTIONS)) as pool:
        results = pool.map(lambda node: _tried(kube, node), again)
        for node, result in zip(again, results, strict=True):
            outcome[node.name] = result
    return outcome


def uncordon(kube: Kube, name: str, test: bool = False) -> bool:
    """Undo the cordon of a registration, and no other; return whether there was one.

    If another client has undone it, the function still removes what the registration set with it
    (its mark, the exclusion from disruptions).
    """

    def attempt() -> bool:
        node_obj = kube.node(name)
        if node_obj is None or not manifest.is_marked(node_obj):
            return False
        ours = manifest.is_cordoned_by_us(node_obj)
        if not test:
            _still_there(kube.merge_patch_node(name, _unmarked(node_obj, ours)), name)
        return ours

    return _repeated(attempt, name)


def _compared(node: Node, seen: Observation) -> _Task:
    node_obj, owned = seen.nodes.get(node.name), seen.owned.get(node.name, NOTHING)
    if node_obj is None:
        return _Task(
            node, None, owned, [{"path": "Node", "found": None, "wanted": "created and cordoned"}]
        )
    changes = [change.as_dict() for change in manifest.drift(node, node_obj, owned)]
    refused = _refused(node, node_obj) if changes else None
    return _Task(node, node_obj, owned, changes, refused)


def _refused(node: Node, node_obj: JsonObject) -> str | None:
    """Return why this Node may not be changed, worded as in the plan.

    Components that run there depend on its roles.
    """
    node_roles = roles.observed_roles(node_obj["metadata"].get("labels") or {})
    return None if set(node_roles) == set(node.roles) else plan.node_plan(node, node_obj).refused


def _refusal(task: _Task) -> ConflictError:
    return ConflictError(f"the Node was not changed: {task.refused}", node=task.name)


def _changed(kube: Kube, tasks: Iterable[_Task], parallel: int) -> Errors:
    """Make the due changes; return the errors of the Nodes that failed."""
    due = [task for task in tasks if task.due]
    if not due:
        return {}
    stale, errors = _recorded(kube, {task.name: (task.owned, task.before) for task in due})
    for name in stale:
        errors[name] = ConflictError(
            "the record of this Node changed during the registration", node=name
        )
    ready = [task for task in due if task.name not in errors]
    written: dict[str, tuple[Owned, Owned]] = {}
    with ThreadPoolExecutor(min(parallel, CONNECTIONS)) as pool:
        results = pool.map(lambda task: _written(kube, task), ready)
        for task, result in zip(ready, results, strict=True):
            if isinstance(result, ExpandError):
                errors[task.name] = result
            else:
                written[task.name] = (task.before, result)
    # A conflict here undoes nothing: another run has acquired the lock, or the record lists more
    # than the Node has, which the next run finds.
    _, late = _recorded(kube, written)
    for name, error in late.items():
        if not isinstance(error, ConflictError):
            errors[name] = error
    return errors


def _recorded(kube: Kube, moves: ownership.Moves) -> tuple[set[str], Errors]:
    """Record what registrations own; return the Nodes with a conflicting record and the other
    errors.
    """
    try:
        return ownership.write(kube, moves), {}
    except ExpandError as error:
        errors: Errors = {}
        for name, (old, new) in moves.items():
            if old != new:
                errors[name] = error
        return set(), errors


def _written(kube: Kube, task: _Task) -> Owned | ExpandError:
    """Create or patch one Node; return what the registration owns on it afterwards."""
    try:
        if task.found is None:
            return record.bound(task.after, kube.create_node(manifest.registration(task.node)))
        _patch(kube, task.node, task.found, task.owned)
        return task.after
    except ExpandError as error:
        return error


def _patch(kube: Kube, node: Node, node_obj: JsonObject, owned: Owned) -> None:
    """Bind both patches to the compared Node: another Node may have taken its name."""
    uid = node_obj["metadata"]["uid"]
    taints = manifest.taints_patch(node, node_obj, owned)
    if taints:
        same = {"op": "test", "path": "/metadata/uid", "value": uid}
        _still_there(kube.json_patch_node(node.name, [same, *taints]), node.name)
    metadata = manifest.merge_patch(node, node_obj, owned)
    if metadata:
        _still_there(
            kube.merge_patch_node(node.name, {"metadata": {"uid": uid, **metadata["metadata"]}}),
            node.name,
        )


def _still_there(answer: JsonObject | None, name: str) -> None:
    """Raise a conflict if the Node was deleted at the same time.

    After the next read it is created, or there is nothing to undo.
    """
    if answer is None:
        raise ConflictError(
            "the Node was deleted at the same time", node=name, hint="run the same command again"
        )


def _unmarked(node_obj: JsonObject, cordoned: bool) -> dict[str, Any]:
    return {
        "metadata": {
            "uid": node_obj["metadata"]["uid"],
            "annotations": {manifest.CORDONED: None},
            "labels": {manifest.EXCLUDE_DISRUPTION: None},
        },
        **({"spec": {"unschedulable": None}} if cordoned else {}),
    }


def _tried(kube: Kube, node: Node) -> Changes | ExpandError:
    try:
        return register(kube, node)
    except ExpandError as error:
        return error


def _repeated(attempt: Callable[[], Result], name: str) -> Result:
    """Read and write again after a conflict with another client, a bounded number of times."""
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except ConflictError:
            continue
    try:
        return attempt()
    except ConflictError as exc:
        raise ConflictError(
            f"the Node could not be changed in {ATTEMPTS} attempts: {exc.message}",
            node=name,
            hint="find out which client writes this Node: kubectl get node --show-managed-fields",
        ) from exc
