"""Tests of the data of orchestrations: the minion of a node, and the order of a renewal."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from metalk8s_expand.cluster import node_pillar, orchestration_data
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.errors import SettingsError
from tests.fakes.kube import FakeKube
from tests.fakes.minions import FakeMinions
from tests.fakes.nodes import READY


def node(name: str, *node_roles: str, deployed: bool = True) -> dict[str, Any]:
    labels = dict.fromkeys(roles.label_keys(node_roles), "")
    status = {**READY, "nodeInfo": {"kubeletVersion": "v1"}} if deployed else {}
    return {"metadata": {"name": name, "labels": labels}, "status": status}


NODES = (
    node("a-cp", roles.MASTER, roles.ETCD),
    node("b-etcd", roles.ETCD),
    node("z-boot", roles.BOOTSTRAP, roles.MASTER, roles.ETCD, roles.INFRA),
    node("w-2", roles.NODE),
    node("i-1", roles.INFRA),
    node("w-3", roles.NODE, deployed=False),
)


def world(*nodes: dict[str, Any]) -> ClusterContext:
    return ClusterContext({}, FakeKube(*nodes))


@pytest.fixture(autouse=True)
def minions(monkeypatch: pytest.MonkeyPatch) -> FakeMinions:
    """The minions of the master, which answer unless a test changes that."""
    found = FakeMinions(every=lambda name: True)
    monkeypatch.setattr(orchestration_data, "Minions", lambda opts: found)
    return found


def test_minions_that_are_down_are_named_and_stop_no_other_renewal(minions: FakeMinions) -> None:
    down = ("a-cp", "i-1")
    minions.every = lambda name: name not in down or "Minion did not return. [No response]"
    found = orchestration_data.renewal(world(*NODES))
    assert (found["control_plane"], found["others"]) == (["z-boot", "b-etcd"], ["w-2"])
    assert found["absent"] == ["a-cp", "i-1"]
    assert len(minions.asked) == 1, "one job, whatever the number of minions"


def test_deployment_has_the_last_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = Node("w-2", "2.0", (roles.NODE,), (), address="10.0.0.4")
    monkeypatch.setattr(ClusterContext, "node", lambda self, name: declared)
    found = FakeKube(*NODES)
    found.dead_kubelets.add("w-2")
    cluster = ClusterContext({}, found)
    assert orchestration_data.deployment(cluster, "w-2", {})["heartbeat"] == ""
    found.put_lease("w-2", "2026-01-01T00:00:00.000000Z")
    data = orchestration_data.deployment(cluster, "w-2", {})
    assert data["heartbeat"] == "2026-01-01T00:00:00.000000Z"


def test_authority_is_renewed_first() -> None:
    assert orchestration_data.renewal(world(*NODES)) == {
        "ca_server": "z-boot", "control_plane": ["z-boot", "a-cp", "b-etcd"], "others": ["i-1", "w-2"],
        "absent": [],
    }  # fmt: skip


def test_renewal_of_single_node() -> None:
    found = world(*NODES)
    assert orchestration_data.renewal(found, "w-2") == {
        "ca_server": "z-boot",
        "control_plane": [],
        "others": ["w-2"],
        "absent": [],
    }
    assert orchestration_data.renewal(found, "a-cp")["control_plane"] == ["a-cp"]


@pytest.mark.parametrize("name", ["w-3", "w-9"])
def test_renewal_of_undeployed_node_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="no deployed Node"):
        orchestration_data.renewal(world(*NODES), name)


def test_renewal_without_authority_is_refused() -> None:
    with pytest.raises(SettingsError, match="no CA can sign"):
        orchestration_data.renewal(world(*NODES[:2]))


class TestMinion:
    """The archive and the options of a node's minion."""

    DESCRIBED: ClassVar[dict[str, Any]] = {
        "bootstrap": {"address": "10.0.0.1"},
        "artifacts": {
            "url": "http://10.0.0.1:8080",
            "sha256": {"salt-minion.tar": "ab", "node.tar": "cd"},
        },
    }

    def minion(self, monkeypatch: pytest.MonkeyPatch, described: Any) -> dict[str, Any]:
        declared = Node("w-2", "2.0", (roles.NODE,), (), address="10.0.0.4")
        monkeypatch.setattr(ClusterContext, "node", lambda self, name: declared)
        monkeypatch.setattr(node_pillar, "own_hosts", lambda described: ["10.0.0.1"])
        found: dict[str, Any] = orchestration_data.deployment(world(*NODES), "w-2", described)
        assert found["ca_server"] == "z-boot"
        return dict(found["minion"])

    def test_archive_and_options(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = self.minion(monkeypatch, self.DESCRIBED)
        assert found["archive"] == {
            "url": "http://10.0.0.1:8080/salt-minion.tar",
            "sha256": "ab",
        }
        options = found["configuration"]
        assert (options["id"], options["master"]) == ("w-2", "10.0.0.1")
        assert options["no_proxy"] == ["10.0.0.1"]
        assert options["features"] == {"x509_v2": True}
        assert "ipv6" not in options

    def test_master_with_an_ipv6_address(self, monkeypatch: pytest.MonkeyPatch) -> None:
        described = {**self.DESCRIBED, "bootstrap": {"address": "FD00:0::1"}}
        options = self.minion(monkeypatch, described)["configuration"]
        assert (options["master"], options["ipv6"]) == ("fd00::1", True)

    def test_cluster_without_artifacts_has_no_minion(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.minion(monkeypatch, {}) == {}
