"""An API server in memory, with its UIDs, its preconditions and its patches."""

from __future__ import annotations

import copy
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.kubernetes.api import MERGE_PATCH
from metalk8s_expand.clients.kubernetes.evictions import PODS as ALL_PODS
from metalk8s_expand.clients.kubernetes.lease import stamp
from metalk8s_expand.clients.kubernetes.node_leases import LEASES
from metalk8s_expand.clients.kubernetes.objects import NODES, Kube
from metalk8s_expand.domain.node.ownership_record import NAME, NAMESPACE
from metalk8s_expand.errors import ConflictError, UnreachableError
from tests.fakes.clock import FakeClock
from tests.fakes.nodes import READY

JsonObject = dict[str, Any]

CONFIG_MAPS = "/api/v1/namespaces/{}/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"
PODS = "/api/v1/namespaces/{}/pods"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices"

DOWN = UnreachableError("the API does not answer")


class FakeKube(Kube):
    """An API server that keeps the objects of each collection by their names.

    ``fail`` gets every request before it is answered, ``meddle`` runs before every write, and
    ``after`` after every stored write. All may raise; after a write, the reply is lost. Every
    request fails before the time ``down_until``. ``writes`` has a title of each stored write.

    The kubelet of each Ready Node renews its Lease before each look, except those in
    ``dead_kubelets``.
    """

    def __init__(self, *nodes: JsonObject | None, clock: Clock | None = None) -> None:
        self.objects: dict[str, dict[str, JsonObject]] = defaultdict(dict)
        for item in nodes:
            if item is not None:
                self.put(NODES, item)
        self.readyz = (200, "ok")
        self.asked: list[str] = []
        self.writes: list[str] = []
        self.fail: Callable[[str], None] = lambda request: None
        self.meddle: Callable[[FakeKube], None] = lambda kube: None
        self.after: Callable[[], None] = lambda: None
        self.clock = clock or FakeClock()
        self.down_until = 0.0
        self.dead_kubelets: set[str] = set()
        self._renewals = 0
        self._changes = 0
        self._lock = threading.RLock()

    # What the tests see and prepare.

    def put(self, collection: str, body: JsonObject) -> None:
        """Store an object as it is."""
        self.objects[collection][body["metadata"]["name"]] = body

    def put_pod(self, pod: JsonObject, node: str) -> None:
        """Store a Pod that is bound to a Node."""
        pod.setdefault("spec", {})["nodeName"] = node
        self.put(PODS.format(pod["metadata"]["namespace"]), pod)

    def put_static_pods(self, node: str, *components: str) -> None:
        """Store Ready static Pods of a Node, which have its name in their names."""
        for component in components:
            metadata = {"name": f"{component}-{node}", "namespace": "kube-system"}
            self.put_pod({"metadata": metadata, "status": READY}, node)

    def put_slice(self, namespace: str, service: str, body: JsonObject) -> None:
        """Store an EndpointSlice of a Service."""
        number = len(self.objects[SLICES.format(namespace)])
        labels = {"kubernetes.io/service-name": service}
        metadata = {"name": f"{service}-{number}", "labels": labels}
        self.put(SLICES.format(namespace), {**body, "metadata": metadata})

    def changed(self, found: JsonObject) -> JsonObject:
        """Give a stored object its next resourceVersion."""
        self._changes += 1
        found["metadata"]["resourceVersion"] = str(self._changes)
        return found

    @property
    def nodes_by_name(self) -> dict[str, JsonObject]:
        return self.objects[NODES]

    @property
    def stored(self) -> JsonObject:
        """The only Node."""
        [found] = self.nodes_by_name.values()
        return found

    @stored.setter
    def stored(self, found: JsonObject) -> None:
        self.nodes_by_name.clear()
        self.put(NODES, found)

    @property
    def lines(self) -> dict[str, str] | None:
        """The lines of the ownership record, or None if there is no record."""
        found = self.objects[CONFIG_MAPS.format(NAMESPACE)].get(NAME)
        return None if found is None else found.get("data") or {}

    @lines.setter
    def lines(self, lines: dict[str, str]) -> None:
        self.put(CONFIG_MAPS.format(NAMESPACE), {"metadata": {"name": NAME}, "data": lines})

    @property
    def coredns(self) -> JsonObject:
        """The Deployment of CoreDNS."""
        return self.objects[DEPLOYMENTS.format("kube-system")]["coredns"]

    @coredns.setter
    def coredns(self, found: JsonObject) -> None:
        self.put(DEPLOYMENTS.format("kube-system"), found)

    @property
    def lists(self) -> int:
        """The number of lists of Nodes."""
        return self.asked.count("*")

    @property
    def reads(self) -> int:
        """The number of reads of single Nodes."""
        return len(self.asked) - self.lists

    # The API server.

    def text(self, path: str) -> tuple[int, str]:
        assert path == "/readyz"
        return self.readyz

    def answer(self, method: str, path: str, body: Any) -> tuple[int, str]:
        try:
            return (404, "not found") if self.request(method, path, body) is None else (201, "")
        except ConflictError as error:
            return 409, error.message

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> JsonObject | None:
        with self._lock:
            self.fail(f"{method} {path}")
            if self.clock.monotonic() < self.down_until:
                raise DOWN
            if method == "GET":
                if path.startswith(LEASES):
                    self._renew_leases()
                found = (
                    self._listed(path, query or {}) if _is_collection(path) else self._read(path)
                )
            elif (query or {}).get("dryRun"):
                found = body
            else:
                self.meddle(self)
                found = self._write(method, path, body, content_type)
                if found is not None:
                    self.writes.append(_title(method, path, content_type))
                    self.after()
            return copy.deepcopy(found)

    def _renew_leases(self) -> None:
        """Do what the kubelets of Ready Nodes do."""
        self._renewals += 1
        renewed = stamp(self.clock.now() + self._renewals / 1_000_000)
        for name, node in self.nodes_by_name.items():
            if (node.get("status") or {}).get("conditions") == READY["conditions"] and (
                name not in self.dead_kubelets
            ):
                self.put_lease(name, renewed)

    def put_lease(self, name: str, renewed: str) -> None:
        """Store the Lease of a kubelet as of its last renewal."""
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renewed}
        self.put(LEASES, {"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": spec})

    def _listed(self, path: str, query: Mapping[str, str]) -> JsonObject:
        if path == NODES:
            self.asked.append("*")
        # The Pods of all namespaces are one collection, too.
        suffix = "/pods" if path == ALL_PODS else path
        return {
            "items": [
                item
                for collection, objects in self.objects.items()
                if collection.endswith(suffix)
                for item in objects.values()
                if _matches(item, query)
            ]
        }

    def _read(self, path: str) -> JsonObject | None:
        collection, _, name = path.rpartition("/")
        if collection == NODES:
            self.asked.append(name)
        found = self.objects[collection].get(name)
        # The API server omits an empty mapping.
        if found is not None and found.get("data") == {}:
            del found["data"]
        return found

    def _write(self, method: str, path: str, body: Any, content_type: str) -> JsonObject | None:
        if path.endswith("/eviction"):
            return self._delete(path.removesuffix("/eviction"), body["deleteOptions"])
        if method == "POST":
            return self._create(path, body)
        if method == "DELETE":
            return self._delete(path, body or {})
        collection, _, name = path.rpartition("/")
        found = self.objects[collection].get(name)
        if found is None:
            return None
        before = copy.deepcopy(found)
        if method == "PUT":
            _check(found, body["metadata"])
            found = self.objects[collection][name] = copy.deepcopy(dict(body))
        elif content_type == MERGE_PATCH:
            _check(found, body.get("metadata") or {})
            merge(found, copy.deepcopy(body))
        else:
            apply(found, copy.deepcopy(body))
        # The API server keeps the resourceVersion if a write changes nothing.
        return found if found == before else self.changed(found)

    def _create(self, collection: str, body: Mapping[str, Any]) -> JsonObject:
        created = copy.deepcopy(dict(body))
        if created["metadata"]["name"] in self.objects[collection]:
            raise ConflictError("AlreadyExists")
        created["metadata"]["uid"] = f"new-{self._changes}"
        self.put(collection, created)
        return self.changed(created)

    def _delete(self, path: str, options: Mapping[str, Any]) -> JsonObject | None:
        """Delete an object, or all objects of a collection."""
        collection, _, name = path.rpartition("/")
        if _is_collection(path):
            self.objects[path].clear()
            return {}
        found = self.objects[collection].get(name)
        if found is None:
            return None
        _check(found, options.get("preconditions") or {})
        return self.objects[collection].pop(name)


def down(times: int) -> Callable[..., None]:
    """Return a function whose first calls fail as requests to an API server that is down."""
    left = iter(range(times))

    def fail(*request: str) -> None:
        if next(left, None) is not None:
            raise DOWN

    return fail


def _is_collection(path: str) -> bool:
    """Return whether a path names all objects of a kind, in one namespace or without any."""
    _, root, *rest = path.split("/")
    rest = rest[1:] if root == "api" else rest[2:]
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    return len(rest) == 1


def _title(method: str, path: str, content_type: str) -> str:
    """Return what the tests call a write."""
    collection, _, name = path.rpartition("/")
    if name == "eviction":
        return f"evict {collection.rpartition('/')[2]}"
    if "/configmaps" in path:
        return "record"
    if path == NODES:
        return "create"
    if collection == NODES and method == "PATCH":
        return "metadata" if content_type == MERGE_PATCH else "taints"
    return f"delete {name}" if collection == NODES else f"{method} {path}"


def _check(found: Mapping[str, Any], preconditions: Mapping[str, Any]) -> None:
    """Raise ConflictError if the object has another UID or version than the preconditions."""
    for key in ("uid", "resourceVersion"):
        if preconditions.get(key) not in (None, found["metadata"].get(key)):
            raise ConflictError(f"the {key} in the precondition differs")


def _matches(item: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    """Return whether an object matches the selectors of a list."""
    labels = item["metadata"].get("labels") or {}
    label, is_set, values = query.get("labelSelector", "").partition(" in ")
    if is_set and labels.get(label) not in values.strip("()").split(","):
        return False
    label, _, wanted = ("" if is_set else label).partition("=")
    if label and (label not in labels or (wanted and labels[label] != wanted)):
        return False
    field, _, wanted = query.get("fieldSelector", "").partition("=")
    value: Any = item
    for key in field.split(".") if field else ():
        value = (value or {}).get(key)
    return not field or str(value).lower() == wanted


def apply(target: JsonObject, patch: Sequence[Mapping[str, Any]]) -> JsonObject:
    """Apply a JSON patch (RFC 6902, in part): a test for null passes if the value is absent."""
    changed = copy.deepcopy(target)
    for operation in patch:
        *parents, last = operation["path"].strip("/").split("/")
        place = changed
        for parent in parents:
            if parent not in place:
                raise ConflictError(f"there is no {parent}")
            place = place[parent]
        if operation["op"] == "test" and place.get(last) != operation["value"]:
            raise ConflictError(f"the test of {operation['path']} failed")
        if operation["op"] == "add":
            place[last] = operation["value"]
        if operation["op"] == "remove":
            del place[last]
    target.clear()
    target.update(changed)
    return target


def merge(target: JsonObject, patch: Mapping[str, Any]) -> None:
    """Apply a JSON merge patch (RFC 7396)."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, Mapping):
            merge(target.setdefault(key, {}), value)
        else:
            target[key] = value
