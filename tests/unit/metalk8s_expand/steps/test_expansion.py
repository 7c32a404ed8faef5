"""Which step of which node runs when, with jobs and a cluster that behave as told and a clock that only waits move."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from metalk8s_expand.domain import manifest, plan, roles
from metalk8s_expand.domain.lease import LockLostError
from metalk8s_expand.domain.nodes import Node, Ssh
from metalk8s_expand.domain.quorum import Member
from metalk8s_expand.domain.settings import Settings
from metalk8s_expand.errors import DeadlineError, DeployError, QuorumError, SettingsError, UnreachableError
from metalk8s_expand.steps import expansion, verify
from tests.unit.metalk8s_expand.steps.conftest import FakeClock
from tests.unit.metalk8s_expand.steps.fake_kube import merge


def node(name: str, *node_roles: str) -> Node:
    number = sum(map(ord, name)) % 250
    return Node(name, "2.0", node_roles or (roles.NODE,), (), ssh=Ssh(f"10.0.0.{number}"), address=f"10.0.0.{number}")


# Of the control plane's roles etcd alone: a master's own API server is asked at its real address.
def member(name: str) -> Node:
    return node(name, roles.ETCD)


@dataclass
class FakeCluster:
    """API and etcd: a node is Ready once it is deployed."""

    nodes_by_name: dict[str, dict[str, Any]] = field(default_factory=dict)
    listed: list[Member] = field(default_factory=list)
    readyz: tuple[int, str] = (200, "ok")
    fail: Callable[[str], None] = lambda what: None

    @property
    def access(self) -> verify.Access:
        return verify.Access(self, self)  # type: ignore[arg-type]

    def members(self) -> list[Member]:
        return self.listed

    def node(self, name: str) -> dict[str, Any] | None:
        self.fail(f"read {name}")
        return self.nodes_by_name.get(name)

    def config_map(self, namespace: str, name: str) -> None:
        """Nothing is on record of any Node."""

    def create_node(self, body: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(body)
        found["metadata"]["uid"] = "u"
        self.nodes_by_name[found["metadata"]["name"]] = found
        return found

    def merge_patch_node(self, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        merge(self.nodes_by_name[name], patch)
        return self.nodes_by_name[name]

    def pods_of(self, name: str) -> list[dict[str, Any]]:
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        return [{"metadata": {"name": f"etcd-{name}", "namespace": "kube-system"}, "status": ready}]

    def text(self, path: str) -> tuple[int, str]:
        return self.readyz

    def deployed(self, name: str) -> None:
        found = self.nodes_by_name[name]
        found["status"] = {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1"}}
        if "node-role.kubernetes.io/etcd" in found["metadata"]["labels"]:
            self.listed.append(etcd(len(self.listed) + 1, name))


def etcd(number: int, name: str, **changes: Any) -> Member:
    fields: dict[str, Any] = {"healthy": True, "cluster_id": 7, "raft_index": 1, "applied_index": 1}
    return Member(number, name, (f"https://{name}:2380",), **{**fields, **changes})


SUCCESS: Any = {
    "data": {"m": {"a_|-Install_|-b_|-c": {"result": True, "__id__": "Install", "__run_num__": 0, "duration": 1000.0}}}
}
FAILURE: Any = {
    "data": {"m": {
        "a_|-Install_|-b_|-c": {"result": True, "__id__": "Install", "__run_num__": 0, "duration": 1000.0},
        "a_|-Run_|-b_|-c": {"result": False, "__id__": "Run", "__run_num__": 1, "comment": "it broke", "__jid__": "42"},
        "a_|-Next_|-b_|-c": {"result": False, "__id__": "Next", "__run_num__": 2, "__state_ran__": False},
    }}, "retcode": 1,
}  # fmt: skip
NEVER = object()


@dataclass
class FakeJobs:
    """Orchestrations that take ``took`` seconds and return what ``returns`` says of the node."""

    cluster: FakeCluster
    clock: FakeClock
    took: float = 10.0
    returns: dict[str, Any] = field(default_factory=dict)
    started: list[tuple[float, str]] = field(default_factory=list)
    running: dict[str, tuple[str, float]] = field(default_factory=dict)
    most: int = 0
    calls: list[tuple[str, str]] = field(default_factory=list)
    epochs: set[int] = field(default_factory=set)

    def start(self, sls: str, saltenv: str, pillar: dict[str, Any]) -> str:
        self.epochs.add(pillar["orchestrate"]["epoch"])
        name = pillar["orchestrate"]["node_name"]
        if isinstance(self.returns.get(name), Exception):
            raise self.returns[name]
        self.calls.append((sls, saltenv))
        self.started.append((self.clock.time, name))
        self.running[f"job-{name}"] = (name, self.clock.time + self.took)
        self.most = max(self.most, len(self.running))
        return f"job-{name}"

    def result(self, jid: str) -> Any:
        name, end = self.running[jid]
        answer = self.returns.get(name, SUCCESS)
        if answer is NEVER or self.clock.time < end:
            return None
        del self.running[jid]
        if answer is SUCCESS:
            self.cluster.deployed(name)
        return answer

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.started]


@dataclass
class FakeLock:
    """Held until ``lost_at`` seconds."""

    clock: FakeClock
    epoch: int = 41
    lost_at: float = float("inf")
    ticks: list[float] = field(default_factory=list)

    def tick(self) -> None:
        self.ticks.append(self.clock.time)

    def check(self) -> None:
        if self.clock.time >= self.lost_at:
            raise LockLostError("this run has lost the lock")


def planned(*nodes: Node, observed: Mapping[str, Any] | None = None, done: set[str] | None = None) -> plan.Plan:
    return plan.build(Settings({item.name: item for item in nodes}), observed or {}, done=done or set())


class Setting:
    def __init__(self, clock: FakeClock, *nodes: Node, max_parallel: int = 10, deploy_timeout: float = 600.0) -> None:
        self.clock = clock
        self.cluster = FakeCluster(listed=[etcd(1, "boot")])
        self.jobs = FakeJobs(self.cluster, clock)
        self.said: list[tuple[str, str, str]] = []
        self.nodes = nodes
        self.lock = FakeLock(clock)
        self.run = expansion.Run(
            lambda: self.cluster.access,
            lambda node: verify.cluster_problems(self.cluster.access),
            self.jobs,
            self.lock,
            lambda *words: self.said.append(words),
            max_parallel,
            deploy_timeout,
            clock,
        )

    def execute(self) -> None:
        expansion.execute(self.run, planned(*self.nodes, observed=self.cluster.nodes_by_name))

    def steps(self, name: str) -> list[tuple[str, bool]]:
        return [(step.name, step.ok) for step in self.run.report(name).steps]


@pytest.fixture
def setting(clock: FakeClock) -> Callable[..., Setting]:
    return lambda *nodes, **limits: Setting(clock, *nodes, **limits)


def test_one_worker(setting: Any) -> None:
    made = setting(node("w-1"))
    made.execute()
    report = made.run.report("w-1")
    assert (report.ok, report.error, report.skipped) == (True, None, None)
    assert made.steps("w-1") == [
        ("register", True), ("deploy: Install", True), ("deploy", True), ("verify", True), ("uncordon", True),
    ]  # fmt: skip
    assert made.jobs.calls == [("metalk8s.orchestrate.deploy_node", "metalk8s-2.0")]
    found = made.cluster.nodes_by_name["w-1"]
    assert not manifest.is_cordoned_by_us(found)
    elapsed = {step.name: step.elapsed for step in report.steps}
    assert elapsed["deploy: Install"] == 1.0
    assert elapsed["deploy"] == pytest.approx(10.0, abs=0.5)
    assert {name for name, _, _ in made.said} == {"w-1"}


def test_the_lock_is_kept_and_its_epoch_goes_with_every_job(setting: Any) -> None:
    made = setting(member("cp-1"), node("w-1"))
    made.execute()
    assert made.jobs.epochs == {41}
    pauses = [after - before for before, after in zip(made.lock.ticks, made.lock.ticks[1:], strict=False)]
    assert max(pauses) <= 1.0


def test_whoever_has_lost_the_lock_changes_nothing_more(setting: Any) -> None:
    made = setting(node("w-1"), node("w-2"), max_parallel=1)
    made.lock.lost_at = made.clock.time + 5.0
    made.execute()
    # What runs already is waited for; its next step is not taken, and no other node is begun.
    assert made.jobs.names == ["w-1"]
    assert set(made.cluster.nodes_by_name) == {"w-1"}
    assert [made.run.errors[name].retcode for name in ("w-1", "w-2")] == [9, 9]
    assert made.steps("w-1")[-2:] == [("deploy", True), ("verify", False)]


def test_nothing_planned(setting: Any) -> None:
    made = setting()
    made.execute()
    assert (made.jobs.started, made.run.steps) == ([], {})


def test_only_the_planned_steps_run(setting: Any) -> None:
    made = setting(node("w-1"))
    made.cluster.create_node(manifest.registration(made.nodes[0]))
    made.cluster.deployed("w-1")
    expansion.execute(made.run, planned(*made.nodes, observed=made.cluster.nodes_by_name, done={"w-1"}))
    assert made.steps("w-1") == [("verify", True), ("uncordon", True)]
    assert made.jobs.started == []


def test_control_plane_one_after_another_and_workers_beside(setting: Any) -> None:
    made = setting(member("cp-1"), member("cp-2"), node("w-1"), node("w-2"))
    made.execute()
    start = {name: moment for moment, name in made.jobs.started}
    assert start["cp-2"] >= start["cp-1"] + 10
    assert abs(start["w-1"] - start["cp-1"]) < 1
    assert abs(start["w-2"] - start["cp-1"]) < 1
    assert made.steps("cp-1")[0] == ("health", True)
    assert ("health", True) not in made.steps("w-1")
    assert all(made.run.report(item.name).ok for item in made.nodes)


def test_nodes_are_registered_just_before_their_deployment(setting: Any) -> None:
    made = setting(node("w-1"), node("w-2"), max_parallel=1)
    made.jobs.returns = {"w-1": NEVER}
    made.run.deploy_timeout = 30.0
    registered: list[set[str]] = []
    start = made.jobs.start

    def watched(*arguments: Any) -> str:
        registered.append(set(made.cluster.nodes_by_name))
        found: str = start(*arguments)
        return found

    made.jobs.start = watched
    made.execute()
    assert registered == [{"w-1"}, {"w-1", "w-2"}]


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("serial", [0, 1])
def test_no_more_workers_at_a_time_than_wanted(setting: Any, limit: int, serial: int) -> None:
    workers = [node(f"w-{number}") for number in range(6)]
    made = setting(*[member("cp-1")][:serial], *workers, max_parallel=limit)
    made.execute()
    assert made.jobs.most == limit + serial
    assert [name for name in made.jobs.names if name.startswith("w")] == [item.name for item in workers]


def test_a_worker_that_fails_leaves_the_others(setting: Any) -> None:
    made = setting(member("cp-1"), node("w-1"), node("w-2"))
    made.jobs.returns = {"w-1": FAILURE}
    made.execute()
    report = made.run.report("w-1")
    assert (report.ok, report.error["type"], report.error["job"]) == (False, "DeployError", "job-w-1")
    assert report.error["problems"] == ["state 'Run': it broke (job 42)"]
    assert report.error["hint"]
    assert report.error["log"]
    assert made.steps("w-1") == [("register", True), ("deploy: Install", True), ("deploy: Run", False), ("deploy", False)]
    assert made.run.report("w-2").ok
    assert made.run.report("cp-1").ok
    assert manifest.is_cordoned_by_us(made.cluster.nodes_by_name["w-1"])


def test_a_control_plane_node_that_fails_skips_the_later_ones_by_name(setting: Any) -> None:
    made = setting(member("cp-1"), member("cp-2"), member("cp-3"), node("w-1"))
    made.jobs.returns = {"cp-2": FAILURE}
    made.execute()
    assert made.run.report("cp-1").ok
    assert isinstance(made.run.errors["cp-2"], DeployError)
    assert "cp-2 failed before it" in made.run.report("cp-3").skipped
    assert made.run.report("cp-3").ok is False
    assert "cp-3" not in made.cluster.nodes_by_name
    assert made.run.report("w-1").ok


def test_no_member_joins_an_ill_cluster(setting: Any) -> None:
    made = setting(member("cp-1"), member("cp-2"), node("w-1"))
    made.cluster.listed.append(etcd(2, "ill", healthy=False, error="no answer"))
    made.execute()
    error = made.run.errors["cp-1"]
    assert isinstance(error, QuorumError)
    assert "etcd member ill" in str(error)
    assert made.steps("cp-1") == [("health", False)]
    assert "cp-1" in made.run.skipped["cp-2"]
    assert made.jobs.names == ["w-1"]


def test_a_cluster_that_recovers_is_waited_for(setting: Any) -> None:
    made = setting(member("cp-1"))
    made.cluster.readyz = (500, "etcd failed")
    sleep = made.clock.sleep

    def recovers(seconds: float) -> None:
        sleep(seconds)
        if made.clock.time > 1050:
            made.cluster.readyz = (200, "ok")

    made.clock.sleep = recovers
    made.execute()
    assert made.run.report("cp-1").ok
    assert made.jobs.started[0][0] > 1050


def test_a_deployment_that_never_returns(setting: Any) -> None:
    made = setting(node("w-1"), node("w-2"), deploy_timeout=60.0)
    made.jobs.returns = {"w-1": NEVER}
    made.execute()
    error = made.run.errors["w-1"]
    assert isinstance(error, DeadlineError)
    assert error.job == "job-w-1"
    assert "jobs.lookup_jid job-w-1" in str(error.hint)
    assert made.clock.time - 1000 < 70
    assert made.run.report("w-2").ok


@pytest.mark.parametrize("answer", [{}, [], "Exception occurred", {"data": {"m": ["No matching sls found"]}}, False])
def test_a_return_without_states_is_a_failure(setting: Any, answer: Any) -> None:
    made = setting(node("w-1"))
    made.jobs.returns = {"w-1": answer}
    made.execute()
    assert isinstance(made.run.errors["w-1"], DeployError)


def test_a_node_that_is_not_as_declared_after_its_deployment(setting: Any) -> None:
    made = setting(node("w-1"), node("w-2"))
    made.cluster.deployed = lambda name: None
    made.execute()
    error = made.run.errors["w-1"]
    assert isinstance(error, DeployError)
    assert "Node w-1 is not Ready: it has never reported" in error.problems
    assert made.steps("w-1")[-1] == ("verify", False)
    assert made.clock.time - 1000 < expansion.VERIFY_TIMEOUT_S + 30, "both are waited for at once"


def test_an_api_that_is_away_while_verifying_is_waited_for(setting: Any) -> None:
    made = setting(node("w-1"))

    def away(what: str) -> None:
        if made.jobs.started and not made.jobs.running and made.clock.time < 1060:
            raise UnreachableError("the API restarts")

    made.cluster.fail = away
    made.execute()
    assert made.run.report("w-1").ok
    assert made.clock.time > 1060


ERRORS = [
    (SettingsError("no"), "SettingsError", 2),
    (UnreachableError("no"), "UnreachableError", 4),
    (KeyError("a defect"), "ExpandError", 1),
]


@pytest.mark.parametrize(("error", "kind", "retcode"), ERRORS, ids=[kind for _, kind, _ in ERRORS])
def test_whatever_ends_one_node_ends_no_other(setting: Any, error: Exception, kind: str, retcode: int) -> None:
    made = setting(member("cp-1"), member("cp-2"), node("w-1"), node("w-2"))
    made.jobs.returns = {"w-1": copy.copy(error), "cp-1": copy.copy(error)}
    made.execute()
    found = made.run.report("w-1").error
    assert (found["type"], found["retcode"], found["node"]) == (kind, retcode, "w-1")
    assert found["log"]
    assert made.steps("w-1") == [("register", True), ("deploy", False)]
    assert made.run.report("w-2").ok
    assert "cp-1" in made.run.skipped["cp-2"]


def test_the_report_of_a_node_that_nothing_was_done_to(setting: Any) -> None:
    made = setting()
    made.run.skipped = {"w-1": "unreachable"}
    assert made.run.report("w-1").as_dict() == {
        "name": "w-1",
        "ok": False,
        "skipped": "unreachable",
        "steps": [],
        "error": None,
    }


def test_steps_are_reported_in_the_order_they_ran(setting: Any) -> None:
    made = setting(member("cp-1"), node("w-1"))
    made.execute()
    for name in ("cp-1", "w-1"):
        steps = made.run.report(name).steps
        ends = [step.started + step.elapsed for step in steps if ":" not in step.name]
        assert ends == sorted(ends)
