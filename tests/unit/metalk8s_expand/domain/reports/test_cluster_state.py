"""The state of the cluster in a report."""

from __future__ import annotations

from metalk8s_expand.domain.reports.cluster_state import cluster_state
from tests.fakes.etcd_members import voter
from tests.fakes.nodes import infra
from tests.fakes.runner import node


def test_state_has_roles_taints_and_members() -> None:
    cordoned = node("w-1", deployed=False)
    taints = [
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
        {"key": "gpu\x1b", "effect": "NoExecute"},
    ]
    cordoned["spec"] = {"unschedulable": True, "taints": taints}
    found = cluster_state([cordoned, node("i-1")], [voter(1, name="boot", leads=True, db_size=5)])
    assert found == {
        "nodes": [
            {
                "name": "i-1", "roles": ["infra"], "state": "ready", "cordoned": False,
                "taints": ["node-role.kubernetes.io/infra:NoSchedule"],
            },
            {
                "name": "w-1", "roles": ["node"], "state": "not deployed", "cordoned": True,
                "taints": ["gpu\\x1b:NoExecute"],
            },
        ],
        "etcd": [{"name": "boot", "learner": False, "healthy": True, "leads": True, "db_size": 5}],
    }  # fmt: skip


def test_state_of_an_unready_node_and_silent_etcd() -> None:
    ill = infra("i-2")
    ill["status"] = {
        "nodeInfo": {"kubeletVersion": "v1"},
        "conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}],
    }
    found = cluster_state([ill], None)
    assert (found["nodes"][0]["state"], found["etcd"]) == ("not ready", None)
