"""Expand a cluster whose nodes MetalK8s's deployment deploys, in a separate lab.

The tree has the interface of MetalK8s 134: its ``deploy_node`` cordons, drains, adds a voting etcd
member through an inner orchestration, applies the highstate, and uncordons.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.hosts import ENVIRONMENT, ETCDCTL, get, is_true, lab, names, on, runner

NAME = "metalk8s-134"
ADDED = ["cp-1", "infra-1"]
# The states of MetalK8s's deployment, in their order, that decide about the cluster.
STEPS = (
    "Deploy salt-minion on a new node",
    "Accept key",
    "Refresh the mine",
    "Cordon the node",
    "Drain the node",
    "Reconfigure salt-minion",
    "Install etcd node",
    "Register the node into etcd cluster",
    "Run the highstate",
    "Uncordon the node",
    "Kill kube-controller-manager on all master nodes",
)


@pytest.fixture(scope="module", autouse=True)
def theirs() -> Iterator[None]:
    """Create a lab with that tree: a bootstrap node and three declared hosts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENVIRONMENT, "METALK8S_LAB_NAME", NAME)
        patch.setitem(ENVIRONMENT, "LAB_TREE", "134")
        as_it_is = os.environ.get("LAB_AS_IT_IS")
        if not as_it_is:
            lab("destroy")
            lab("up", "--nodes", "3", timeout=3600)
        yield
        if not (as_it_is or os.environ.get("KEEP_LAB")):
            lab("destroy")


def members() -> list[dict[str, Any]]:
    """Return the members of etcd."""
    asked = on("bootstrap", *ETCDCTL.split(), "member", "list", "--write-out=json").stdout
    return list(json.loads(asked)["members"])


def test_expand_calls_their_deployment_and_verifies_nodes() -> None:
    """Add a control-plane node and an infra node."""
    code, report, done = runner("expand", f"nodes={','.join(ADDED)}", timeout=1800)
    assert code == 0, json.dumps(report, indent=1)[-6000:] + done.stderr[-3000:]
    nodes = get("nodes")["items"]
    assert names(nodes) == ["bootstrap", *ADDED]
    assert all(is_true(node, "Ready") for node in nodes)
    assert not any(node["spec"].get("unschedulable") for node in nodes)
    found = members()
    assert sorted(member["name"] for member in found) == ["bootstrap", "cp-1"]
    assert not any(member.get("isLearner") for member in found)
    text = json.dumps(report)
    places = [text.find(f'{step}"') for step in STEPS]
    assert -1 not in places, dict(zip(STEPS, places, strict=True))


def test_member_is_configured_by_flags_of_its_pod() -> None:
    flags = on("cp-1", "grep", "initial-cluster", "/etc/kubernetes/manifests/etcd.yaml").stdout
    assert (
        "--initial-cluster=bootstrap=https://10.200.0.10:2380,cp-1=https://10.200.0.11:2380"
        in flags
    )
    assert on("cp-1", "test", "-e", "/etc/kubernetes/etcd/etcd.yaml", check=False).returncode != 0


def test_second_expand_and_plan_find_nothing_to_do() -> None:
    code, report, _ = runner("expand", f"nodes={','.join(ADDED)}")
    assert (code, report["unchanged"]) == (0, True), report
    code, found, _ = runner("health", f"nodes={','.join(ADDED)}")
    assert code == 0, found


def test_minion_that_is_down_is_named_before_anything_starts() -> None:
    """Their deployment updates the mine of every minion, so one that is down makes it fail."""
    on("infra-1", "systemctl", "stop", "salt-minion")
    try:
        code, result, _ = runner("add_node", "cp-2", timeout=900)
        assert code != 0
        assert "infra-1" in json.dumps(result)
        assert "cp-2" not in names(get("nodes"))
    finally:
        on("infra-1", "systemctl", "start", "salt-minion")


def test_control_plane_node_is_removed() -> None:
    """Remove a member that their deployment has added."""
    code, report, done = runner("remove_node", "cp-1", timeout=1800)
    assert code == 0, json.dumps(report, indent=1)[-5000:] + done.stderr[-3000:]
    assert names(get("nodes")) == ["bootstrap", "infra-1"]
    assert [member["name"] for member in members()] == ["bootstrap"]
