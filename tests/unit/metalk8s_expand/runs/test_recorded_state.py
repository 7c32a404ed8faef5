"""The state of the cluster that a report records."""

from __future__ import annotations

from metalk8s_expand.runs.recorded_state import read_state
from tests.fakes.cluster import FakeCluster
from tests.fakes.etcd_members import dead_etcd
from tests.fakes.kube import DOWN, FakeKube
from tests.fakes.runner import node


def test_state_is_read_from_the_api_and_etcd() -> None:
    state = read_state(FakeCluster({}, FakeKube(node("w-1"))))
    assert state is not None
    assert [item["name"] for item in state["nodes"]] == ["w-1"]
    assert [item["name"] for item in state["etcd"]] == ["boot"]


def test_state_without_etcd_or_api_fails_no_run() -> None:
    state = read_state(FakeCluster({}, FakeKube(node("w-1")), etcd=dead_etcd()))
    assert state is not None
    assert state["etcd"] is None
    kube = FakeKube(node("w-1"))

    def down(request: str) -> None:
        raise DOWN

    kube.fail = down
    assert read_state(FakeCluster({}, kube)) is None
