"""Test the probe's Pods: their nodes, the report of a failure, and their removal in every case."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain.node.roles import taints
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.errors import DeployError, UnreachableError
from metalk8s_expand.expansion import smoke_test
from tests.fakes.clock import FakeClock


class FakeKube:
    """Fake API that records creations and deletions. Client Pods end in the phase of their node."""

    def __init__(self, nodes: dict[str, bool], phases: dict[str, str]) -> None:
        self._nodes = nodes
        self._phases = phases
        self.created: dict[str, dict[str, Any]] = {}
        self.deleted: list[str] = []
        self.broken = False
        self.prepared = True

    def nodes(self) -> list[dict[str, Any]]:
        def conditions(ready: bool) -> dict[str, Any]:
            return {"conditions": [{"type": "Ready", "status": str(ready)}]}

        return [
            {"metadata": {"name": name}, "status": conditions(ready)}
            for name, ready in self._nodes.items()
        ]

    def get(self, path: str) -> dict[str, Any] | None:
        if path == "/api/v1/namespaces/metalk8s-expand-probe":
            return {} if self.prepared else None
        if self.broken:
            raise UnreachableError("the API is gone")
        role, name = path.rsplit("/", 1)[1].split("-", 1)
        spec = self.created[f"server-{name}"]["spec"]
        node = spec["nodeSelector"]["kubernetes.io/hostname"]
        return {"status": {"phase": self._phases[node] if role == "client" else "Running"}}

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.created[body["metadata"]["name"]] = body
        return body

    def request(self, method: str, path: str) -> dict[str, Any]:
        assert method == "DELETE"
        self.deleted.append(path)
        return {}


def worker(name: str, *roles: str) -> Node:
    return Node(name, "1", roles or ("node",), taints(roles))


def probed(kube: FakeKube, *workers: Node) -> dict[str, str]:
    return smoke_test.probe(kube, workers, "RUN1", image=None, timeout=10, clock=FakeClock())  # type: ignore[arg-type]


def test_server_on_the_worker_and_client_on_another() -> None:
    kube = FakeKube({"w.1": True, "down": False, "other": True}, {"w.1": "Succeeded"})
    assert probed(kube, worker("w.1", "infra")) == {}
    server, client = kube.created["server-run1-0"]["spec"], kube.created["client-run1-0"]["spec"]
    assert server["nodeSelector"] == {"kubernetes.io/hostname": "w.1"}
    assert [item["key"] for item in server["tolerations"]] == ["node-role.kubernetes.io/infra"]
    assert client["nodeName"] == "other"
    assert (
        "http://probe-run1-0.metalk8s-expand-probe:8080/" in client["containers"][0]["command"][-1]
    )
    assert (
        kube.created["probe-run1-0"]["spec"]["selector"]
        == kube.created["server-run1-0"]["metadata"]["labels"]
    )
    assert not server["automountServiceAccountToken"]
    assert kube.deleted == [
        f"/api/v1/namespaces/metalk8s-expand-probe/{kind}" for kind in ("pods", "services")
    ]


def test_missing_namespace_is_created() -> None:
    kube = FakeKube({"a": True, "b": True}, {"a": "Succeeded"})
    kube.prepared = False
    assert probed(kube, worker("a")) == {}
    assert kube.created["metalk8s-expand-probe"]["metadata"]["labels"] == {
        "pod-security.kubernetes.io/enforce": "baseline"
    }


def test_failure_is_reported_by_node() -> None:
    kube = FakeKube({"a": True, "b": True}, {"a": "Pending", "b": "Succeeded"})
    failed = probed(kube, worker("a"), worker("b"))
    assert list(failed) == ["a"]
    assert "the client Pod Pending" in failed["a"]
    assert kube.deleted


def test_lone_node_has_no_second_node_for_the_client() -> None:
    kube = FakeKube({"a": True, "b": False}, {})
    with pytest.raises(DeployError, match="no second Ready node"):
        probed(kube, worker("a"))
    assert kube.deleted, "what was made goes all the same"


def test_api_outage_is_reported_after_the_wait() -> None:
    kube = FakeKube({"a": True, "b": True}, {})
    kube.broken = True
    assert "the API is gone" in probed(kube, worker("a"))["a"]
