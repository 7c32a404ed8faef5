"""Nothing starts on a cluster that is not well, is busy, or is of another version; what a run may repair stops nobody."""

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
from tests.unit.metalk8s_expand.cluster.test_health import DeadEtcd, FakeEtcd, FakeKube, member

ROLE = "node-role.kubernetes.io/"
VERSION = "metalk8s.scality.com/version"
WORKER = Node("w-1", "2.0", ("node",), (), address="10.0.0.9")
FIFTH = Node("e-5", "2.0", ("etcd",), (), address="10.0.0.5")
SIXTH = replace(FIFTH, name="e-6", address="10.0.0.6")
SETTINGS = Settings(nodes={node.name: node for node in (WORKER, FIFTH, SIXTH)})
ILL: dict[str, Any] = {"healthy": False, "error": "no answer"}


class Cluster(ClusterContext):
    """A cluster whose etcd is given."""

    etcd: Any = None

    def access(self) -> health.ClusterAccess:
        return health.ClusterAccess(self.kube, self.etcd)


def control_plane(name: str, version: str, role: str = "master") -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {f"{ROLE}{role}": "", VERSION: version}}}


def cluster(
    *members: Member, nodes: Sequence[dict[str, Any]] = (), readyz: tuple[int, str] = (200, "ok")
) -> Cluster:
    kube = FakeKube(*(nodes or [control_plane("boot", "2.0", "bootstrap")]))
    kube.readyz = readyz
    made = Cluster({"cachedir": "/nonexistent"}, kube)  # type: ignore[arg-type]
    object.__setattr__(made, "etcd", FakeEtcd(*(members or [member(1, "boot")])))
    return made


@pytest.fixture(autouse=True)
def others(monkeypatch: pytest.MonkeyPatch) -> list[Runner]:
    """What runs on the master: nothing yet."""
    found: list[Runner] = []
    monkeypatch.setattr(running_jobs, "running", lambda opts: found)
    return found


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """What the master's file server has."""
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
    return cluster_check.refusal(world, settings, nodes)


def test_all_is_well() -> None:
    assert refusal(cluster(), WORKER, FIFTH) is None
    assert (
        refusal(cluster(*(member(number, f"e-{number}") for number in (1, 2, 3))), FIFTH, SIXTH)
        is None
    )


class TestHealth:
    def test_an_api_that_is_not_ready(self) -> None:
        error = refusal(cluster(readyz=(500, "etcd failed")), WORKER)
        assert isinstance(error, QuorumError)
        assert error.problems == ("the API answers /readyz with 500: etcd failed",)
        assert error.hint
        assert error.log

    def test_no_etcd_at_all(self) -> None:
        world = cluster()
        object.__setattr__(world, "etcd", None)
        assert "no Node carries the etcd role" in str(refusal(world, WORKER))

    def test_an_etcd_that_gives_no_answer(self) -> None:
        world = cluster()
        object.__setattr__(world, "etcd", DeadEtcd())
        error = refusal(world, WORKER)
        assert isinstance(error, QuorumError)
        assert error.problems == ("no etcd member answers",)

    @pytest.mark.parametrize(
        ("voters", "healthy", "allowed"),
        [(1, 1, True), (2, 2, True), (3, 3, True), (3, 2, False), (5, 4, True), (5, 3, False)],
    )
    def test_a_member_is_added_as_the_guard_allows(
        self, voters: int, healthy: int, allowed: bool
    ) -> None:
        members = [
            member(10 + number, f"m-{number}", **({} if number < healthy else ILL))
            for number in range(voters)
        ]
        error = refusal(cluster(*members), FIFTH)
        assert (error is None) is allowed
        assert allowed or "e-5" in str(error)

    @pytest.mark.parametrize(
        ("voters", "healthy", "allowed"), [(3, 2, True), (3, 1, False), (1, 0, False)]
    )
    def test_a_worker_needs_no_more_than_a_quorum(
        self, voters: int, healthy: int, allowed: bool
    ) -> None:
        members = [
            member(10 + number, f"m-{number}", **({} if number < healthy else ILL))
            for number in range(voters)
        ]
        error = refusal(cluster(*members), WORKER)
        assert (error is None) is allowed
        assert allowed or "no quorum" in str(error)

    def test_a_member_that_lost_its_data_may_be_repaired(self) -> None:
        members = [member(1, "boot"), member(2, "e-2"), member(5, "e-5", **ILL)]
        assert refusal(cluster(*members), FIFTH) is None

    def test_a_learner_of_an_interrupted_run_is_ours(self) -> None:
        learner = member(6, "", learner=True, healthy=None)
        assert refusal(cluster(member(1, "boot"), learner), FIFTH) is None
        assert refusal(cluster(member(1, "boot"), learner), WORKER) is None

    @pytest.mark.parametrize("node", [WORKER, FIFTH])
    def test_a_learner_of_somebody_else(self, node: Node) -> None:
        assert isinstance(
            refusal(cluster(member(1, "boot"), member(99, "x", learner=True)), node), QuorumError
        )

    @pytest.mark.parametrize("node", [WORKER, FIFTH])
    def test_two_clusters(self, node: Node) -> None:
        error = refusal(cluster(member(1, "a"), member(2, "b", cluster_id=8), member(3, "c")), node)
        assert "not one cluster" in str(error)

    def test_a_name_that_another_member_has(self) -> None:
        assert "has the name e-6" in str(
            refusal(cluster(member(1, "boot"), member(2, "e-6")), FIFTH, SIXTH)
        )

    def test_an_api_that_does_not_answer(self) -> None:
        class Gone(Cluster):
            def access(self) -> health.ClusterAccess:
                raise UnreachableError("no API")

        with pytest.raises(UnreachableError):
            refusal(Gone({}, FakeKube()), WORKER)  # type: ignore[arg-type]


class TestOperations:
    @pytest.mark.parametrize(
        "words",
        [
            ("state.orchestrate", "metalk8s.orchestrate.upgrade", "pillar=secret"),
            ("-l", "debug", "state.orch", "mods=metalk8s.orchestrate.upgrade"),
            ("state.sls", "metalk8s.orchestrate.upgrade"),
        ],
    )
    def test_another_orchestration(self, others: list[Runner], words: tuple[str, ...]) -> None:
        others.append(Runner(words, 77, "20260101"))
        error = refusal(cluster(), WORKER)
        assert isinstance(error, LockedError)
        assert error.problems == (
            "metalk8s.orchestrate.upgrade runs on this master, process 77, job 20260101",
        )
        assert "jobs.master" in str(error.hint)

    def test_what_a_dead_run_of_ours_left(self, others: list[Runner]) -> None:
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
    def test_what_is_in_nobodys_way(self, others: list[Runner], words: tuple[str, ...]) -> None:
        others.append(Runner(words, 77))
        assert refusal(cluster(), WORKER) is None


class TestVersions:
    def test_a_node_of_another_version(self) -> None:
        error = refusal(cluster(), WORKER, replace(FIFTH, version="2.1"))
        assert isinstance(error, ConflictError)
        assert error.problems == (
            "node e-5 is declared with the version 2.1, the cluster's is 2.0",
        )

    def test_unless_the_check_is_skipped(self) -> None:
        settings = replace(SETTINGS, node_skip={"e-5": ("version",)})
        assert refusal(cluster(), replace(FIFTH, version="2.1"), settings=settings) is None

    def test_a_control_plane_that_is_half_upgraded(self) -> None:
        nodes = [
            control_plane("boot", "2.0", "bootstrap"),
            control_plane("m-1", "1.9"),
            control_plane("m-2", "2.0"),
        ]
        error = refusal(cluster(nodes=nodes), WORKER)
        assert isinstance(error, ConflictError)
        assert error.problems == ("the control plane is of several versions, 2.0 and m-1: 1.9",)

    def test_a_label_that_this_run_is_going_to_correct(self) -> None:
        nodes = [control_plane("boot", "2.0", "bootstrap"), control_plane("m-1", "1.9")]
        assert refusal(cluster(nodes=nodes), Node("m-1", "2.0", ("master",), ())) is None

    @pytest.mark.parametrize(
        "nodes", [[control_plane("w", "9.9", "node")], [control_plane("m", "", "master")]]
    )
    def test_a_cluster_that_tells_no_version(self, nodes: list[dict[str, Any]]) -> None:
        assert refusal(cluster(nodes=nodes), WORKER) is None


def test_all_problems_at_once_and_the_gravest_decides(others: list[Runner]) -> None:
    others.append(Runner(("state.orchestrate", "metalk8s.orchestrate.x"), 7))
    error = refusal(cluster(readyz=(500, "x")), replace(WORKER, version="1"))
    assert isinstance(error, QuorumError)
    assert len(error.problems) == 3
    assert isinstance(refusal(cluster(), replace(WORKER, version="1")), LockedError)


class TestEnvironments:
    """The version names the saltenv that a node is deployed from."""

    def test_one_that_is_not_there(self, served: set[tuple[str, str]]) -> None:
        served.clear()
        served.add(("metalk8s.orchestrate.deploy_node", "metalk8s-1.9"))
        error = refusal(cluster(), WORKER, FIFTH)
        assert isinstance(error, SettingsError)
        assert error.retcode == 2
        assert error.problems == (
            "the saltenv metalk8s-2.0, which w-1, e-5 would be deployed from, does not exist on this master",
        )
        assert "metalk8s-1.9" in str(error.hint)

    def test_one_without_a_deployment(self, served: set[tuple[str, str]]) -> None:
        served.clear()
        served.add(("metalk8s.roles.node", "metalk8s-2.0"))
        error = refusal(cluster(), WORKER)
        assert "has no metalk8s.orchestrate.deploy_node" in str(error)
        assert "no saltenv brings it" in str(error)

    def test_the_clusters_health_comes_first(self, served: set[tuple[str, str]]) -> None:
        served.clear()
        error = refusal(cluster(readyz=(500, "x")), WORKER)
        assert isinstance(error, QuorumError)
        assert len(error.problems) == 2

    def test_many_nodes_are_named_briefly(self, served: set[tuple[str, str]]) -> None:
        served.clear()
        many = [replace(WORKER, name=f"w-{number}") for number in range(8)]
        assert "w-0, w-1, w-2, w-3, w-4 and 3 more" in str(refusal(cluster(), *many))
