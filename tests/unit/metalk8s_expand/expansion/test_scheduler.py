"""Test the order of steps with fake jobs, a fake cluster and a clock that only waits advance."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from metalk8s_expand.clients.kubernetes.heartbeats import watch_heartbeats
from metalk8s_expand.clients.kubernetes.objects import NODES
from metalk8s_expand.cluster import health
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.expansion.plan import Condition, build_plan
from metalk8s_expand.domain.node import manifest, roles
from metalk8s_expand.domain.node.spec import Node, Ssh
from metalk8s_expand.domain.salt.saltenv import PREPARATION
from metalk8s_expand.errors import (
    DeadlineError,
    DeployError,
    QuorumError,
    SettingsError,
    UnreachableError,
)
from metalk8s_expand.expansion import scheduler
from metalk8s_expand.expansion.node_steps import NODE_STEPS, VERIFY_TIMEOUT_S
from metalk8s_expand.expansion.state import Expansion
from metalk8s_expand.preflight import cluster as cluster_preflight
from metalk8s_expand.runs.context import RunContext
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.etcd_members import FakeEtcd, voter
from tests.fakes.journal import FakeJournal
from tests.fakes.kube import FakeKube
from tests.fakes.lock import FakeLock
from tests.fakes.nodes import READY
from tests.fakes.orchestrations import DEAD, FAILURE, NEVER, FakeOrchestrations
from tests.fakes.progress import FakeProgress


def node(name: str, *node_roles: str) -> Node:
    number = sum(map(ord, name)) % 250
    return Node(
        name,
        "2.0",
        node_roles or (roles.NODE,),
        (),
        ssh=Ssh(f"10.0.0.{number}"),
        address=f"10.0.0.{number}",
    )


# The etcd role alone: the code contacts a master's own API server at its real address.
def member(name: str) -> Node:
    return node(name, roles.ETCD)


class Setting:
    def __init__(
        self, clock: FakeClock, *nodes: Node, max_parallel: int = 10, deploy_timeout: float = 600.0
    ) -> None:
        self.clock = clock
        self.kube = FakeKube()
        self.etcd = FakeEtcd(voter(1, name="boot"), clock=clock)
        self.cluster = FakeCluster({}, self.kube, self.etcd)
        self.jobs = FakeOrchestrations(clock, self.cluster.deployed)
        self.nodes = nodes
        self.lock = FakeLock(clock, epoch=41)
        self.journal = FakeJournal()
        self.progress = FakeProgress()
        self.asked = ""
        self.health: Callable[[], list[str]] = lambda: health.cluster_health_problems(
            self.cluster.access()
        )
        self.settings = Settings(
            {item.name: item for item in nodes},
            max_parallel=max_parallel,
            deploy_timeout=deploy_timeout,
        )
        run = RunContext(
            self.cluster,
            clock,
            self.progress,  # type: ignore[arg-type]
            self.lock,  # type: ignore[arg-type]
            self.journal,  # type: ignore[arg-type]
            lambda: self.asked,
        )
        self.expansion = Expansion(  # type: ignore[arg-type]
            run, self.settings, self.jobs, watch_heartbeats(self.kube)
        )

    def execute(self, healthy: Sequence[str] = (), prepared: Sequence[str] = ()) -> None:
        """Run the plan; the hosts of ``prepared`` are prepared before they are deployed."""
        conditions = dict.fromkeys(healthy, Condition())
        plan = build_plan(self.settings, self.kube.nodes_by_name, conditions=conditions)
        scheduler.schedule(self.expansion, plan.prepared_first(prepared), NODE_STEPS)

    def prepare_all(self) -> None:
        """Run the plan with a preparation of each host."""
        self.execute(prepared=[item.name for item in self.nodes])

    def steps(self, name: str) -> list[tuple[str, bool]]:
        return [(step.name, step.ok) for step in self.expansion.report(name).steps]


@pytest.fixture
def setting(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Setting]:
    def make(*nodes: Node, **limits: Any) -> Setting:
        made = Setting(clock, *nodes, **limits)
        monkeypatch.setattr(cluster_preflight, "health_problems", lambda *_: made.health())
        return made

    return make


def stop_during_first_job(made: Setting) -> None:
    """Request a stop as soon as a job runs."""
    sleep = made.clock.sleep

    def asks(seconds: float) -> None:
        sleep(seconds)
        if made.jobs.running:
            made.asked = "asked by root on host"

    made.clock.sleep = asks  # type: ignore[method-assign]


def test_worker_runs_all_its_steps(setting: Any) -> None:
    made = setting(node("w-1"))
    made.execute()
    report = made.expansion.report("w-1")
    assert (report.ok, report.error, report.skipped) == (True, None, None)
    assert made.steps("w-1") == [
        ("register", True), ("deploy: Install", True), ("deploy", True), ("verify", True), ("uncordon", True),
    ]  # fmt: skip
    assert made.jobs.calls == [("metalk8s.orchestrate.deploy_node", "metalk8s-2.0")]
    found = made.kube.nodes_by_name["w-1"]
    assert not manifest.is_cordoned_by_us(found)
    elapsed = {step.name: step.elapsed for step in report.steps}
    assert elapsed["deploy: Install"] == 1.0
    assert elapsed["deploy"] == pytest.approx(10.0, abs=0.5)
    assert {name for name, _, _ in made.progress.lines} == {"w-1"}


def test_lock_is_renewed_and_every_job_gets_its_epoch(setting: Any) -> None:
    made = setting(member("cp-1"), node("w-1"))
    made.execute()
    assert made.jobs.epochs == {41}
    pauses = [
        after - before for before, after in zip(made.lock.ticks, made.lock.ticks[1:], strict=False)
    ]
    assert max(pauses) <= 1.0


def test_run_without_the_lock_changes_nothing(setting: Any) -> None:
    made = setting(node("w-1"), node("w-2"), max_parallel=1)
    made.lock.lost_at = made.clock.time + 5.0
    made.execute()
    # The run waits for the active job, skips its next step and begins no other node.
    assert made.jobs.names == ["w-1"]
    assert set(made.kube.nodes_by_name) == {"w-1"}
    assert [made.expansion.errors[name].retcode for name in ("w-1", "w-2")] == [9, 9]
    assert made.steps("w-1")[-1] == ("deploy", True)
    # A newer run is active and owns the changes of this one.
    assert ("node_claimed", "w-2") not in made.journal.written


def test_dead_minion_is_noted_and_stops_no_deployment(setting: Any) -> None:
    made = setting(member("cp-1"))
    state = {
        "result": True,
        "__id__": "Let every API proxy know cp-1",
        "__run_num__": 1,
        "changes": {"out": "highstate", "ret": {"w-9": False}},
    }
    made.jobs.returns = {"cp-1": {"data": {"m": {"salt_|-Let_|-b_|-state": state}}}}
    made.jobs.also_deployed = {"cp-1"}
    made.kube.put(NODES, {"metadata": {"name": "w-9", "labels": {}}, "status": READY})
    made.execute()
    assert made.expansion.report("cp-1").ok
    [note] = made.expansion.notes
    assert "cp-1: 'Let every API proxy know cp-1' failed on other nodes: on w-9" in note
    assert "until an expand updates them" in note
    assert made.kube.nodes_by_name["w-9"]["metadata"]["labels"] == {manifest.PROXY_BEHIND: "true"}


def test_empty_plan_starts_no_job(setting: Any) -> None:
    made = setting()
    made.execute()
    assert (made.jobs.started, made.expansion.steps) == ([], {})


def test_scheduler_runs_planned_steps_only(setting: Any) -> None:
    made = setting(node("w-1"))
    made.kube.create_node(manifest.registration(made.nodes[0]))
    made.cluster.deployed("w-1")
    made.execute(healthy=["w-1"])
    assert made.steps("w-1") == [("verify", True), ("uncordon", True)]
    assert made.jobs.started == []


def test_ready_of_a_dead_kubelet_does_not_verify_the_node(setting: Any) -> None:
    made = setting(node("w-1"))
    made.kube.create_node(manifest.registration(made.nodes[0]))
    made.cluster.deployed("w-1")
    made.kube.dead_kubelets.add("w-1")
    made.execute(healthy=["w-1"])
    assert made.steps("w-1") == [("verify", False)]
    error = made.expansion.report("w-1").error
    assert "its kubelet has no Lease in kube-node-lease" in error["text"]


def test_workers_wait_for_members_that_metalk8s_adds_as_voters(setting: Any) -> None:
    """Two voters have no quorum while one of them starts, and workers need the API."""
    made = setting(member("cp-1"), member("cp-2"), node("w-1"), node("w-2"))
    made.execute()
    start = {name: moment for moment, name in made.jobs.started}
    assert start["cp-2"] >= start["cp-1"] + 10
    assert start["w-1"] >= start["cp-2"] + 10
    assert abs(start["w-2"] - start["w-1"]) < 1
    assert made.steps("cp-1")[0] == ("health", True)
    assert ("health", True) not in made.steps("w-1")
    assert all(made.expansion.report(item.name).ok for item in made.nodes)


def test_nodes_are_registered_just_before_their_deployment(setting: Any) -> None:
    made = setting(node("w-1"), node("w-2"), max_parallel=1, deploy_timeout=30.0)
    made.jobs.returns = {"w-1": NEVER}
    registered: list[set[str]] = []
    start = made.jobs.start

    def watched(*arguments: Any) -> None:
        registered.append(set(made.kube.nodes_by_name))
        start(*arguments)

    made.jobs.start = watched
    made.execute()
    assert registered == [{"w-1"}, {"w-1", "w-2"}]


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("serial", [0, 1])
def test_max_parallel_limits_concurrent_workers(setting: Any, limit: int, serial: int) -> None:
    workers = [node(f"w-{number}") for number in range(6)]
    made = setting(*[member("cp-1")][:serial], *workers, max_parallel=limit)
    made.execute()
    assert made.jobs.most == limit
    assert [name for name in made.jobs.names if name.startswith("w")] == [
        item.name for item in workers
    ]


def test_failed_worker_does_not_stop_other_nodes(setting: Any) -> None:
    made = setting(member("cp-1"), node("w-1"), node("w-2"))
    made.jobs.returns = {"w-1": FAILURE}
    made.execute()
    report = made.expansion.report("w-1")
    assert (report.ok, report.error["type"], report.error["job"]) == (False, "DeployError", "job-2")
    assert report.error["problems"] == ["state 'Run': it broke (job 42)"]
    assert report.error["hint"]
    assert report.error["log"]
    assert made.steps("w-1") == [
        ("register", True),
        ("deploy: Install", True),
        ("deploy: Run", False),
        ("deploy", False),
    ]
    assert made.expansion.report("w-2").ok
    assert made.expansion.report("cp-1").ok
    # No kubelet ever reported, so nothing else would delete the Node.
    assert "w-1" not in made.kube.nodes_by_name
    assert report.undone == ("its Node was deleted: no kubelet has ever reported on it",)
    assert report.state == "there is no Node of this name"
    assert (
        "node_finished",
        "w-1",
        "metalk8s.orchestrate.deploy_node failed",
    ) in made.journal.written


def test_failed_control_plane_node_skips_later_ones(setting: Any) -> None:
    made = setting(member("cp-1"), member("cp-2"), member("cp-3"), node("w-1"))
    made.jobs.returns = {"cp-2": FAILURE}
    made.execute()
    assert made.expansion.report("cp-1").ok
    assert isinstance(made.expansion.errors["cp-2"], DeployError)
    assert "cp-2 failed before it" in made.expansion.report("cp-3").skipped
    assert made.expansion.report("cp-3").ok is False
    assert "cp-3" not in made.kube.nodes_by_name
    assert made.expansion.report("w-1").ok


def test_member_does_not_join_unhealthy_cluster(setting: Any) -> None:
    made = setting(member("cp-1"), member("cp-2"), node("w-1"))
    made.etcd.put(voter(2, name="ill", healthy=False, error="no answer"))
    made.execute()
    error = made.expansion.errors["cp-1"]
    assert isinstance(error, QuorumError)
    assert "etcd member ill" in str(error)
    assert made.steps("cp-1") == [("health", False)]
    assert "cp-1" in made.expansion.skipped["cp-2"]
    assert made.jobs.names == ["w-1"]


def test_scheduler_waits_for_cluster_to_recover(setting: Any) -> None:
    made = setting(member("cp-1"))
    made.kube.readyz = (500, "etcd failed")
    sleep = made.clock.sleep

    def recovers(seconds: float) -> None:
        sleep(seconds)
        if made.clock.time > 1050:
            made.kube.readyz = (200, "ok")

    made.clock.sleep = recovers
    made.execute()
    assert made.expansion.report("cp-1").ok
    assert made.jobs.started[0][0] > 1050


def test_deployment_that_never_returns_times_out(setting: Any) -> None:
    made = setting(node("w-1"), node("w-2"), deploy_timeout=60.0)
    made.jobs.returns = {"w-1": NEVER}
    made.execute()
    error = made.expansion.errors["w-1"]
    assert isinstance(error, DeadlineError)
    assert error.job == "job-1"
    assert "jobs.lookup_jid job-1" in str(error.hint)
    assert made.clock.time - 1000 < 70
    assert made.expansion.report("w-2").ok
    # Its events are no longer read: on Salt 3008 an open bus ends the command with a warning.
    assert set(made.jobs.running) <= set(made.jobs.forgotten)


@pytest.mark.parametrize(
    "answer", [{}, [], "Exception occurred", {"data": {"m": ["No matching sls found"]}}, False]
)
def test_return_without_states_is_failure(setting: Any, answer: Any) -> None:
    made = setting(node("w-1"))
    made.jobs.returns = {"w-1": answer}
    made.execute()
    assert isinstance(made.expansion.errors["w-1"], DeployError)


def test_node_that_is_not_ready_after_deployment_fails(setting: Any) -> None:
    made = setting(node("w-1"), node("w-2"))
    made.jobs.deployed = lambda name: None
    made.execute()
    error = made.expansion.errors["w-1"]
    assert isinstance(error, DeployError)
    assert "Node w-1 is not Ready: it has never reported its status" in error.problems
    assert made.steps("w-1")[-1] == ("verify", False)
    assert made.clock.time - 1000 < VERIFY_TIMEOUT_S + 30, "both are waited for at once"


def test_verify_waits_for_unavailable_api(setting: Any) -> None:
    made = setting(node("w-1"))

    def away(what: str) -> None:
        if made.jobs.started and not made.jobs.running and made.clock.time < 1060:
            raise UnreachableError("the API restarts")

    made.kube.fail = away
    made.execute()
    assert made.expansion.report("w-1").ok
    assert made.clock.time > 1060


ERRORS = [
    (SettingsError("no"), "SettingsError", 2),
    (UnreachableError("no"), "UnreachableError", 4),
    (KeyError("a defect"), "ExpandError", 1),
]


@pytest.mark.parametrize(("error", "kind", "retcode"), ERRORS, ids=[kind for _, kind, _ in ERRORS])
def test_error_of_single_node_does_not_stop_other_nodes(
    setting: Any, error: Exception, kind: str, retcode: int
) -> None:
    made = setting(member("cp-1"), member("cp-2"), node("w-1"), node("w-2"))
    made.jobs.returns = {"w-1": copy.copy(error), "cp-1": copy.copy(error)}
    made.execute()
    found = made.expansion.report("w-1").error
    assert (found["type"], found["retcode"], found["node"]) == (kind, retcode, "w-1")
    assert found["log"]
    assert made.steps("w-1") == [("register", True), ("deploy", False)]
    assert made.expansion.report("w-2").ok
    assert "cp-1" in made.expansion.skipped["cp-2"]


def test_report_of_skipped_node_has_no_steps(setting: Any) -> None:
    made = setting()
    made.expansion.skipped = {"w-1": "unreachable"}
    assert made.expansion.report("w-1").as_dict() == {
        "name": "w-1",
        "ok": False,
        "skipped": "unreachable",
        "steps": [],
        "error": None,
        "undone": [],
        "state": None,
    }


def test_steps_are_reported_in_order_of_execution(setting: Any) -> None:
    made = setting(member("cp-1"), node("w-1"))
    made.execute()
    for name in ("cp-1", "w-1"):
        steps = made.expansion.report(name).steps
        ends = [step.started + step.elapsed for step in steps if ":" not in step.name]
        assert ends == sorted(ends)


def test_journal_records_start_and_end_of_every_step(setting: Any) -> None:
    made = setting(node("w-1"))
    made.execute()
    assert made.journal.written == [
        ("step_started", "w-1", "register"), ("node_created", "w-1"), ("step_started", "w-1", "deploy"), ("job_started", "w-1", "job-1"),
        ("node_claimed", "w-1"), ("step_started", "w-1", "verify"), ("step_started", "w-1", "uncordon"), ("node_finished", "w-1", ""),
    ]  # fmt: skip


def test_step_does_not_start_if_journal_fails(setting: Any) -> None:
    made = setting(node("w-1"))

    def fail(name: str, step: str) -> None:
        if step == "deploy":
            raise UnreachableError("the API does not answer")

    made.journal.fail = fail
    made.execute()
    assert made.jobs.started == []
    assert made.steps("w-1") == [("register", True), ("deploy", False)]


def test_job_without_process_fails_immediately(setting: Any) -> None:
    made = setting(node("w-1"), node("w-2"))
    made.jobs.returns = {"w-1": DEAD}
    made.execute()
    error = made.expansion.errors["w-1"]
    assert isinstance(error, DeployError)
    assert error.job == "job-1"
    assert "returned nothing" in str(error)
    assert made.expansion.report("w-2").ok


def test_requested_stop_takes_effect_between_two_steps(setting: Any) -> None:
    made = setting(node("w-1"), node("w-2"), member("cp-1"), max_parallel=2)
    stop_during_first_job(made)
    made.execute(prepared=["cp-1"])
    assert made.steps("w-1")[-1] == ("deploy", True), "what had begun has ended"
    assert made.expansion.errors["w-1"].retcode == 10
    assert "verify" in made.expansion.errors["w-1"].message
    assert "asked by root on host" in made.expansion.skipped["w-2"]
    assert set(made.kube.nodes_by_name) == {"w-1", "cp-1"}, "nothing is taken back"
    assert made.expansion.states["w-1"] == "Ready; cordoned by us, so it takes no Pods"


class TestRollback:
    def test_node_that_existed_before_is_kept(self, setting: Any) -> None:
        made = setting(node("w-1"))
        made.kube.create_node(manifest.registration(made.nodes[0]))
        made.jobs.returns = {"w-1": FAILURE}
        made.execute()
        assert "w-1" in made.kube.nodes_by_name
        assert made.expansion.report("w-1").undone == ()

    def test_node_created_by_an_interrupted_run_is_deleted(self, setting: Any) -> None:
        made = setting(node("w-1"))
        made.kube.create_node(manifest.registration(made.nodes[0]))
        made.expansion.created = {"w-1"}
        made.jobs.returns = {"w-1": FAILURE}
        made.execute()
        assert "w-1" not in made.kube.nodes_by_name

    def test_node_is_kept_after_its_kubelet_reported(self, setting: Any) -> None:
        made = setting(node("w-1"))
        start = made.jobs.start

        def started(*arguments: Any) -> None:
            start(*arguments)
            made.cluster.deployed("w-1")

        made.jobs.start = started
        made.jobs.returns = {"w-1": FAILURE}
        made.execute()
        assert "w-1" in made.kube.nodes_by_name

    def test_learner_that_does_not_answer_is_removed(self, setting: Any) -> None:
        made = setting(member("cp-1"))
        made.etcd.put(learner(made.nodes[0], healthy=False, error="no answer"))
        made.health = lambda: []
        made.jobs.returns = {"cp-1": FAILURE}
        made.execute()
        assert [item.name for item in made.etcd.members()] == ["boot"]
        assert "its etcd learner" in made.expansion.report("cp-1").undone[0]

    def test_learner_that_answers_in_time_is_kept(self, setting: Any) -> None:
        made = setting(member("cp-1"))
        made.etcd.put(learner(made.nodes[0]))
        made.health = lambda: []
        made.jobs.returns = {"cp-1": FAILURE}
        made.execute()
        assert len(made.etcd.listed) == 2
        assert "is kept" in made.expansion.report("cp-1").undone[0]

    @pytest.mark.parametrize(
        ("others", "words", "left"),
        [
            (("boot", "b"), "was removed: it has not started", 2),
            (("boot",), "is kept: etcd has no quorum: 1 of 2", 2),
        ],
        ids=["third of three", "second of two"],
    )
    def test_voter_that_never_started_is_removed_under_the_guard(
        self, setting: Any, others: tuple[str, ...], words: str, left: int
    ) -> None:
        """MetalK8s adds voters."""
        made = setting(member("cp-1"))
        for number, name in enumerate(others, start=1):
            made.etcd.put(voter(number, name=name))
        url = f"https://{made.nodes[0].address}:2380"
        made.etcd.put(voter(9, None, name="", peer_urls=(url,), error="it has not started"))
        made.health = lambda: []
        made.jobs.returns = {"cp-1": FAILURE}
        made.execute()
        assert len(made.etcd.listed) == left
        [undone, *_] = made.expansion.report("cp-1").undone
        assert undone.startswith("its etcd member ")
        assert words in undone

    def test_learner_is_kept_without_a_quorum(self, setting: Any) -> None:
        made = setting(member("cp-1"))
        made.etcd.put(voter(1, name="boot", healthy=False))
        made.etcd.put(voter(2, name="b", healthy=False))
        made.etcd.put(learner(made.nodes[0], healthy=None))
        made.health = lambda: []
        made.jobs.returns = {"cp-1": FAILURE}
        made.execute()
        assert len(made.etcd.listed) == 3
        assert "no quorum" in made.expansion.report("cp-1").undone[0]

    def test_learner_is_kept_while_the_deployment_may_still_run(self, setting: Any) -> None:
        made = setting(member("cp-1"), deploy_timeout=30.0)
        made.etcd.put(learner(made.nodes[0], healthy=None))
        made.health = lambda: []
        made.jobs.returns = {"cp-1": NEVER}
        made.execute()
        assert len(made.etcd.listed) == 2
        assert "cp-1" in made.kube.nodes_by_name
        assert not any(entry[0] == "node_finished" for entry in made.journal.written), (
            "the next run looks for the job"
        )


DEPLOYMENT = "metalk8s.orchestrate.deploy_node"
PREPARED_STEPS = [
    ("register", True), ("prepare: Install", True), ("prepare", True), ("health", True),
    ("deploy: Install", True), ("deploy", True), ("verify", True), ("uncordon", True),
]  # fmt: skip


class TestPreparation:
    """Hosts are prepared in parallel; control-plane nodes then join one after another."""

    def test_hosts_of_both_kinds_are_prepared_in_parallel(self, setting: Any) -> None:
        made = setting(member("cp-1"), member("cp-2"), node("w-1"), node("w-2"))
        made.prepare_all()
        assert all(made.expansion.report(item.name).ok for item in made.nodes)
        begins = {name: begin for kind, name, begin, _ in made.jobs.ended if kind == "prepare"}
        assert set(begins) == {"cp-1", "cp-2", "w-1", "w-2"}
        assert max(begins.values()) - min(begins.values()) < 1

    def test_steps_of_a_prepared_member_have_their_order(self, setting: Any) -> None:
        made = setting(member("cp-1"), node("w-1"))
        made.prepare_all()
        assert made.steps("cp-1") == PREPARED_STEPS
        assert made.steps("w-1") == [step for step in PREPARED_STEPS if step[0] != "health"]

    @pytest.mark.parametrize("limit", [1, 2, 3])
    def test_max_parallel_limits_preparations(self, setting: Any, limit: int) -> None:
        nodes = [member(f"cp-{number}") for number in range(3)]
        nodes += [node(f"w-{number}") for number in range(3)]
        made = setting(*nodes, max_parallel=limit)
        made.jobs.took = 0.1
        made.prepare_all()
        prepared = [(begin, end) for kind, _, begin, end in made.jobs.ended if kind == "prepare"]
        for begin, _ in prepared:
            assert sum(first <= begin < last for first, last in prepared) <= limit
        # A member joins beside them.
        assert limit <= made.jobs.most <= limit + 1
        assert all(made.expansion.report(item.name).ok for item in nodes)

    def test_control_plane_is_prepared_first(self, setting: Any) -> None:
        made = setting(node("w-1"), node("w-2"), member("cp-1"), member("cp-2"), max_parallel=1)
        made.prepare_all()
        assert [name for sls, name in made.jobs.pillars if sls == PREPARATION] == [
            "cp-1", "cp-2", "w-1", "w-2",
        ]  # fmt: skip

    def test_members_join_one_after_another_in_order(self, setting: Any) -> None:
        """The first member is slow to prepare; the second one, which is ready, waits for it."""
        made = setting(member("cp-1"), member("cp-2"), member("cp-3"))
        result, slow = made.jobs.result, made.clock.time + 60

        def delayed(jid: str) -> Any:
            name, _ = made.jobs.running[jid]
            late = jid in made.jobs.preparations and name == "cp-1" and made.clock.time < slow
            return None if late else result(jid)

        made.jobs.result = delayed
        made.prepare_all()
        deployed = [entry for entry in made.jobs.ended if entry[0] == "deploy"]
        assert [name for _, name, _, _ in deployed] == ["cp-1", "cp-2", "cp-3"]
        for (_, _, _, end), (_, _, begin, _) in itertools.pairwise(deployed):
            assert begin >= end
        assert deployed[0][2] >= slow

    def test_member_joins_while_later_hosts_are_prepared(self, setting: Any) -> None:
        made = setting(member("cp-1"), member("cp-2"), max_parallel=1)
        made.prepare_all()
        moments = {(kind, name): (begin, end) for kind, name, begin, end in made.jobs.ended}
        assert moments["deploy", "cp-1"][0] < moments["prepare", "cp-2"][1]

    def test_health_is_checked_after_the_preparation(self, setting: Any) -> None:
        made = setting(member("cp-1"))
        moments: list[float] = []

        def healthy() -> list[str]:
            moments.append(made.clock.time)
            return []

        made.health = healthy
        made.prepare_all()
        [(_, _, _, prepared), *_] = made.jobs.ended
        assert min(moments) >= prepared

    def test_deployment_gets_prepared_only_after_the_preparation(self, setting: Any) -> None:
        made = setting(member("cp-1"), node("w-1"), node("w-2"))
        made.execute(prepared=["cp-1", "w-1"])
        options = {
            name: options for (sls, name), options in made.jobs.pillars.items() if sls == DEPLOYMENT
        }
        assert options == {
            "cp-1": {"node_name": "cp-1", "epoch": 41, "prepared": True},
            "w-1": {"node_name": "w-1", "epoch": 41, "prepared": True},
            "w-2": {"node_name": "w-2", "epoch": 41},
        }
        assert made.jobs.pillars[PREPARATION, "w-1"] == {"node_name": "w-1", "epoch": 41}

    def test_tree_without_preparation_gets_no_new_option(self, setting: Any) -> None:
        made = setting(member("cp-1"), member("cp-2"), node("w-1"))
        made.execute()
        assert {sls for sls, _ in made.jobs.pillars} == {DEPLOYMENT}
        assert all("prepared" not in options for options in made.jobs.pillars.values())
        assert made.steps("cp-2")[:2] == [("health", True), ("register", True)]

    def test_mixed_trees_share_one_order_of_members(self, setting: Any) -> None:
        made = setting(member("cp-1"), member("cp-2"), member("cp-3"))
        made.execute(prepared=["cp-2"])
        assert made.jobs.names == ["cp-1", "cp-2", "cp-3"]
        assert made.steps("cp-1")[:2] == [("health", True), ("register", True)]
        assert made.steps("cp-2") == PREPARED_STEPS

    def test_failed_preparation_is_rolled_back_and_stops_no_member(self, setting: Any) -> None:
        made = setting(member("cp-1"), member("cp-2"), node("w-1"))
        made.jobs.prepared_returns = {"cp-1": FAILURE}
        made.prepare_all()
        error = made.expansion.errors["cp-1"]
        assert isinstance(error, DeployError)
        assert "metalk8s.orchestrate.prepare_node failed" in str(error)
        assert error.job
        assert made.steps("cp-1")[-1] == ("prepare", False)
        assert "cp-1" not in made.kube.nodes_by_name
        assert made.expansion.report("cp-1").undone == (
            "its Node was deleted: no kubelet has ever reported on it",
        )
        assert made.jobs.names.count("cp-1") == 0
        assert made.expansion.report("cp-2").ok
        assert made.expansion.report("w-1").ok
        finished = [
            entry for entry in made.journal.written if entry[:2] == ("node_finished", "cp-1")
        ]
        assert len(finished) == 1

    def test_failed_preparation_of_worker_is_rolled_back(self, setting: Any) -> None:
        made = setting(node("w-1"), node("w-2"))
        made.jobs.prepared_returns = {"w-1": FAILURE}
        made.prepare_all()
        assert set(made.kube.nodes_by_name) == {"w-2"}
        assert made.jobs.names == ["w-2"]

    def test_failed_join_skips_later_members_and_removes_their_nodes(self, setting: Any) -> None:
        made = setting(member("cp-1"), member("cp-2"), member("cp-3"), node("w-1"))
        made.jobs.returns = {"cp-1": FAILURE}
        made.prepare_all()
        assert set(made.kube.nodes_by_name) == {"w-1"}
        for name in ("cp-2", "cp-3"):
            report = made.expansion.report(name)
            assert "cp-1 failed before it" in report.skipped
            assert report.undone == ("its Node was deleted: no kubelet has ever reported on it",)
            assert ("node_claimed", name) in made.journal.written
        assert [name for name in made.jobs.names if name.startswith("cp")] == ["cp-1"]
        assert made.expansion.report("w-1").ok

    def test_failed_join_begins_no_further_preparation_of_a_member(self, setting: Any) -> None:
        made = setting(member("cp-1"), member("cp-2"), node("w-1"), max_parallel=1)
        made.jobs.returns = {"cp-1": FAILURE}
        made.jobs.took, made.jobs.prepares = 1.0, 30.0
        made.jobs.prepared_returns = {}
        nodes = made.nodes
        made.execute(prepared=[nodes[1].name])
        # cp-1 fails while cp-2 is prepared: the preparation ends, and cp-2 does not join.
        assert "cp-1 failed before it" in made.expansion.skipped["cp-2"]
        assert "cp-2" not in made.kube.nodes_by_name

    def test_node_of_an_earlier_run_is_kept_when_its_turn_does_not_come(self, setting: Any) -> None:
        made = setting(member("cp-1"), member("cp-2"))
        made.kube.create_node(manifest.registration(made.nodes[1]))
        made.jobs.returns = {"cp-1": FAILURE}
        made.prepare_all()
        assert "cp-2" in made.kube.nodes_by_name
        assert made.expansion.report("cp-2").undone == ()

    def test_failed_member_after_a_failed_preparation_still_skips(self, setting: Any) -> None:
        made = setting(member("cp-1"), member("cp-2"), member("cp-3"))
        made.jobs.prepared_returns = {"cp-1": FAILURE}
        made.jobs.returns = {"cp-2": FAILURE}
        made.prepare_all()
        assert set(made.expansion.errors) == {"cp-1", "cp-2"}
        assert "cp-2 failed before it" in made.expansion.skipped["cp-3"]
        assert made.kube.nodes_by_name == {}

    def test_requested_stop_ends_after_current_preparations(self, setting: Any) -> None:
        made = setting(member("cp-1"), member("cp-2"), node("w-1"), max_parallel=1)
        stop_during_first_job(made)
        made.prepare_all()
        assert made.jobs.names == [], "no deployment begins"
        assert made.steps("cp-1")[-1] == ("prepare", True), "what had begun has ended"
        for name in ("cp-1", "cp-2", "w-1"):
            assert "asked by root on host" in made.expansion.skipped[name]
        assert set(made.kube.nodes_by_name) == {"cp-1"}, "nothing is rolled back"

    def test_run_without_the_lock_begins_no_deployment(self, setting: Any) -> None:
        made = setting(member("cp-1"), node("w-1"))
        made.lock.lost_at = made.clock.time + 2.0
        made.prepare_all()
        assert made.jobs.names == []
        assert {error.retcode for error in made.expansion.errors.values()} == {9}
        assert ("node_claimed", "cp-1") not in made.journal.written

    def test_preparation_that_never_returns_times_out_and_is_kept(self, setting: Any) -> None:
        made = setting(member("cp-1"), member("cp-2"), deploy_timeout=60.0)
        made.jobs.prepared_returns = {"cp-1": NEVER}
        made.prepare_all()
        assert isinstance(made.expansion.errors["cp-1"], DeadlineError)
        assert "cp-1" in made.kube.nodes_by_name
        assert not any(entry[:2] == ("node_finished", "cp-1") for entry in made.journal.written)
        assert made.expansion.report("cp-2").ok

    def test_preparation_without_process_fails_immediately(self, setting: Any) -> None:
        made = setting(node("w-1"))
        made.jobs.prepared_returns = {"w-1": DEAD}
        made.prepare_all()
        assert "the process of metalk8s.orchestrate.prepare_node is gone" in str(
            made.expansion.errors["w-1"]
        )

    @pytest.mark.parametrize("error", [UnreachableError("no"), KeyError("a defect")])
    def test_error_of_a_preparation_ends_its_node_only(
        self, setting: Any, error: Exception
    ) -> None:
        made = setting(member("cp-1"), member("cp-2"), node("w-1"))
        made.jobs.prepared_returns = {"cp-1": copy.copy(error)}
        made.prepare_all()
        assert set(made.expansion.errors) == {"cp-1"}
        assert made.expansion.report("cp-2").ok
        assert made.expansion.report("w-1").ok

    def test_steps_are_published_with_the_job_of_each(self, setting: Any) -> None:
        heard = told_of(setting(node("w-1")))
        jobs = {step: job for _, step, state, job, _ in heard if job and state == "done"}
        assert jobs == {"prepare": "job-1", "deploy": "job-2"}


class TestMetalk8sCordon:
    """MetalK8s's own deployment cordons and drains the node. If it fails, the cordon stays."""

    def failed(self, setting: Any, **metadata: Any) -> Any:
        made = setting(node("w-1"))
        made.kube.create_node(manifest.registration(made.nodes[0]))
        made.cluster.deployed("w-1")
        found = made.kube.nodes_by_name["w-1"]
        found["spec"]["unschedulable"] = None
        found["metadata"]["annotations"].pop("metalk8s-expand.scality.com/cordoned", None)
        start = made.jobs.start

        def started(*arguments: Any) -> None:
            start(*arguments)
            found["spec"]["unschedulable"] = True
            found["metadata"].update(metadata)

        made.jobs.start = started
        made.jobs.returns = {"w-1": FAILURE}
        made.execute()
        return made

    def test_foreign_cordon_is_reported_with_command_and_kept(self, setting: Any) -> None:
        theirs = [{"manager": "OpenAPI-Generator", "fieldsV1": {"f:spec": {"f:unschedulable": {}}}}]
        made = self.failed(setting, managedFields=theirs)
        assert made.kube.nodes_by_name["w-1"]["spec"]["unschedulable"] is True
        assert made.expansion.report("w-1").state == (
            "Ready; cordoned by OpenAPI-Generator, not by us, so it takes no Pods: kubectl uncordon w-1, once it is healthy"
        )

    def test_report_of_uncordoned_node_shows_no_cordon(self, setting: Any) -> None:
        made = setting(node("w-1"))
        made.kube.create_node(manifest.registration(made.nodes[0]))
        made.cluster.deployed("w-1")
        made.kube.nodes_by_name["w-1"]["spec"]["unschedulable"] = None
        made.jobs.returns = {"w-1": FAILURE}
        made.execute()
        assert made.expansion.report("w-1").state == "Ready; not cordoned"

    def test_own_cordon_is_kept_for_next_run(self, setting: Any) -> None:
        """MetalK8s does not change a cordoned Node, so the cordon remains this project's."""
        made = setting(node("w-1"))
        start = made.jobs.start

        def started(*arguments: Any) -> None:
            start(*arguments)
            made.cluster.deployed("w-1")

        made.jobs.start = started
        made.jobs.returns = {"w-1": FAILURE}
        made.execute()
        assert made.kube.nodes_by_name["w-1"]["spec"]["unschedulable"] is True
        assert made.expansion.report("w-1").state == "Ready; cordoned by us, so it takes no Pods"
        made.jobs.returns = {}
        made.expansion.errors.clear()
        made.execute()
        assert made.kube.nodes_by_name["w-1"]["spec"].get("unschedulable") is None


def learner(of: Node, **changes: Any) -> Member:
    peer_urls = (f"https://{of.address}:2380",)
    return voter(9, name=of.name, peer_urls=peer_urls, learner=True, **changes)


def told(made: Any) -> list[tuple[Any, ...]]:
    """Return the published step events: node, step, state, job, error class."""
    made.execute()
    events: list[tuple[Any, ...]] = made.progress.events
    return events


def told_of(made: Any) -> list[tuple[Any, ...]]:
    """Return the step events of a run that prepares all hosts."""
    made.prepare_all()
    events: list[tuple[Any, ...]] = made.progress.events
    return events


def test_steps_are_published_with_their_job(setting: Any) -> None:
    heard = told(setting(node("w-1")))
    jobs = {job for _, _, _, job, _ in heard if job}
    assert len(jobs) == 1
    assert [(step, state, bool(job), error) for _, step, state, job, error in heard] == [
        ("register", "started", False, None), ("register", "done", False, None),
        ("deploy", "started", False, None), ("deploy", "started", True, None), ("deploy", "done", True, None),
        ("verify", "started", False, None), ("verify", "done", False, None),
        ("uncordon", "started", False, None), ("uncordon", "done", False, None),
    ]  # fmt: skip


def test_failed_step_is_published_with_its_error(setting: Any) -> None:
    made = setting(node("w-1"))
    made.jobs.returns["w-1"] = FAILURE
    assert [(step, state, error) for _, step, state, _, error in told(made)][-1] == (
        "deploy",
        "failed",
        "DeployError",
    )
