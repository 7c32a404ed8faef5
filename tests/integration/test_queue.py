"""Requests of events in a real API: no request of concurrent writers is lost."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.domain.runs.queue_rules import NAME, NAMESPACE
from metalk8s_expand.runs import request_queue
from tests.integration.apiserver import ApiServer
from tests.integration.daemons import eventually

CROWD = 20
PATH = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{NAME}"


@pytest.fixture
def kube(server: ApiServer) -> Iterator[Kube]:
    """Return an administrator's client; the queue does not exist before the test."""
    found = Kube.from_kubeconfig(str(server.admin))
    eventually("the namespace is there", lambda: found.get(f"/api/v1/namespaces/{NAMESPACE}"), 30)
    found.request("DELETE", PATH)
    yield found
    found.request("DELETE", PATH)


def at_once(server: ApiServer, names: list[str]) -> list[bool]:
    """Request all nodes at the same moment, each over its own connection."""
    moment = Barrier(len(names))

    def ask(name: str) -> bool:
        kube = Kube.from_kubeconfig(str(server.admin))
        moment.wait(60)
        return request_queue.request(kube, name, clock=Clock())

    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(ask, names))


def test_concurrent_requests_for_different_nodes_are_kept(server: ApiServer, kube: Kube) -> None:
    names = [f"worker-{number}" for number in range(CROWD)]
    assert at_once(server, names) == [True] * CROWD
    assert set(request_queue.read(kube)) == set(names)


def test_concurrent_requests_for_same_node_are_stored_once(server: ApiServer, kube: Kube) -> None:
    assert at_once(server, ["worker-1"] * CROWD).count(True) == 1
    stored = kube.config_map(NAMESPACE, NAME)
    assert stored is not None and list(stored["data"]) == ["worker-1"]


def test_request_added_during_removals_is_kept(server: ApiServer, kube: Kube) -> None:
    old = [f"old-{number}" for number in range(CROWD)]
    for name in old:
        request_queue.request(kube, name, clock=Clock())

    def remove(name: str) -> None:
        request_queue.change(
            Kube.from_kubeconfig(str(server.admin)),
            lambda requests: {key: requests[key] for key in requests if key != name},
            Clock(),
        )

    with ThreadPoolExecutor(CROWD) as pool:
        removals = [pool.submit(remove, name) for name in old]
        asked = at_once(server, [f"new-{number}" for number in range(CROWD // 2)])
        for removal in removals:
            removal.result(60)
    assert asked == [True] * (CROWD // 2)
    assert set(request_queue.read(kube)) == {f"new-{number}" for number in range(CROWD // 2)}


def test_emptied_queue_accepts_request(kube: Kube) -> None:
    request_queue.request(kube, "worker-1", clock=Clock())
    request_queue.change(kube, lambda requests: {}, Clock())
    assert request_queue.read(kube) == {}
    assert request_queue.request(kube, "worker-1", clock=Clock()) is True
