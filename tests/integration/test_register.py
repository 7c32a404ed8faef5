"""Registration of Nodes with a real API server: created, patched and preserved fields."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from metalk8s_expand.clients.kubernetes.api import PAGE
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.cluster import node_registration
from metalk8s_expand.domain.node import manifest, ownership_record, roles
from metalk8s_expand.domain.node.manifest import Owned
from metalk8s_expand.domain.node.spec import Node, Ssh, Taint
from metalk8s_expand.errors import ConflictError, UnreachableError
from tests.integration import metrics
from tests.integration.apiserver import ApiServer
from tests.integration.etcd_host import Host, Site

GOLDEN = Path(__file__).resolve().parents[1] / "unit/metalk8s_expand/domain/node/golden"
MANY = 1200
NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
FOREIGN = {"key": "example.com/gpu", "value": "a100", "effect": "NoExecute"}


@pytest.fixture(scope="module")
def member(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Start an etcd of one member."""
    host = Host(site, tmp_path_factory.mktemp("etcd") / "host", 1).power_on()
    try:
        host.deploy([], new_cluster=True)
        yield host
    finally:
        host.power_off()


@pytest.fixture(scope="module")
def server(member: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Start a kube-apiserver with that etcd."""
    running = ApiServer(member, tmp_path_factory.mktemp("apiserver"))
    try:
        yield running.wait()
    finally:
        running.stop()


@pytest.fixture(scope="module")
def kube(server: ApiServer) -> Kube:
    """Return an administrator's client."""
    return Kube.from_kubeconfig(str(server.admin))


@pytest.fixture
def node(kube: Kube, request: pytest.FixtureRequest) -> Iterator[Node]:
    """Yield a declared control-plane node named like its test, and delete its Node."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:60].rstrip("-")
    profile = roles.PROFILES["control-plane"]
    yield Node(
        name, "132.0.1", profile.roles, profile.taints, ssh=Ssh("192.0.2.1"), address="192.0.2.1"
    )
    kube.request("DELETE", f"/api/v1/nodes/{name}")


def found(kube: Kube, node: Node) -> dict[str, Any]:
    """Return the stored Node, which must exist."""
    stored = kube.node(node.name)
    assert stored is not None
    return stored


def version(kube: Kube, node: Node) -> str:
    return str(found(kube, node)["metadata"]["resourceVersion"])


class Meddling(Kube):
    """Lets another client act between the first read of a Node and the write that follows it."""

    def __init__(self, kube: Kube, act: Callable[[], object]) -> None:
        self.__dict__.update(kube.__dict__)
        self._act: Callable[[], object] | None = act
        self.reads = 0

    def node(self, name: str) -> dict[str, Any] | None:
        """Return the Node as it was before the other client acted."""
        stored = super().node(name)
        self.reads += 1
        if self._act is not None:
            act, self._act = self._act, None
            act()
        return stored


# The client


def test_client_certificate_is_accepted(kube: Kube) -> None:
    assert kube.text("/readyz") == (200, "ok")
    assert kube.node("absent") is None


def test_bearer_token_is_accepted(server: ApiServer, kube: Kube) -> None:
    account = {"metadata": {"name": "salt-master"}}
    kube.request("POST", "/api/v1/namespaces/kube-system/serviceaccounts", account)
    subject = {"kind": "ServiceAccount", "name": "salt-master", "namespace": "kube-system"}
    binding = {
        "metadata": {"name": "salt-master"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "view-nodes",
        },
        "subjects": [subject],
    }
    rules = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"]}]
    kube.request(
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        {"metadata": {"name": "view-nodes"}, "rules": rules},
    )
    kube.request("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    asked = {"spec": {"expirationSeconds": 600}}
    answer = (
        kube.request(
            "POST", "/api/v1/namespaces/kube-system/serviceaccounts/salt-master/token", asked
        )
        or {}
    )
    client = Kube.from_kubeconfig(
        str(server.kubeconfig("token", {"token": answer["status"]["token"]}))
    )
    assert client.node("absent") is None
    with pytest.raises(UnreachableError, match=r"answered 403: .*salt-master"):
        client.pods("kube-system")


def test_wrong_token_and_missing_credentials_are_reported(server: ApiServer) -> None:
    with pytest.raises(UnreachableError, match="answered 401: Unauthorized"):
        Kube.from_kubeconfig(str(server.kubeconfig("wrong", {"token": "wrong"}))).nodes()
    with pytest.raises(UnreachableError, match=r"answered 403: .*system:anonymous"):
        Kube.from_kubeconfig(str(server.kubeconfig("nobody", {}))).nodes()


def test_unknown_certificate_authority_is_reported(server: ApiServer, site: Site) -> None:
    path = server.kubeconfig("other-ca", {})
    path.write_text(
        path.read_text().replace(str(server.root / "pki/ca.crt"), str(site.pki / "ca.crt"))
    )
    with pytest.raises(UnreachableError, match="certificate verify failed"):
        Kube.from_kubeconfig(str(path)).nodes()


def test_endpoints_of_api_are_read(kube: Kube) -> None:
    (found,) = kube.kubernetes_endpoints()
    assert found["endpoints"][0]["addresses"] == ["192.0.2.10"]


@pytest.fixture(scope="module")
def many(kube: Kube) -> list[str]:
    """Create more Nodes than two pages hold, with the label tests/many=yes; return their names."""
    names = [f"many-{number:04}" for number in range(MANY)]
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda name: kube.create_node(
                    {"metadata": {"name": name, "labels": {"tests/many": "yes"}}}
                ),
                names,
            )
        )
    assert MANY > 2 * PAGE
    return names


def test_every_page_is_read(kube: Kube, many: list[str]) -> None:
    assert sorted(item["metadata"]["name"] for item in kube.nodes("tests/many=yes")) == many
    assert {item["metadata"]["name"] for item in kube.nodes()} >= set(many)


def test_list_of_compacted_revision_restarts(kube: Kube, member: Host, many: list[str]) -> None:
    """Simulate a page request so late that etcd no longer has the revision of the list."""
    asked: list[str] = []

    class Late(Kube):
        def __init__(self) -> None:
            self.__dict__.update(kube.__dict__)

        def request(
            self, method: str, path: str, *arguments: Any, **options: Any
        ) -> dict[str, Any] | None:
            query = options["query"]
            asked.append(query["continue"])
            if len(asked) == 2:
                options["query"] = {**query, "continue": token}
            return super().request(method, path, *arguments, **options)

    old = {"v": "meta.k8s.io/v1", "rv": 1, "start": "many-0500\u0000"}
    token = base64.urlsafe_b64encode(json.dumps(old).encode()).decode().rstrip("=")
    compacted = member.ctl("compact", str(member.revision()))
    assert compacted.returncode == 0, compacted.stderr
    with pytest.raises(UnreachableError, match="answered 410"):
        kube.request("GET", "/api/v1/nodes", query={"limit": "500", "continue": token})
    assert [item["metadata"]["name"] for item in Late().nodes("tests/many=yes")] == many
    assert asked[0] == asked[2] == ""


# Registration


def test_node_is_created_cordoned(kube: Kube, node: Node) -> None:
    assert node_registration.register(kube, node, test=True) == node_registration.register(
        kube, node
    )
    stored = found(kube, node)
    assert stored["spec"]["unschedulable"] is True
    assert manifest.is_created_by_us(stored)
    assert manifest.is_cordoned_by_us(stored)
    assert stored["metadata"]["labels"].keys() >= {
        manifest.EXCLUDE_DISRUPTION,
        *roles.label_keys(node.roles),
    }
    assert [taint for taint in stored["spec"]["taints"] if roles.is_role_key(taint["key"])] == [
        t.as_dict() for t in node.taints
    ]
    assert manifest.drift(node, stored) == ()


def test_second_registration_writes_nothing(kube: Kube, node: Node) -> None:
    node_registration.register(kube, node)
    before = version(kube, node)
    assert node_registration.register(kube, node) == []
    assert version(kube, node) == before


def test_registration_under_test_writes_nothing(kube: Kube, node: Node) -> None:
    node_registration.register(kube, node, test=True)
    assert kube.node(node.name) is None
    kube.create_node({"metadata": {"name": node.name}})
    before = version(kube, node)
    planned = node_registration.register(kube, node, test=True)
    assert version(kube, node) == before
    assert planned == node_registration.register(kube, node) != []


def test_fields_of_other_owners_are_kept(kube: Kube, node: Node) -> None:
    node_registration.register(kube, node)
    others = {
        "metadata": {
            "labels": {
                "example.com/rack": "7",
                "kubernetes.io/hostname": node.name,
                "node-role.kubernetes.io/gpu": "",
            },
            "annotations": {
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
                "flannel.alpha.coreos.com/x": "y",
            },
        },
        "spec": {
            "taints": [FOREIGN, *found(kube, node)["spec"]["taints"]],
            "podCIDR": "10.1.2.0/24",
        },
    }
    kube.merge_patch_node(node.name, others)
    before = found(kube, node)
    changed = dataclasses.replace(
        node,
        version="132.0.2",
        roles=(roles.INFRA,),
        taints=roles.taints((roles.INFRA,)),
        ssh=Ssh("192.0.2.2"),
    )
    changes = {
        change["path"]: change["wanted"] for change in node_registration.register(kube, changed)
    }
    assert changes == {
        "metadata.annotations[metalk8s.scality.com/ssh-host]": "192.0.2.2",
        "metadata.labels[metalk8s.scality.com/version]": "132.0.2",
        "metadata.labels[node-role.kubernetes.io/master]": None,
        "metadata.labels[node-role.kubernetes.io/etcd]": None,
        "metadata.labels[node-role.kubernetes.io/infra]": "",
        "spec.taints[node-role.kubernetes.io/master:NoSchedule]": None,
        "spec.taints[node-role.kubernetes.io/etcd:NoSchedule]": None,
        "spec.taints[node-role.kubernetes.io/infra:NoSchedule]": "",
    }
    after = found(kube, node)
    assert foreign(after) == foreign(before)
    assert FOREIGN in after["spec"]["taints"]
    assert NOT_READY in after["spec"]["taints"]
    assert node_registration.register(kube, changed) == []


def foreign(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a Node that a change of role, version and address must not write."""
    metadata, spec = stored["metadata"], stored["spec"]
    return {
        "labels": {
            key: value
            for key, value in metadata["labels"].items()
            if key != manifest.VERSION_LABEL and not roles.is_role_key(key)
        },
        "annotations": {
            key: value for key, value in metadata["annotations"].items() if "ssh-host" not in key
        },
        "taints": [taint for taint in spec["taints"] if not roles.is_role_key(taint["key"])],
        "spec": {key: value for key, value in spec.items() if key != "taints"},
        "status": stored["status"],
    }


def test_taints_of_node_without_taints_are_added_and_removed(kube: Kube, node: Node) -> None:
    bare = dataclasses.replace(node, taints=())
    kube.create_node({"metadata": {"name": node.name}})
    kube.json_patch_node(node.name, [{"op": "remove", "path": "/spec/taints"}])
    node_registration.register(kube, node)
    assert [taint["key"] for taint in found(kube, node)["spec"]["taints"]] == [
        taint.key for taint in node.taints
    ]
    node_registration.register(kube, bare)
    assert "taints" not in found(kube, node)["spec"]


def test_value_of_declared_taint_is_changed_in_place(kube: Kube, node: Node) -> None:
    node_registration.register(
        kube, dataclasses.replace(node, taints=(Taint("example.com/disk", "NoSchedule", "slow"),))
    )
    node_registration.register(
        kube, dataclasses.replace(node, taints=(Taint("example.com/disk", "NoSchedule", "fast"),))
    )
    disks = [
        taint for taint in found(kube, node)["spec"]["taints"] if taint["key"] == "example.com/disk"
    ]
    assert disks == [{"key": "example.com/disk", "value": "fast", "effect": "NoSchedule"}]


def test_stale_taint_patch_is_repeated(kube: Kube, node: Node) -> None:
    kube.create_node({"metadata": {"name": node.name}})
    taint = [{"op": "add", "path": "/spec/taints/-", "value": FOREIGN}]
    meddling = Meddling(kube, lambda: kube.json_patch_node(node.name, taint))
    node_registration.register(meddling, node)
    assert meddling.reads == 2
    taints = found(kube, node)["spec"]["taints"]
    assert FOREIGN in taints
    assert NOT_READY in taints
    assert manifest.drift(node, found(kube, node)) == ()


def test_taint_patch_that_stays_stale_gives_up(kube: Kube, node: Node) -> None:
    kube.create_node({"metadata": {"name": node.name}})
    writes = iter(range(100))

    class Restless(Kube):
        def __init__(self) -> None:
            self.__dict__.update(kube.__dict__)

        def node(self, name: str) -> dict[str, Any] | None:
            stored = super().node(name)
            taint = {**FOREIGN, "key": f"example.com/{next(writes)}"}
            kube.json_patch_node(name, [{"op": "add", "path": "/spec/taints/-", "value": taint}])
            return stored

    with pytest.raises(
        ConflictError, match=f"could not be changed in {node_registration.ATTEMPTS} attempts"
    ):
        node_registration.register(Restless(), node)
    assert next(writes) == node_registration.ATTEMPTS


def test_node_created_concurrently_is_patched(kube: Kube, node: Node) -> None:
    meddling = Meddling(
        kube,
        lambda: kube.create_node(
            {"metadata": {"name": node.name, "labels": {"example.com/by": "kubelet"}}}
        ),
    )
    node_registration.register(meddling, node)
    stored = found(kube, node)
    assert stored["metadata"]["labels"]["example.com/by"] == "kubelet"
    assert manifest.drift(node, stored) == ()
    assert not manifest.is_created_by_us(stored)


def test_node_deleted_concurrently_is_created_again(kube: Kube, node: Node) -> None:
    kube.create_node({"metadata": {"name": node.name}})
    node_registration.register(
        Meddling(kube, lambda: kube.request("DELETE", f"/api/v1/nodes/{node.name}")), node
    )
    assert manifest.drift(node, found(kube, node)) == ()


class Writers:
    """A controller that taints and untaints a Node, and a client that labels it, in a loop.

    Each records those of its changes that are lost.
    """

    def __init__(self, kube: Kube, node: Node) -> None:
        self.kube, self.node = kube, node
        self.written: Counter[str] = Counter()
        self.lost: list[str] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(act,)) for act in (self.taint, self.label)
        ]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def _repeat(self, act: Callable[[], None]) -> None:
        while not self._stop.wait(0.03):
            with contextlib.suppress(ConflictError):
                act()

    def taint(self) -> None:
        taints = found(self.kube, self.node)["spec"].get("taints")
        there = NOT_READY in (taints or [])
        if there == bool(self.written["taint"] % 2):
            self.lost.append(f"taint {self.written['taint']}")
        wanted = [taint for taint in taints or [] if taint != NOT_READY] + (
            [] if there else [NOT_READY]
        )
        test = {"op": "test", "path": "/spec/taints", "value": taints}
        self.kube.json_patch_node(
            self.node.name, [test, {"op": "add", "path": "/spec/taints", "value": wanted}]
        )
        self.written["taint"] += 1

    def label(self) -> None:
        labels, count = found(self.kube, self.node)["metadata"]["labels"], self.written["label"]
        if labels.get("example.com/count", "0") != str(count):
            self.lost.append(f"label {count}")
        self.kube.merge_patch_node(
            self.node.name, {"metadata": {"labels": {"example.com/count": str(count + 1)}}}
        )
        self.written["label"] += 1


def test_concurrent_writes_of_other_clients_are_kept(kube: Kube, node: Node) -> None:
    node_registration.register(kube, node)
    assert NOT_READY in found(kube, node)["spec"]["taints"]
    with Writers(kube, node) as others:
        for number in range(30):
            disk = [Taint("example.com/disk", "NoSchedule", f"v{number}")] * (number % 2)
            changed = declaring(
                dataclasses.replace(node, version=f"132.0.{number}"), {TEAM: str(number)}, *disk
            )
            assert node_registration.register(kube, changed)
            assert node_registration.register(kube, changed, test=True) == []
    assert others.lost == []
    assert min(others.written["taint"], others.written["label"]) > 5


# Fields that only the ownership record identifies

ZONE, TEAM = "topology.kubernetes.io/zone", "example.com/team"


def declaring(node: Node, labels: Mapping[str, str], *taints: Taint) -> Node:
    return dataclasses.replace(node, labels=labels, taints=(*node.taints, *taints))


def line(kube: Kube, node: Node) -> str | None:
    stored = kube.config_map(ownership_record.NAMESPACE, ownership_record.NAME) or {}
    return (stored.get("data") or {}).get(node.name)


def test_label_and_taint_dropped_from_declaration_are_removed(kube: Kube, node: Node) -> None:
    disk = Taint("example.com/disk", "NoExecute", "slow")
    node_registration.register(kube, declaring(node, {ZONE: "a", TEAM: "x"}, disk))
    kube.merge_patch_node(node.name, {"metadata": {"labels": {"example.com/rack": "7"}}})
    uid = found(kube, node)["metadata"]["uid"]
    assert line(kube, node) == ownership_record.serialize(
        Owned(frozenset({ZONE, TEAM}), frozenset({("example.com/disk", "NoExecute")}), uid)
    )
    dropped = declaring(node, {TEAM: "x"})
    paths = [f"metadata.labels[{ZONE}]", "spec.taints[example.com/disk:NoExecute]"]
    assert [
        change["path"] for change in node_registration.register(kube, dropped, test=True)
    ] == paths
    assert [change["path"] for change in node_registration.register(kube, dropped)] == paths
    stored = found(kube, node)
    assert stored["metadata"]["labels"].keys() >= {TEAM, "example.com/rack"}
    assert ZONE not in stored["metadata"]["labels"]
    assert NOT_READY in stored["spec"]["taints"]
    assert "example.com/disk" not in [taint["key"] for taint in stored["spec"]["taints"]]
    node_registration.register(kube, node)
    assert line(kube, node) is None


def test_ownership_record_follows_declared_labels(kube: Kube, node: Node) -> None:
    kube.request(
        "DELETE",
        f"/api/v1/namespaces/{ownership_record.NAMESPACE}/configmaps/{ownership_record.NAME}",
    )
    for labels in ({ZONE: "a"}, {}, {ZONE: "b"}):
        node_registration.register(kube, declaring(node, labels))
        assert (line(kube, node) is not None) == bool(labels)
        assert found(kube, node)["metadata"]["labels"].get(ZONE) == labels.get(ZONE)


def test_foreign_label_with_declared_value_stays_foreign(kube: Kube, node: Node) -> None:
    kube.create_node({"metadata": {"name": node.name, "labels": {ZONE: "a"}}})
    node_registration.register(kube, declaring(node, {ZONE: "a"}))
    assert node_registration.register(kube, node) == []
    assert found(kube, node)["metadata"]["labels"][ZONE] == "a"


def test_ownership_record_does_not_apply_to_recreated_node(kube: Kube, node: Node) -> None:
    node_registration.register(kube, declaring(node, {ZONE: "a"}))
    kube.request("DELETE", f"/api/v1/nodes/{node.name}")
    kube.create_node({"metadata": {"name": node.name, "labels": {ZONE: "a"}}})
    node_registration.register(kube, node)
    assert found(kube, node)["metadata"]["labels"][ZONE] == "a"
    assert line(kube, node) is None


def test_concurrent_registrations_lose_no_record(kube: Kube) -> None:
    nodes = [
        Node(f"beside-{number}", "1", (roles.NODE,), (), {ZONE: "a"}, Ssh("192.0.2.1"))
        for number in range(24)
    ]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda node: node_registration.register(kube, node), nodes))
    assert all(line(kube, node) for node in nodes)
    bare = [dataclasses.replace(node, labels={}) for node in nodes]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda node: node_registration.register(kube, node), bare))
    assert not any(line(kube, node) for node in nodes)
    assert not any(ZONE in found(kube, node)["metadata"]["labels"] for node in nodes)


# Many nodes at once


@pytest.fixture
def fleet(kube: Kube) -> Iterator[list[Node]]:
    """Yield about a hundred declared nodes of three profiles, and delete their Nodes."""
    kinds = [roles.PROFILES[name] for name in ("control-plane", "infra", "worker")]
    nodes = [
        Node(
            f"fleet-{number:03}",
            "132.0.1",
            kind.roles,
            kind.taints,
            {ZONE: f"z{number % 3}"},
            Ssh(f"192.0.2.{number}"),
        )
        for number, kind in enumerate(kinds * 34)
    ]
    yield nodes
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda node: kube.request("DELETE", f"/api/v1/nodes/{node.name}"), nodes))


def versions(kube: Kube) -> dict[str, str]:
    return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in kube.nodes()}


def test_register_all_creates_changes_and_keeps_nodes(kube: Kube, fleet: list[Node]) -> None:
    before = versions(kube)
    planned = node_registration.register_all(kube, fleet, test=True)
    assert versions(kube) == before
    assert line(kube, fleet[0]) is None
    assert node_registration.register_all(kube, fleet) == planned
    assert all(manifest.drift(node, found(kube, node)) == () for node in fleet)

    drifted = [dataclasses.replace(node, version="132.0.2", labels={}) for node in fleet[:10]]
    before = versions(kube)
    planned = node_registration.register_all(kube, [*drifted, *fleet[10:]], test=True)
    assert versions(kube) == before
    assert [name for name, changes in planned.items() if changes] == [node.name for node in drifted]
    assert node_registration.register_all(kube, [*drifted, *fleet[10:]]) == planned
    moved = {name for name, number in versions(kube).items() if before.get(name) != number}
    assert moved == {node.name for node in drifted}


def test_register_all_without_changes_reads_one_list_and_writes_nothing(
    kube: Kube, fleet: list[Node]
) -> None:
    node_registration.register_all(kube, fleet)
    pages = -(-len(kube.nodes()) // PAGE)
    before = metrics.requests(kube, "nodes", "configmaps")
    assert not any(node_registration.register_all(kube, fleet).values())
    asked = metrics.requests(kube, "nodes", "configmaps") - before
    assert metrics.writes(asked) == {}
    assert asked["GET", "nodes"] == 0
    assert asked["GET", "configmaps"] == 1
    assert asked["LIST", "nodes"] == pages


# Cordons


def test_own_cordon_is_reverted(kube: Kube, node: Node) -> None:
    node_registration.register(kube, node)
    assert node_registration.uncordon(kube, node.name, test=True)
    assert manifest.is_cordoned_by_us(found(kube, node))
    assert node_registration.uncordon(kube, node.name)
    stored = found(kube, node)
    assert "unschedulable" not in stored["spec"]
    assert manifest.EXCLUDE_DISRUPTION not in stored["metadata"]["labels"]
    assert manifest.CORDONED not in stored["metadata"]["annotations"]
    assert manifest.is_created_by_us(stored)
    assert not node_registration.uncordon(kube, node.name)
    assert node_registration.register(kube, node) == []


def test_cordon_of_operator_is_kept(server: ApiServer, kube: Kube, node: Node) -> None:
    node_registration.register(kube, node)
    node_registration.uncordon(kube, node.name)
    done = server.kubectl("cordon", node.name)
    assert done.returncode == 0, done.stderr
    before = version(kube, node)
    assert not node_registration.uncordon(kube, node.name)
    assert node_registration.register(kube, node) == []
    assert version(kube, node) == before


def test_cordon_of_operator_is_kept_although_mark_is_left(
    server: ApiServer, kube: Kube, node: Node
) -> None:
    """The operator ended an interrupted run, uncordoned the Node by hand and cordons it later."""
    node_registration.register(kube, node)
    for verb in ("uncordon", "cordon"):
        done = server.kubectl(verb, node.name)
        assert done.returncode == 0, done.stderr
    stored = found(kube, node)
    assert manifest.is_marked(stored)
    assert not manifest.is_cordoned_by_us(stored)
    [listed] = [item for item in kube.nodes() if item["metadata"]["name"] == node.name]
    assert not manifest.is_cordoned_by_us(listed)
    assert not node_registration.uncordon(kube, node.name)
    stored = found(kube, node)
    assert stored["spec"]["unschedulable"] is True
    assert not manifest.is_marked(stored)


def test_marks_of_cordon_undone_by_operator_are_removed(
    server: ApiServer, kube: Kube, node: Node
) -> None:
    node_registration.register(kube, node)
    server.kubectl("uncordon", node.name)
    assert not node_registration.uncordon(kube, node.name)
    stored = found(kube, node)
    assert manifest.EXCLUDE_DISRUPTION not in stored["metadata"]["labels"]
    assert not manifest.is_marked(stored)


def test_cordon_stays_owned_after_writes_of_other_clients(
    server: ApiServer, kube: Kube, node: Node
) -> None:
    node_registration.register(kube, node)
    assert server.kubectl("label", "node", node.name, "example.com/rack=7").returncode == 0
    assert server.kubectl("cordon", node.name).returncode == 0
    assert node_registration.uncordon(kube, node.name)


def test_node_that_replaces_cordoned_node_is_not_uncordoned(kube: Kube, node: Node) -> None:
    def replace() -> None:
        kube.request("DELETE", f"/api/v1/nodes/{node.name}")
        kube.create_node({"metadata": {"name": node.name}, "spec": {"unschedulable": True}})

    node_registration.register(kube, node)
    assert not node_registration.uncordon(Meddling(kube, replace), node.name)
    assert found(kube, node)["spec"]["unschedulable"] is True


def test_uncordon_of_missing_node_changes_nothing(kube: Kube) -> None:
    assert not node_registration.uncordon(kube, "absent")


# Manifests


def declared(profile: roles.Profile) -> Node:
    ssh = Ssh("192.0.2.9", port=2222, user="centos", sudo=True, host_key="ssh-ed25519 AAAA")
    return Node(
        f"profile-{profile.name}",
        "132.0.1",
        profile.roles,
        profile.taints,
        profile.labels,
        ssh,
        "192.0.2.9",
    )


@pytest.mark.parametrize("profile", roles.PROFILES.values(), ids=lambda profile: profile.name)
def test_api_accepts_every_profile(kube: Kube, profile: roles.Profile) -> None:
    node = declared(profile)
    for body in (manifest.manifest(node), manifest.registration(node)):
        stored = kube.create_node(body, dry_run=True)
        assert manifest.drift(node, stored) == ()
    assert kube.node(node.name) is None


def test_kubectl_accepts_every_profile(server: ApiServer, kube: Kube, tmp_path: Path) -> None:
    nodes = [declared(profile) for profile in roles.PROFILES.values()]
    for node in nodes:
        (tmp_path / f"{node.name}.yaml").write_text(
            yaml.safe_dump(manifest.manifest(node), sort_keys=False)
        )
    done = server.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(
        f"node/{node.name} created (server dry run)" for node in nodes
    )
    assert all(kube.node(node.name) is None for node in nodes)


def test_kubectl_accepts_golden_files(server: ApiServer, kube: Kube) -> None:
    done = server.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(GOLDEN))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["node/n-1 created (server dry run)"] * len(roles.PROFILES)
    assert kube.node("n-1") is None
