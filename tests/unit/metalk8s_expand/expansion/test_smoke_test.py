"""Test the probe's Pods: their nodes, the report of a failure, and their removal in every case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from metalk8s_expand.domain.node.roles import taints
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.errors import DeployError, UnreachableError
from metalk8s_expand.expansion import smoke_test
from tests.fakes.clock import FakeClock
from tests.fakes.kube import FakeKube

NAMESPACES = "/api/v1/namespaces"


class ProbedKube(FakeKube):
    """An API server with these Nodes, Ready or not, and the phases in which their client Pods end."""

    def __init__(self, nodes: dict[str, bool], phases: dict[str, str]) -> None:
        super().__init__(
            *(
                {
                    "metadata": {"name": name},
                    "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
                }
                for name, ready in nodes.items()
            )
        )
        self.put(NAMESPACES, {"metadata": {"name": smoke_test.NAMESPACE}})
        self.phases = phases
        self.created: dict[str, Any] = {}

    def create(self, path: str, body: Mapping[str, Any], dry_run: bool = False) -> dict[str, Any]:
        """Create an object; a Pod has its last phase at once."""
        name = body["metadata"]["name"]
        self.created[name] = body
        if path != smoke_test.PODS:
            return super().create(path, body, dry_run)
        role, pair = name.split("-", 1)
        server = self.created[f"server-{pair}"]["spec"]
        node = server["nodeSelector"]["kubernetes.io/hostname"]
        phase = self.phases.get(node) if role == "client" else "Running"
        return super().create(path, {**body, "status": {"phase": phase}}, dry_run)

    @property
    def deleted(self) -> list[str]:
        return [title for title in self.writes if title.startswith("DELETE ")]


def worker(name: str, *roles: str) -> Node:
    return Node(name, "1", roles or ("node",), taints(roles))


def probed(kube: ProbedKube, *workers: Node) -> dict[str, str]:
    return smoke_test.probe(kube, workers, "RUN1", image=None, timeout=10, clock=FakeClock())


def test_server_on_the_worker_and_client_on_another() -> None:
    kube = ProbedKube({"w.1": True, "down": False, "other": True}, {"w.1": "Succeeded"})
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
        f"DELETE /api/v1/namespaces/metalk8s-expand-probe/{kind}" for kind in ("pods", "services")
    ]


def test_missing_namespace_is_created() -> None:
    kube = ProbedKube({"a": True, "b": True}, {"a": "Succeeded"})
    kube.objects[NAMESPACES].clear()
    assert probed(kube, worker("a")) == {}
    assert kube.created["metalk8s-expand-probe"]["metadata"]["labels"] == {
        "pod-security.kubernetes.io/enforce": "baseline"
    }


def test_failure_is_reported_by_node() -> None:
    kube = ProbedKube({"a": True, "b": True}, {"a": "Pending", "b": "Succeeded"})
    failed = probed(kube, worker("a"), worker("b"))
    assert list(failed) == ["a"]
    assert "the client Pod Pending" in failed["a"]
    assert kube.deleted


def test_lone_node_has_no_second_node_for_the_client() -> None:
    kube = ProbedKube({"a": True, "b": False}, {})
    with pytest.raises(DeployError, match="no second Ready node"):
        probed(kube, worker("a"))
    assert kube.deleted, "what was made goes all the same"


def test_api_outage_is_reported_after_the_wait() -> None:
    kube = ProbedKube({"a": True, "b": True}, {})

    def away(request: str) -> None:
        if request.startswith(f"GET {smoke_test.PODS}"):
            raise UnreachableError("the API is gone")

    kube.fail = away
    assert "the API is gone" in probed(kube, worker("a"))["a"]
