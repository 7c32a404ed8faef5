"""A healthy cluster: its API and its Nodes."""

from __future__ import annotations

from typing import Any

READY = {"conditions": [{"type": "Ready", "status": "True"}]}


class FakeKube:
    """A cluster with these Nodes and static Pods."""

    def __init__(self, *nodes: dict[str, Any]) -> None:
        self.stored = {item["metadata"]["name"]: item for item in nodes}
        self.pods: list[str] = []
        self.readyz = (200, "ok")
        self.coredns: dict[str, Any] | None = None
        self.endpoints: list[dict[str, Any]] = []

    def node(self, name: str) -> dict[str, Any] | None:
        return self.stored.get(name)

    def nodes(self, selector: str = "") -> list[dict[str, Any]]:
        return [
            item
            for item in self.stored.values()
            if not selector or selector in item["metadata"]["labels"]
        ]

    def cordoned_nodes(self) -> list[dict[str, Any]]:
        return [
            item for item in self.stored.values() if (item.get("spec") or {}).get("unschedulable")
        ]

    def pods_of(self, name: str) -> list[dict[str, Any]]:
        return [
            {"metadata": {"name": pod, "namespace": "kube-system"}, "status": READY}
            for pod in self.pods
        ]

    def text(self, path: str) -> tuple[int, str]:
        assert path == "/readyz"
        return self.readyz

    def deployment(self, namespace: str, name: str) -> dict[str, Any] | None:
        return self.coredns

    def kubernetes_endpoints(self) -> list[dict[str, Any]]:
        return self.endpoints


def infra(name: str, cordoned: bool = False) -> dict[str, Any]:
    labels = {"node-role.kubernetes.io/infra": ""}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"unschedulable": cordoned},
        "status": READY,
    }
