"""Fake cluster, master and pillar for the functions of the runner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from metalk8s_expand.cluster import health
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.domain.node import manifest
from tests.fakes.healthy_cluster import READY, FakeEtcd, FakeKube, member
from tests.fakes.leases import FakeLeases

PILLAR: dict[str, Any] = {
    "defaults": {"version": "2.0"},
    "nodes": {
        "w-1": {"profile": "worker", "address": "10.0.0.3"},
        "w-2": {"profile": "worker", "address": "10.0.0.4"},
        "i-1": {"profile": "infra", "address": "10.0.0.5"},
    },
}


class Kube(FakeKube):
    """Fake of the API for verification that also creates Nodes."""

    def __init__(self, *nodes: dict[str, Any]) -> None:
        super().__init__(*nodes)
        self.leases = FakeLeases()
        self.config_maps: dict[str, dict[str, Any]] = {}

    def create_node(self, body: dict[str, Any]) -> dict[str, Any]:
        self.stored[body["metadata"]["name"]] = body
        return body

    def config_map(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Nothing is on record of Nodes: none has labels or taints of its own."""
        return self.config_maps.get(name)

    def create_config_map(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        return self.replace_config_map(namespace, body["metadata"]["name"], body)

    def replace_config_map(self, namespace: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        self.config_maps[name] = {**body, "metadata": {**body["metadata"], "resourceVersion": "1"}}
        return self.config_maps[name]

    def listed(self, path: str, query: dict[str, str]) -> list[dict[str, Any]]:
        """Return no Services."""
        return []


class Cluster(ClusterContext):
    """Cluster whose etcd answers immediately."""

    def access(self) -> health.ClusterAccess:
        return health.ClusterAccess(self.kube, FakeEtcd(member(1, "boot")))  # type: ignore[arg-type]

    def leases(self) -> Any:
        """Return the Leases that all calls on this cluster share."""
        return self.kube.leases  # type: ignore[attr-defined]


class Minions:
    """Fake minions. Each returns one certificate, unless ``others`` sets a different answer."""

    def __init__(self) -> None:
        self.days = 300.0
        self.others: dict[str, Any] = {}
        self.asked: list[str] = []

    def ask(
        self, minions: Iterable[str], function: str, arguments: Sequence[Any]
    ) -> dict[str, Any]:
        self.asked = list(minions)
        entry = {
            "path": "/etc/kubernetes/pki/kubelet-client.crt", "serial": "1", "key": "fits",
            "not_after": "2027-01-01T00:00:00Z", "seconds_left": int(self.days * 86400),
        }  # fmt: skip
        return {**{name: {"kubelet-client": entry} for name in self.asked}, **self.others}


def node(name: str, deployed: bool = True) -> dict[str, Any]:
    """Return a declared Node as the API returns it."""
    body = manifest.manifest(settings.parse(PILLAR).node(name))
    return {**body, "status": {**READY, "nodeInfo": {"kubeletVersion": "v1"}} if deployed else {}}
