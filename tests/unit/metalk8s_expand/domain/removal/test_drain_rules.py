"""A drain evicts the right Pods, and some of them only with the operator's consent."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain.removal import drain_rules
from metalk8s_expand.domain.removal.drain_rules import Allowed
from tests.fakes.pods import CLAIM, EMPTY, pod

EPHEMERAL = {"name": "tmp", "ephemeral": {"volumeClaimTemplate": {}}}
HOST_PATH = {"name": "host", "hostPath": {"path": "/var/log"}}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (pod(), ""),
        (pod("p", ""), "delete_bare_pods"),
        (pod("p", "ReplicaSet", EMPTY), "scratch: delete_emptydir_data"),
        (pod("p", "ReplicaSet", CLAIM), "data on a disk of this node: delete_local_volumes"),
        (pod("p", "ReplicaSet", EPHEMERAL), "p-tmp on a disk"),
        (pod("p", "ReplicaSet", HOST_PATH), ""),
        (pod("p", "DaemonSet", EMPTY, CLAIM), ""),
        (pod("p", "", EMPTY, metadata={"annotations": {drain_rules.MIRROR: "x"}}), ""),
        (pod("p", "", EMPTY, phase="Succeeded"), ""),
        (pod("p", "", EMPTY, phase="Failed"), ""),
    ],
)
def test_obstacle_names_pod_and_option_that_allows_it(found: dict[str, Any], words: str) -> None:
    problems = drain_rules.obstacles([found], Allowed(), {("ns", "data"), ("ns", "p-tmp")})
    assert len(problems) == bool(words)
    assert all(words in problem and "ns/p" in problem for problem in problems)
    assert (
        drain_rules.obstacles([found], Allowed(True, True, True), {("ns", "data"), ("ns", "p-tmp")})
        == []
    )


def test_claim_on_other_node_is_no_obstacle() -> None:
    assert (
        drain_rules.obstacles([pod("p", "ReplicaSet", CLAIM)], Allowed(), {("other", "data")}) == []
    )


def test_obstacles_of_all_pods_are_returned_together() -> None:
    assert len(drain_rules.obstacles([pod("a", ""), pod("b", "", EMPTY)], Allowed())) == 3


def test_drain_leaves_out_static_and_daemonset_pods() -> None:
    mirror = pod("mirror", "Node", metadata={"annotations": {drain_rules.MIRROR: "x"}})
    pods = [pod("a"), pod("ds", "DaemonSet"), mirror, pod("done", "DaemonSet", phase="Failed")]
    assert [drain_rules.title(item) for item in drain_rules.leaving(pods)] == ["ns/a", "ns/done"]


def test_local_and_host_path_volumes_are_local() -> None:
    assert drain_rules.is_local({"spec": {"local": {"path": "/x"}}})
    assert drain_rules.is_local({"spec": {"hostPath": {"path": "/x"}}})
    assert not drain_rules.is_local({"spec": {"csi": {"driver": "d"}}})


def test_pod_with_deletion_timestamp_is_terminating() -> None:
    assert drain_rules.is_terminating(pod(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}))
    assert not drain_rules.is_terminating(pod())
    assert drain_rules.identity(pod()) == "uid-p"
