"""Health of a node: an absent or unknown value is a problem."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.node import health, manifest
from metalk8s_expand.domain.node.roles import PROFILES
from metalk8s_expand.domain.node.spec import Node, Ssh


def node(profile: str = "control-plane") -> Node:
    chosen = PROFILES[profile]
    return Node("n-1", "1", chosen.roles, chosen.taints, ssh=Ssh("10.0.0.1"))


def with_ready(body: dict[str, Any], status: str | None = "True") -> dict[str, Any]:
    ready = {"type": "Ready", "status": status, "reason": "R", "message": "M"}
    return {
        **body,
        "status": {"conditions": [{"type": "Other", "status": "False"}, ready] if status else []},
    }


def pod(name: str, status: str | None = "True", namespace: str = "kube-system") -> dict[str, Any]:
    return with_ready({"metadata": {"name": name, "namespace": namespace}}, status)


def member(**changes: Any) -> Member:
    return Member(
        **{
            "id": 1,
            "name": "n-1",
            "healthy": True,
            "cluster_id": 7,
            "raft_index": 9,
            "applied_index": 9,
            **changes,
        }
    )


def test_healthy_node_has_no_problems() -> None:
    assert health.node_problems(node(), with_ready(manifest.manifest(node()))) == []


@pytest.mark.parametrize(
    ("status", "words"),
    [("False", "False, R: M"), ("Unknown", "Unknown, R: M"), (None, "never reported")],
)
def test_unready_node_is_reported_with_reason(status: str | None, words: str) -> None:
    [problem] = health.node_problems(node(), with_ready(manifest.manifest(node()), status))
    assert words in problem


def test_missing_labels_and_taints_are_problems_annotations_are_not() -> None:
    observed = with_ready(manifest.manifest(node()))
    observed["metadata"]["annotations"] = {}
    assert health.node_problems(node(), observed) == []
    del observed["metadata"]["labels"]["node-role.kubernetes.io/etcd"]
    observed["spec"]["taints"].pop()
    assert len(health.node_problems(node(), observed)) == 2


def test_absent_node_is_a_problem() -> None:
    assert health.node_problems(node(), None) == ["Node n-1 is not registered"]
    assert health.ready_problems({"status": None, "metadata": None})


@pytest.mark.parametrize(("spec", "count"), [({"unschedulable": True}, 1), ({}, 0), (None, 0)])
def test_cordoned_node_is_a_problem(spec: Any, count: int) -> None:
    assert len(health.cordon_problems({"metadata": {"name": "n"}, "spec": spec})) == count


ALL = ["kube-apiserver-n-1", "kube-controller-manager-n-1", "kube-scheduler-n-1", "etcd-n-1"]


@pytest.mark.parametrize(
    ("profile", "pods", "count"),
    [
        ("worker", [], 0),
        ("control-plane", [pod(name) for name in ALL], 0),
        ("control-plane", [pod(name) for name in ALL[:3]], 1),
        ("control-plane", [*[pod(name) for name in ALL[:3]], pod("etcd-n-1", "False")], 1),
        (
            "control-plane",
            [*[pod(name) for name in ALL[:3]], pod("etcd-n-1", namespace="other")],
            1,
        ),
        ("control-plane", [*[pod(name) for name in ALL[:3]], pod("etcd-n-10")], 1),
        ("control-plane", [], 4),
    ],
)
def test_missing_or_unready_static_pods_are_problems(
    profile: str, pods: list[dict[str, Any]], count: int
) -> None:
    assert len(health.static_pod_problems(node(profile), pods)) == count


@pytest.mark.parametrize(
    ("deployment", "count"),
    [
        (None, 1),
        (
            {
                "metadata": {"name": "coredns"},
                "spec": {"replicas": 2},
                "status": {"availableReplicas": 2},
            },
            0,
        ),
        (
            {
                "metadata": {"name": "coredns"},
                "spec": {"replicas": 2},
                "status": {"availableReplicas": 1},
            },
            1,
        ),
        ({"metadata": {"name": "coredns"}, "spec": {"replicas": 0}, "status": {}}, 1),
        ({}, 1),
    ],
)
def test_deployment_with_unavailable_replicas_is_a_problem(deployment: Any, count: int) -> None:
    assert len(health.deployment_problems(deployment)) == count


SLICE = {"metadata": {"name": "kubernetes"}, "endpoints": [
    {"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"], "conditions": {"ready": None}}, {"addresses": ["10.0.0.3"], "conditions": {"ready": False}},
]}  # fmt: skip


@pytest.mark.parametrize(
    ("endpoints", "missing"),
    [
        (SLICE, 1),
        ({"items": [SLICE, {"endpoints": [{"addresses": ["10.0.0.3"]}]}]}, 0),
        (
            {
                "subsets": [
                    {"addresses": [{"ip": "10.0.0.1"}], "notReadyAddresses": [{"ip": "10.0.0.2"}]}
                ]
            },
            2,
        ),
        ({"subsets": None}, 3),
        (None, 3),
    ],
)
def test_addresses_missing_in_endpoints_are_problems(endpoints: Any, missing: int) -> None:
    assert len(health.endpoint_problems(["10.0.0.1", "10.0.0.2", "10.0.0.3"], endpoints)) == missing


@pytest.mark.parametrize(
    ("profile", "members", "count"),
    [
        ("worker", [], 0),
        ("control-plane", [member()], 0),
        ("control-plane", [], 1),
        ("control-plane", [member(name="other")], 1),
        ("control-plane", [member(name="other"), member(learner=True)], 1),
        ("control-plane", [member(healthy=None)], 1),
        ("control-plane", [member(), member(name="x", cluster_id=8)], 1),
        ("control-plane", [member(), member(name="x", raft_index=5000)], 1),
    ],
)
def test_unready_member_of_etcd_node_is_a_problem(
    profile: str, members: list[Member], count: int
) -> None:
    assert len(health.member_problems(node(profile), members)) == count
