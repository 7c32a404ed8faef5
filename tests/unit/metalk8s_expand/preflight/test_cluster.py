"""Tests that an unhealthy, busy or differently versioned cluster is refused, unless the run may
repair it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from metalk8s_expand.clients.salt import running_jobs
from metalk8s_expand.clients.salt.running_jobs import Runner
from metalk8s_expand.cluster import health
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.errors import (
    ConflictError,
    ExpandError,
    LockedError,
    QuorumError,
    SettingsError,
    UnreachableError,
)
from metalk8s_expand.preflight import cluster as cluster_check
from tests.fakes.cluster import FakeCluster
from tests.fakes.etcd_members import FakeEtcd, dead_etcd, voter
from tests.fakes.kube import FakeKube

ROLE = "node-role.kubernetes.io/"
VERSION = "metalk8s.scality.com/version"
WORKER = Node("w-1", "2.0", ("node",), (), address="10.0.0.9")
FIFTH = Node("e-5", "2.0", ("etcd",), (), address="10.0.0.5")
SIXTH = replace(FIFTH, name="e-6", address="10.0.0.6")
SETTINGS = Settings(nodes={node.name: node for node in (WORKER, FIFTH, SIXTH)})
ILL: dict[str, Any] = {"healthy": False, "error": "no answer"}


def control_plane(name: str, version: str, role: str = "master") -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {f"{ROLE}{role}": "", VERSION: version}}}


def cluster(
    *members: Member, nodes: Sequence[dict[str, Any]] = (), readyz: tuple[int, str] = (200, "ok")
) -> FakeCluster:
    kube = FakeKube(*(nodes or [control_plane("boot", "2.0", "bootstrap")]))
    kube.readyz = readyz
    etcd = FakeEtcd(*(members or [voter(1, name="boot")]))
    return FakeCluster({"cachedir": "/nonexistent"}, kube, etcd)


@pytest.fixture(autouse=True)
def others(monkeypatch: pytest.MonkeyPatch) -> list[Runner]:
    """The operations that run on the master: none yet."""
    found: list[Runner] = []
    monkeypatch.setattr(running_jobs, "running", lambda opts: found)
    return found


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """The content of the master's file server."""
    found = {
        ("metalk8s.orchestrate.deploy_node", f"metalk8s-{version}")
        for version in ("1", "2.0", "2.1")
    }

    class Files:
        def __init__(self, opts: Any) -> None:
            pass

        def has(self, sls: str, saltenv: str) -> bool:
            return (sls, saltenv) in found

        def saltenvs(self) -> list[str]:
            return sorted({saltenv for _, saltenv in found})

    monkeypatch.setattr(cluster_check, "FileServer", Files)
    return found


def refusal(
    world: ClusterContext, *nodes: Node, settings: Settings = SETTINGS
) -> ExpandError | None:
    return cluster_check.cluster_error(world, settings, nodes)


def test_healthy_cluster_is_accepted() -> None:
    assert refusal(cluster(), WORKER, FIFTH) is None
    assert (
        refusal(cluster(*(voter(number, name=f"e-{number}") for number in (1, 2, 3))), FIFTH, SIXTH)
        is None
    )


class TestHealth:
    def test_api_that_is_not_ready_is_refused(self) -> None:
        error = refusal(cluster(readyz=(500, "etcd failed")), WORKER)
        assert isinstance(error, QuorumError)
        assert error.problems == ("the API answers /readyz with 500: etcd failed",)
        assert error.hint
        assert error.log

    def test_cluster_without_etcd_is_refused(self) -> None:
        world = replace(cluster(), etcd=None)
        assert "no Node has the etcd role" in str(refusal(world, WORKER))

    def test_etcd_without_answer_is_refused(self) -> None:
        error = refusal(replace(cluster(), etcd=dead_etcd()), WORKER)
        assert isinstance(error, QuorumError)
        assert error.problems == ("no etcd member answers",)

    @pytest.mark.parametrize(
        ("voters", "healthy", "allowed"),
        [(1, 1, True), (2, 2, True), (3, 3, True), (3, 2, False), (5, 4, True), (5, 3, False)],
    )
    def test_member_is_added_as_guard_allows(
        self, voters: int, healthy: int, allowed: bool
    ) -> None:
        members = [
            voter(10 + number, name=f"m-{number}", **({} if number < healthy else ILL))
            for number in range(voters)
        ]
        error = refusal(cluster(*members), FIFTH)
        assert (error is None) is allowed
        assert allowed or "e-5" in str(error)

    @pytest.mark.parametrize(
        ("voters", "healthy", "allowed"), [(3, 2, True), (3, 1, False), (1, 0, False)]
    )
    def test_worker_needs_only_a_quorum(self, voters: int, healthy: int, allowed: bool) -> None:
        members = [
            voter(10 + number, name=f"m-{number}", **({} if number < healthy else ILL))
            for number in range(voters)
        ]
        error = refusal(cluster(*members), WORKER)
        assert (error is None) is allowed
        assert allowed or "no quorum" in str(error)

    def test_member_that_lost_its_data_may_be_repaired(self) -> None:
        members = [voter(1, name="boot"), voter(2, name="e-2"), voter(5, name="e-5", **ILL)]
        assert refusal(cluster(*members), FIFTH) is None

    def test_learner_of_interrupted_run_is_accepted(self) -> None:
        learner = voter(6, name="", learner=True, healthy=None)
        assert refusal(cluster(voter(1, name="boot"), learner), FIFTH) is None
        assert refusal(cluster(voter(1, name="boot"), learner), WORKER) is None

    def test_voter_that_never_started_is_accepted_for_its_own_node(self) -> None:
        """MetalK8s adds voters, and an interrupted run leaves one without a name."""
        unstarted = voter(5, name="", healthy=None)
        assert refusal(cluster(voter(1, name="boot"), unstarted), FIFTH) is None
        refused = refusal(cluster(voter(1, name="boot"), unstarted), WORKER)
        assert "has never started" in str(refused)

    @pytest.mark.parametrize("node", [WORKER, FIFTH])
    def test_foreign_learner_is_refused(self, node: Node) -> None:
        assert isinstance(
            refusal(cluster(voter(1, name="boot"), voter(99, name="x", learner=True)), node),
            QuorumError,
        )

    @pytest.mark.parametrize("node", [WORKER, FIFTH])
    def test_members_of_two_clusters_are_refused(self, node: Node) -> None:
        error = refusal(
            cluster(voter(1, name="a"), voter(2, name="b", cluster_id=8), voter(3, name="c")), node
        )
        assert "belong to different clusters" in str(error)

    def test_name_of_existing_member_is_refused(self) -> None:
        assert "has the name e-6" in str(
            refusal(cluster(voter(1, name="boot"), voter(2, name="e-6")), FIFTH, SIXTH)
        )

    def test_api_without_answer_is_an_error(self) -> None:
        class Gone(FakeCluster):
            def access(self) -> health.ClusterAccess:
                raise UnreachableError("no API")

        with pytest.raises(UnreachableError):
            refusal(Gone({}, FakeKube()), WORKER)


class TestOperations:
    @pytest.mark.parametrize(
        "words",
        [
            ("state.orchestrate", "metalk8s.orchestrate.upgrade", "pillar=secret"),
            ("-l", "debug", "state.orch", "mods=metalk8s.orchestrate.upgrade"),
            ("state.sls", "metalk8s.orchestrate.upgrade"),
        ],
    )
    def test_running_orchestration_is_refused(
        self, others: list[Runner], words: tuple[str, ...]
    ) -> None:
        others.append(Runner(words, 77, "20260101"))
        error = refusal(cluster(), WORKER)
        assert isinstance(error, LockedError)
        assert error.problems == (
            "metalk8s.orchestrate.upgrade runs on this master, process 77, job 20260101",
        )
        assert "jobs.master" in str(error.hint)

    def test_orchestration_left_by_dead_run_is_refused(self, others: list[Runner]) -> None:
        others.append(
            Runner(
                ("metalk8s_expand.expand", "ProcessFunc(x,", "fun=state.orchestrate", "jid=1)"), 77
            )
        )
        assert isinstance(refusal(cluster(), WORKER), LockedError)

    @pytest.mark.parametrize(
        "words",
        [
            ("metalk8s_expand.expand",),
            ("metalk8s_expand.status",),
            ("state.orchestrate", "mine.own"),
            ("state.orchestrate_show_sls", "metalk8s.orchestrate.upgrade"),
            ("jobs.active",),
            (),
        ],
    )
    def test_harmless_operations_are_accepted(
        self, others: list[Runner], words: tuple[str, ...]
    ) -> None:
        others.append(Runner(words, 77))
        assert refusal(cluster(), WORKER) is None


class TestVersions:
    def test_node_of_other_version_is_refused(self) -> None:
        error = refusal(cluster(), WORKER, replace(FIFTH, version="2.1"))
        assert isinstance(error, ConflictError)
        assert error.problems == (
            "node e-5 is declared with the version 2.1, but the cluster's version is 2.0, from label"
            " metalk8s.scality.com/version of Node boot",
        )

    def test_skipped_version_check_accepts_other_version(self) -> None:
        settings = replace(SETTINGS, node_skip={"e-5": ("version",)})
        assert refusal(cluster(), replace(FIFTH, version="2.1"), settings=settings) is None

    def test_half_upgraded_control_plane_is_refused(self) -> None:
        nodes = [
            control_plane("boot", "2.0", "bootstrap"),
            control_plane("m-1", "1.9"),
            control_plane("m-2", "2.0"),
        ]
        error = refusal(cluster(nodes=nodes), WORKER)
        assert isinstance(error, ConflictError)
        assert error.problems == ("the control plane has several versions, 2.0 and m-1: 1.9",)

    def test_label_that_this_run_corrects_is_accepted(self) -> None:
        nodes = [control_plane("boot", "2.0", "bootstrap"), control_plane("m-1", "1.9")]
        assert refusal(cluster(nodes=nodes), Node("m-1", "2.0", ("master",), ())) is None

    @pytest.mark.parametrize(
        "nodes", [[control_plane("w", "9.9", "node")], [control_plane("m", "", "master")]]
    )
    def test_cluster_without_version_is_accepted(self, nodes: list[dict[str, Any]]) -> None:
        assert refusal(cluster(nodes=nodes), WORKER) is None


def test_problems_are_reported_together_and_gravest_selects_class(others: list[Runner]) -> None:
    others.append(Runner(("state.orchestrate", "metalk8s.orchestrate.x"), 7))
    error = refusal(cluster(readyz=(500, "x")), replace(WORKER, version="1"))
    assert isinstance(error, QuorumError)
    assert len(error.problems) == 3
    assert isinstance(refusal(cluster(), replace(WORKER, version="1")), LockedError)


class TestEnvironments:
    """The version names the saltenv that a node is deployed from."""

    def test_missing_saltenv_is_refused(self, served: set[tuple[str, str]]) -> None:
        served.clear()
        served.add(("metalk8s.orchestrate.deploy_node", "metalk8s-1.9"))
        error = refusal(cluster(), WORKER, FIFTH)
        assert isinstance(error, SettingsError)
        assert error.retcode == 2
        assert error.problems == (
            "the saltenv metalk8s-2.0, needed to deploy w-1, e-5, does not exist on this master",
        )
        assert "metalk8s-1.9" in str(error.hint)

    def test_saltenv_without_deployment_is_refused(self, served: set[tuple[str, str]]) -> None:
        served.clear()
        served.add(("metalk8s.roles.node", "metalk8s-2.0"))
        error = refusal(cluster(), WORKER)
        assert "has no metalk8s.orchestrate.deploy_node" in str(error)
        assert "no saltenv provides it" in str(error)

    def test_cluster_health_precedes_saltenvs(self, served: set[tuple[str, str]]) -> None:
        served.clear()
        error = refusal(cluster(readyz=(500, "x")), WORKER)
        assert isinstance(error, QuorumError)
        assert len(error.problems) == 2

    def test_many_nodes_are_named_briefly(self, served: set[tuple[str, str]]) -> None:
        served.clear()
        many = [replace(WORKER, name=f"w-{number}") for number in range(8)]
        assert "w-0, w-1, w-2, w-3, w-4 and 3 more" in str(refusal(cluster(), *many))
