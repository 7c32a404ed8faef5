"""Tests of an unhealthy node or cluster; a query that fails counts as unhealthy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from metalk8s_expand.cluster import health
from metalk8s_expand.domain.etcd.quorum import Alarm, Member
from metalk8s_expand.domain.node import manifest, roles
from metalk8s_expand.domain.node.spec import Node, Ssh
from metalk8s_expand.errors import DeployError, QuorumError
from tests.fakes.clock import FakeClock
from tests.fakes.etcd_members import FakeEtcd, dead_etcd, voter
from tests.fakes.kube import FakeKube
from tests.fakes.nodes import READY, infra

WORKER = Node("w-1", "1", (roles.NODE,), (), ssh=Ssh("10.0.0.3"), address="10.0.0.3")
ETCD = Node("e-1", "1", (roles.ETCD,), (), ssh=Ssh("10.0.0.2"), address="10.0.0.2")
# Loopback, where no process serves 6443.
MASTER = Node("m-1", "1", (roles.MASTER,), (), ssh=Ssh("127.0.0.1"), address="127.0.0.1")

NOSPACE = Alarm(2, "NOSPACE")


def stored(node: Node) -> dict[str, Any]:
    return {**manifest.manifest(node), "status": READY}


def access(kube: FakeKube, *members: Member) -> health.ClusterAccess:
    return health.ClusterAccess(kube, FakeEtcd(*members))  # type: ignore[arg-type]


def dead(kube: FakeKube) -> health.ClusterAccess:
    return health.ClusterAccess(kube, dead_etcd())  # type: ignore[arg-type]


def alone(kube: FakeKube) -> health.ClusterAccess:
    return health.ClusterAccess(kube, None)


def agent(name: str, on: str, ready: str = "True", **metadata: Any) -> dict[str, Any]:
    """Return a Pod of MetalK8s's agents."""
    labels = {"k8s-app": name}
    return {
        "metadata": {"name": f"{name}-{on}", "namespace": "kube-system", "labels": labels, **metadata},
        "spec": {"nodeName": on},
        "status": {"conditions": [{"type": "Ready", "status": ready, "reason": "why"}]},
    }  # fmt: skip


class TestAgentsOfMetalk8s:
    @pytest.mark.parametrize("name", ["apiserver-proxy", "calico-node"])
    def test_agent_that_is_not_ready_is_a_problem_of_its_node(self, name: str) -> None:
        kube = FakeKube(stored(WORKER))
        for on in ("w-1", "w-2"):
            kube.put_pod(agent(name, on, "False"), on)
        assert health.node_health_problems(alone(kube), WORKER) == [
            f"Pod {name}-w-1 on w-1 is not Ready: False, why"
        ]

    def test_ready_and_replaced_agents_are_no_problem(self) -> None:
        kube = FakeKube(stored(WORKER))
        kube.put_pod(agent("apiserver-proxy", "w-1"), "w-1")
        kube.put_pod(agent("calico-node", "w-1", "False", deletionTimestamp="now"), "w-1")
        kube.put_pod(agent("something", "w-1", "False"), "w-1")
        assert health.node_health_problems(alone(kube), WORKER) == []

    def test_agents_of_all_nodes_cost_one_request(self) -> None:
        kube = FakeKube()
        for on in ("w-1", "w-2", "w-3"):
            kube.put_pod(agent("calico-node", on, "False"), on)
        requests: list[str] = []
        kube.fail = requests.append
        problems = health.agent_problems(alone(kube), ["w-1", "w-2"])
        assert [problem.split()[1] for problem in problems] == [
            "calico-node-w-1",
            "calico-node-w-2",
        ]
        assert len(requests) == 1


class TestNode:
    def test_worker_needs_no_etcd(self) -> None:
        assert health.node_health_problems(alone(FakeKube(stored(WORKER))), WORKER) == []

    def test_missing_node_is_a_problem(self) -> None:
        assert health.node_health_problems(alone(FakeKube()), WORKER) == [
            "Node w-1 is not registered"
        ]

    def test_given_observation_avoids_request(self) -> None:
        assert health.node_health_problems(alone(FakeKube()), WORKER, observed=stored(WORKER)) == []

    def test_healthy_member_has_no_problem(self) -> None:
        kube = FakeKube(stored(ETCD))
        kube.put_static_pods("e-1", "etcd")
        assert (
            health.node_health_problems(
                access(kube, voter(1, name="boot"), voter(2, name="e-1")), ETCD
            )
            == []
        )

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda kube: access(kube, voter(1, name="boot")), "no started member named e-1"),
            (
                lambda kube: access(
                    kube, voter(1, name="boot"), voter(2, name="e-1", learner=True)
                ),
                "still a learner",
            ),
            (
                lambda kube: access(
                    kube, voter(1, name="boot"), voter(2, name="e-1", healthy=None)
                ),
                "unknown health",
            ),
            (dead, "no etcd member answers"),
            (alone, "etcd has no reachable member"),
        ],
    )
    def test_unhealthy_member_is_a_problem(
        self, make: Callable[[FakeKube], health.ClusterAccess], words: str
    ) -> None:
        kube = FakeKube(stored(ETCD))
        kube.put_static_pods("e-1", "etcd")
        [problem] = health.node_health_problems(make(kube), ETCD)
        assert words in problem

    def test_given_members_are_not_requested_again(self) -> None:
        kube = FakeKube(stored(ETCD))
        kube.put_static_pods("e-1", "etcd")
        assert (
            health.node_health_problems(
                dead(kube), ETCD, members=[voter(1, name="boot"), voter(2, name="e-1")]
            )
            == []
        )

    def test_alarm_is_a_problem_unless_the_caller_gives_the_members(self) -> None:
        kube = FakeKube(stored(ETCD))
        kube.put_static_pods("e-1", "etcd")
        members = [voter(2, name="e-1", alarms=(NOSPACE,))]
        [problem] = health.node_health_problems(access(kube, *members), ETCD)
        assert "alarm NOSPACE of member e-1 (2)" in problem
        assert health.node_health_problems(access(kube, *members), ETCD, members) == []

    def test_missing_static_pod_is_a_problem(self) -> None:
        problems = health.node_health_problems(
            access(FakeKube(stored(ETCD)), voter(2, name="e-1")), ETCD
        )
        assert problems == ["Pod kube-system/etcd-e-1 does not exist"]

    def test_api_server_of_master_is_queried(self, tmp_path: Any) -> None:
        kube = FakeKube(stored(MASTER))
        kube.put_static_pods("m-1", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
        kube.put_slice("default", "kubernetes", {"endpoints": [{"addresses": ["127.0.0.1"]}]})
        found = health.ClusterAccess(kube, None, str(tmp_path / "missing"))
        [problem] = health.node_health_problems(found, MASTER)
        assert problem.startswith("the API server at 127.0.0.1:6443 does not answer")

    def test_master_must_be_an_endpoint(self, tmp_path: Any) -> None:
        kube = FakeKube(stored(MASTER))
        kube.put_slice("default", "kubernetes", {"endpoints": [{"addresses": ["10.0.0.1"]}]})
        kube.put_slice("default", "kubernetes", {"endpoints": None})
        found = health.ClusterAccess(kube, None, str(tmp_path / "missing"))
        assert any(
            "lack 127.0.0.1" in problem for problem in health.node_health_problems(found, MASTER)
        )


class TestRunning:
    def test_running_components_do_not_depend_on_declaration(self) -> None:
        """The declaration lacks the bootstrap node, and no SSH connection reaches it."""
        found = stored(ETCD)
        found["metadata"]["annotations"] = {}
        found["metadata"]["labels"]["metalk8s.scality.com/version"] = "0.1"
        kube = FakeKube(found)
        kube.put_static_pods("e-1", "etcd")
        assert (
            health.running_problems(
                access(kube, voter(1, name="boot"), voter(2, name="e-1")), "e-1"
            )
            == []
        )
        assert (
            "no started member named e-1"
            in health.running_problems(access(kube, voter(1, name="boot")), "e-1")[0]
        )

    def test_missing_static_pod_is_a_problem(self, clock: FakeClock) -> None:
        found = access(FakeKube(stored(ETCD)), voter(2, name="e-1"))
        with pytest.raises(
            DeployError, match="node to become healthy\n  - Pod kube-system/etcd-e-1 does not exist"
        ):
            health.wait_until_running(found, "e-1", 5, clock)

    def test_missing_node_is_a_problem(self) -> None:
        assert health.running_problems(alone(FakeKube()), "w-1") == ["Node w-1 is not registered"]

    def test_node_that_is_not_ready_is_a_problem(self) -> None:
        found = stored(WORKER)
        found["status"] = {"conditions": []}
        assert "not Ready" in health.running_problems(alone(FakeKube(found)), "w-1")[0]


class TestCluster:
    def test_healthy_cluster_has_no_problem(self) -> None:
        assert (
            health.cluster_health_problems(
                access(FakeKube(), voter(1, name="a"), voter(2, name="b"))
            )
            == []
        )

    def test_unhealthy_api_is_a_problem(self) -> None:
        kube = FakeKube()
        kube.readyz = (500, "[-]etcd failed")
        assert health.cluster_health_problems(access(kube, voter(1, name="a"))) == [
            "the API answers /readyz with 500: [-]etcd failed"
        ]

    def test_alarm_prevents_every_run(self) -> None:
        health.ensure_no_alarm(access(FakeKube(), voter(1, name="a")))
        health.ensure_no_alarm(dead(FakeKube()))
        with pytest.raises(QuorumError, match="etcdctl alarm disarm"):
            health.ensure_no_alarm(access(FakeKube(), voter(1, name="a", alarms=(NOSPACE,))))

    @pytest.mark.parametrize(
        ("make", "words"),
        [(alone, "no Node has the etcd role"), (dead, "no etcd member answers")],
    )
    def test_cluster_without_answers_is_a_problem(
        self, make: Callable[[FakeKube], health.ClusterAccess], words: str
    ) -> None:
        [problem] = health.cluster_health_problems(make(FakeKube()))
        assert words in problem

    @pytest.mark.parametrize(
        ("ill", "words"),
        [
            (voter(2, name="b", healthy=False, error="no leader"), ["is unhealthy: no leader"]),
            (voter(2, name="b", healthy=None), ["of unknown health: no answer"]),
            (voter(2, name="b", learner=True), ["still a learner"]),
            (
                voter(2, name="", learner=True, healthy=None, error="not started"),
                ["still a learner", "not started"],
            ),
            (voter(2, name="b", cluster_id=8), ["different cluster IDs"]),
            (voter(2, name="b", alarms=(NOSPACE,)), ["alarm NOSPACE of member b (2)"]),
        ],
    )
    def test_unhealthy_member_is_a_problem(self, ill: Member, words: list[str]) -> None:
        problems = health.cluster_health_problems(access(FakeKube(), voter(1, name="a"), ill))
        assert len(problems) == len(words)
        assert all(word in problem for word, problem in zip(words, problems, strict=True))


@pytest.mark.parametrize(
    ("hosts", "replicas", "available", "well"),
    [
        ([infra("a"), infra("b")], 2, 2, True),
        ([infra("a"), infra("b")], 2, 1, False),
        ([infra("a")], 2, 1, True),
        ([infra("a"), infra("b", cordoned=True)], 2, 1, True),
        ([infra("a"), infra("b"), infra("c")], 2, 2, True),
        ([infra("a")], 2, None, False),
    ],
)
def test_addons_run_on_enough_nodes(
    hosts: list[dict[str, Any]], replicas: int, available: int | None, well: bool
) -> None:
    kube = FakeKube(*hosts)
    kube.coredns = {
        "metadata": {"name": "coredns"},
        "spec": {"replicas": replicas},
        "status": {"availableReplicas": available},
    }
    assert (health.addon_problems(alone(kube)) == []) is well


def test_replicas_that_share_a_node_are_healthy() -> None:
    kube = FakeKube(infra("a"), infra("b"))
    kube.coredns = {
        "metadata": {"name": "coredns"},
        "spec": {"replicas": 2},
        "status": {"availableReplicas": 2},
    }
    for name in ("coredns-1", "coredns-2"):
        metadata = {"name": name, "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}
        kube.put_pod({"metadata": metadata, "status": READY}, "a")
    assert health.addon_problems(alone(kube)) == []


def test_missing_addons_are_a_problem() -> None:
    assert health.addon_problems(alone(FakeKube(infra("a"))))


def test_wait_ends_with_remaining_problems(clock: FakeClock) -> None:
    with pytest.raises(DeployError, match="Node w-1 is not registered") as error:
        health.wait_until_healthy(alone(FakeKube()), WORKER, 30, clock)
    assert error.value.node == "w-1"
    assert error.value.log == health.LOG
    assert health.wait_until_healthy(alone(FakeKube(stored(WORKER))), WORKER, 30, clock) == 0


def test_wait_ends_at_once_with_a_renewal_since_the_deployment(clock: FakeClock) -> None:
    kube = FakeKube(stored(WORKER))
    kube.put_lease("w-1", "2026-01-01T00:00:00.000000Z")
    kube.dead_kubelets.add("w-1")
    for renewed in ("", "2025-12-31T23:59:50.000000Z"):
        assert health.wait_until_healthy(alone(kube), WORKER, 30, clock, renewed) == 0


def test_wait_needs_a_renewal_of_the_lease(clock: FakeClock) -> None:
    kube = FakeKube(stored(WORKER))
    kube.put_lease("w-1", "2026-01-01T00:00:00.000000Z")
    kube.dead_kubelets.add("w-1")
    for wait in (
        lambda: health.wait_until_healthy(alone(kube), WORKER, 30, clock),
        lambda: health.wait_until_running(alone(kube), "w-1", 30, clock),
    ):
        with pytest.raises(DeployError) as error:
            wait()
        assert error.value.problems == (
            "Node w-1 is not Ready: its kubelet does not renew its Lease in kube-node-lease, last at"
            " 2026-01-01T00:00:00.000000Z",
        )


class TestAccess:
    def test_etcd_client_uses_every_node_of_role_with_address(self) -> None:
        def item(name: str, label: str, *addresses: tuple[str, str]) -> dict[str, Any]:
            entries = [{"type": kind, "address": address} for kind, address in addresses]
            return {
                "metadata": {"name": name, "labels": {label: ""}},
                "status": {"addresses": entries},
            }

        label = "node-role.kubernetes.io/etcd"
        nodes = [
            item("a", label, ("Hostname", "a"), ("InternalIP", "10.0.0.1")),
            item("b", label),
            item("c", "node-role.kubernetes.io/node", ("InternalIP", "10.0.0.3")),
            item("d", label, ("InternalIP", "10.0.0.4")),
        ]
        found = health.cluster_access(FakeKube(), nodes)
        assert found.etcd is not None
        assert found.etcd.urls == ("https://10.0.0.1:2379", "https://10.0.0.4:2379")

    @pytest.mark.parametrize("nodes", [[], [{}], [{"metadata": {"labels": None}, "status": None}]])
    def test_cluster_without_members_has_no_etcd_client(self, nodes: list[dict[str, Any]]) -> None:
        assert health.cluster_access(FakeKube(), nodes).etcd is None
