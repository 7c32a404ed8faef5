"""Test the runner's functions without daemons: real Salt options and pillar, and a fake cluster."""

from __future__ import annotations

import copy
import json
import textwrap
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import salt.config
import yaml

from metalk8s_expand.clients.kubernetes.api import FORBIDDEN
from metalk8s_expand.clients.kubernetes.lease import claim, stamp
from metalk8s_expand.clients.salt import cache, orchestrations, running_jobs
from metalk8s_expand.cluster import minion_key
from metalk8s_expand.cluster.configuration import VERSION_ANNOTATION
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.commands.reports import DEPLOYMENT
from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.domain.etcd.quorum import Alarm
from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.domain.node import manifest, ssh_annotations
from metalk8s_expand.domain.removal.node_inventory import HostInventory, NodeInventory
from metalk8s_expand.domain.reports.history import render_history
from metalk8s_expand.domain.reports.run import NodeReport
from metalk8s_expand.domain.reports.terminal.document import text_of
from metalk8s_expand.domain.runs.lease_rules import STOP
from metalk8s_expand.domain.salt import saltenv
from metalk8s_expand.errors import (
    ConflictError,
    LockedError,
    QuorumError,
    SettingsError,
    StoppedError,
    UnreachableError,
)
from metalk8s_expand.expansion import planner, workflow
from metalk8s_expand.expansion.node_steps import NODE_STEPS
from metalk8s_expand.preflight import silent_minions
from metalk8s_expand.removal import discovery
from metalk8s_expand.runs.confirmation import QUESTION
from metalk8s_expand.runs.lock import acquire
from metalk8s_expand.runs.progress import Progress
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.etcd_members import voter
from tests.fakes.kube import FakeKube
from tests.fakes.nodes import infra
from tests.fakes.operator import FakeOperator
from tests.fakes.runner import PILLAR, RunnerCalls, certificate, node
from tests.unit.metalk8s_expand.conftest import free_port

ROOT = Path(__file__).resolve().parents[4]
Make = Callable[..., RunnerCalls]
pytestmark = pytest.mark.usefixtures("rendered_pillars")


OPTIONS = salt.config.master_config(None)


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the ``salt-run`` of other tests on this machine."""
    monkeypatch.setattr(running_jobs, "running", lambda opts: [])


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Make:
    """Return a call with this pillar, these Nodes and these additional options."""

    def made(
        *nodes: dict[str, Any], pillar: Any = PILLAR, connect: Any = None, **more: Any
    ) -> RunnerCalls:
        (tmp_path / "pillar").mkdir(exist_ok=True)
        top = {"base": {"lab_master": ["declared"]}}
        (tmp_path / "pillar" / "top.sls").write_text(json.dumps(top))
        declared = {} if pillar is None else {"metalk8s_expand": pillar}
        (tmp_path / "pillar" / "declared.sls").write_text(json.dumps(declared))
        deployment = tmp_path / "tree" / DEPLOYMENT
        deployment.parent.mkdir(parents=True, exist_ok=True)
        deployment.touch()
        opts = copy.deepcopy(OPTIONS)
        values = {"id": "lab_master", "cachedir": str(tmp_path / "cache"), "extension_modules": str(tmp_path / "ext"),
                  "file_roots": {"metalk8s-2.0": [str(tmp_path / "tree")]},
                  "pillar_roots": {"base": [str(tmp_path / "pillar")]}, **more}  # fmt: skip
        opts.update(values)
        kube = FakeKube(*nodes)
        kube.coredns = {
            "metadata": {"name": "coredns"},
            "spec": {"replicas": 2},
            "status": {"availableReplicas": 2},
        }
        cluster = FakeCluster(opts, kube)
        return RunnerCalls.on(opts, clock, connect or (lambda opts: cluster))

    return made


# No SSH server listens there, so the check of the host fails immediately. The connection to an
# address without a host would fail after ten seconds.
CLOSED = {"host": "127.0.0.1", "port": 1}
WITHOUT_SSH: dict[str, Any] = {
    **PILLAR,
    "nodes": {**PILLAR["nodes"], "w-1": {**PILLAR["nodes"]["w-1"], "ssh": CLOSED}},
}


def unreachable(opts: Any) -> ClusterContext:
    """Fail as a cluster that a mistake in the pillar must not ask."""
    raise AssertionError("the API was asked")


BOOTSTRAP = """\
apiVersion: metalk8s.scality.com/v1alpha3
kind: BootstrapConfiguration
networks: {controlPlane: {cidr: 10.0.0.0/24}, workloadPlane: {cidr: [10.3.0.0/24]}, pods: 10.244.0.0/16}
proxies: {http: "http://ops:s3cret@proxy:3128"}
ca: {minion: boot}
archives: [/srv/scality/metalk8s-2.0]
"""
NAMES_ONLY = {"nodes": {"w-1": {"profile": "worker", "address": "10.0.0.3"}}}


def on_metalk8s(
    make: Make, tmp_path: Path, pillar: Any, file: str = BOOTSTRAP, **more: Any
) -> RunnerCalls:
    """Return calls on a master with MetalK8s's file and its annotation of the version."""
    path = tmp_path / "bootstrap.yaml"
    path.write_text(file)
    call = make(pillar=pillar, ext_pillar=[{"metalk8s": str(path)}], **more)
    annotations = {VERSION_ANNOTATION: "2.0"}
    namespace = {"metadata": {"name": "kube-system", "annotations": annotations}}
    call.cluster.kube.put("/api/v1/namespaces", namespace)
    return call


def everyone() -> list[dict[str, Any]]:
    return [node("w-1"), node("w-2"), node("i-1")]


class TestLogs:
    PART: ClassVar[dict[str, Any]] = {
        "part": "minion", "source": "/var/log/salt/minion", "lines": ["up"], "cut": False, "problem": None,
    }  # fmt: skip

    def test_logs_of_declared_node_need_no_api(self, make: Make) -> None:
        call = make(connect=unreachable)
        call.minions.answers["w-1"] = [self.PART]
        assert call.logs("w-1", 5) == {
            "node": "w-1", "lines": 5, "over": "salt", "notes": [], "parts": [self.PART],
        }  # fmt: skip

    def test_logs_for_people_are_text(self, make: Make) -> None:
        call = make(__cli="salt-run")
        call.minions.answers["w-1"] = [self.PART]
        assert "== minion: /var/log/salt/minion\nup" in call.logs("w-1", 5)["text"]

    def test_logs_of_undeclared_minion(self, make: Make) -> None:
        call = make(connect=unreachable)
        call.minions.answers["bootstrap"] = [self.PART]
        assert call.logs("bootstrap", 5)["parts"] == [self.PART]

    @pytest.mark.parametrize("name", ["w-9", "w-*"])
    def test_logs_of_unknown_node_name_key_and_value(self, make: Make, name: str) -> None:
        call = make()
        call.minions.without_key.add("w-9")
        with pytest.raises(SettingsError) as error:
            call.logs(name, 5)
        [problem] = error.value.as_dict()["problems"]
        assert (problem["path"], problem["value"]) == ("node", name)

    def test_logs_of_node_without_minion_and_address(self, make: Make) -> None:
        call = make()
        call.minions.answers.clear()
        call.minions.every = None
        with pytest.raises(UnreachableError) as error:
            call.logs("bootstrap", 5)
        assert "neither the pillar nor a Node has its address" in str(error.value)

    @pytest.mark.parametrize("lines", [0, 1001, True, "5", 1.5, None])
    def test_wrong_number_of_lines_is_named(self, make: Make, lines: Any) -> None:
        with pytest.raises(SettingsError) as error:
            make().logs("w-1", lines)
        [problem] = error.value.as_dict()["problems"]
        assert (problem["path"], problem["value"]) == ("lines", lines)


class TestPlan:
    def test_plan_of_empty_cluster_has_all_nodes(self, make: Make) -> None:
        found = make().plan(None)
        assert [item["node"] for item in found["workers"]] == ["w-1", "w-2", "i-1"]
        assert (found["control_plane"], found["unchanged"], found["warnings"]) == ([], [], [])
        json.dumps(found)

    @pytest.mark.parametrize(
        ("threads", "parallel", "warned"), [(3, 10, True), (4, 10, False), (3, 2, False)]
    )
    def test_plan_warns_about_too_few_worker_threads(
        self, make: Make, threads: int, parallel: int, warned: bool
    ) -> None:
        call = make(worker_threads=threads)
        found = call.plan(None, max_parallel=parallel)
        assert [
            item for item in found["warnings"] if "worker_threads to 4 or more" in item
        ] == found["warnings"]
        assert bool(found["warnings"]) == warned
        assert make(*everyone(), worker_threads=3).plan(None)["warnings"] == []

    def test_names_profiles_and_addresses_suffice_on_metalk8s(
        self, make: Make, tmp_path: Path
    ) -> None:
        call = on_metalk8s(make, tmp_path, NAMES_ONLY)
        [found] = call.plan(None)["workers"]
        assert "version" in json.dumps(found)
        assert "metalk8s.scality.com/version: '2.0'" in call.manifest("w-1")
        assert "version: '2.0'" in call.manifest(
            "w-9", {"profile": "worker", "address": "10.0.0.9"}
        )

    def test_check_ssh_needs_no_version_and_no_api(self, make: Make) -> None:
        call = make(pillar=NAMES_ONLY, connect=unreachable)
        with pytest.raises(SettingsError, match="does not declare"):
            call.check_ssh("w-9")

    def test_healthy_nodes_are_unchanged(self, make: Make) -> None:
        found = make(*everyone()).plan(None)
        assert (found["workers"], found["unchanged"]) == ([], ["w-1", "w-2", "i-1"])

    def test_node_that_is_not_ready_is_deployed_again(self, make: Make) -> None:
        ill = node("w-1")
        ill["status"]["conditions"] = [
            {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
        ]
        [found] = make(ill, node("w-2"), node("i-1")).plan(None)["workers"]
        assert "deploy" in [step["name"] for step in found["steps"]]

    def test_drift_of_node_object_alone_deploys_nothing(self, make: Make) -> None:
        drifted = node("w-1")
        drifted["metadata"]["labels"]["metalk8s.scality.com/version"] = "1.0"
        [found] = make(drifted, node("w-2"), node("i-1")).plan(None)["workers"]
        assert [step["name"] for step in found["steps"]] == ["register", "verify"]

    def test_plan_covers_named_nodes_only(self, make: Make) -> None:
        assert [item["node"] for item in make().plan("w-2")["workers"]] == ["w-2"]

    @pytest.mark.parametrize("names", ["w-9", "w-1,w-9", "w-1,", "", ["W-1"]])
    def test_unknown_names_are_refused(self, make: Make, names: Any) -> None:
        with pytest.raises(SettingsError):
            make().plan(names)

    def test_undeclared_node_is_planned_from_arguments(self, make: Make) -> None:
        [found] = make().plan("w-9", {"profile": "worker", "address": "10.0.0.9"})["workers"]
        assert (found["node"], found["address"]) == ("w-9", "10.0.0.9")

    @pytest.mark.parametrize("names", [None, "w-8,w-9"])
    def test_arguments_for_several_nodes_are_refused(self, make: Make, names: Any) -> None:
        with pytest.raises(SettingsError, match="one node: profile"):
            make().plan(names, {"profile": "worker"})

    def test_plan_is_text_for_people_and_data_for_programs(self, make: Make) -> None:
        call = make(__cli="salt-run")
        shown = call.plan(None)
        assert (shown.get("retcode"), "w-1" in shown["text"]) == (None, True)
        assert set(shown) <= {"text", "styles", "outputter"}
        assert "workers" in make(__cli="salt-run", output="json").plan(None)
        assert "workers" in make().plan(None)

    def test_missing_declaration_is_an_error(self, make: Make) -> None:
        with pytest.raises(SettingsError, match="no key metalk8s_expand"):
            make(pillar=None).plan(None)

    def test_declaration_error_is_reported_without_api(self, make: Make) -> None:
        call = make(pillar={"nodes": {"w-1": {"profile": "wroker"}}}, connect=unreachable)
        with pytest.raises(SettingsError, match="did you mean worker"):
            call.plan(None)

    def test_api_is_reached_through_configured_kubeconfig(self, make: Make, tmp_path: Path) -> None:
        call = make(
            metalk8s_expand={"kubeconfig": str(tmp_path / "nowhere")},
            connect=ClusterContext.from_opts,
        )
        with pytest.raises(UnreachableError, match="nowhere"):
            call.plan(None)


CONTROL_PLANE: dict[str, Any] = {
    **PILLAR,
    "profiles": {"member": {"roles": ["etcd"]}},
    "nodes": {**PILLAR["nodes"], "e-1": {"profile": "member", "address": "10.0.0.9"}},
}


class TestAlarm:
    """An alarm of etcd is a problem of the cluster, not of its nodes."""

    @pytest.fixture
    def call(self, make: Make) -> RunnerCalls:
        return self.with_alarm(make)

    def with_alarm(self, make: Make, **more: Any) -> RunnerCalls:
        member = manifest.manifest(settings.parse(CONTROL_PLANE).node("e-1"))
        member["status"] = node("w-1")["status"]
        call = make(*everyone(), member, pillar=CONTROL_PLANE, **more)
        call.cluster.kube.put_static_pods("e-1", "etcd")
        for number, name in ((1, "boot"), (9, "e-1")):
            call.cluster.etcd.put(voter(number, name=name, alarms=(Alarm(9, "NOSPACE"),)))
        return call

    def test_plan_reports_the_refusal_and_deploys_no_healthy_node(self, call: RunnerCalls) -> None:
        found = call.plan()
        assert found["unchanged"] == [*PILLAR["nodes"], "e-1"]
        assert (found["retcode"], found["refusal"]["type"]) == (6, "QuorumError")
        [problem] = found["refusal"]["problems"]
        assert "etcd has the alarm NOSPACE of member e-1 (9)" in problem

    def test_plan_shows_the_problems_of_a_node_itself(self, call: RunnerCalls) -> None:
        call.cluster.etcd.put(voter(9, False, name="e-1", error="it has no leader"))
        call.cluster.kube.request("DELETE", "/api/v1/namespaces/kube-system/pods/etcd-e-1")
        [found] = call.plan()["control_plane"]
        assert found["problems"][0] == "Pod kube-system/etcd-e-1 does not exist"
        assert found["problems"][1].endswith("is unhealthy: it has no leader")
        assert not any("NOSPACE" in problem for problem in found["problems"])

    def test_refusal_is_the_first_part_of_the_text(self, make: Make) -> None:
        found = self.with_alarm(make, __cli="salt-run").plan()
        assert found["retcode"] == 6
        assert found["text"].startswith("expand would be refused (exit code 6): ")

    def test_health_reports_alarm_and_members_once(self, call: RunnerCalls) -> None:
        call.cluster.etcd.put(voter(9, False, name="e-1", alarms=(Alarm(9, "NOSPACE"),)))
        first, *others = call.health()["error"]["problems"]
        assert first.startswith("etcd has the alarm NOSPACE of member e-1 (9)")
        assert len([item for item in others if "etcd" in item]) == 1

    def test_alarm_refuses_a_run_before_its_lease_is_written(self, call: RunnerCalls) -> None:
        with pytest.raises(QuorumError, match="alarm NOSPACE"):
            call.expand()
        assert call.cluster.leases().stored is None


class TestStaleReady:
    """The API shows the last status of a kubelet for a while after its host has died."""

    @pytest.fixture
    def call(self, make: Make) -> RunnerCalls:
        """Return a call on a cluster whose node w-1 still shows Ready, 20 seconds too late."""
        call = make(*everyone())
        kube = call.cluster.kube
        kube.dead_kubelets.add("w-1")
        kube.put_lease("w-1", stamp(kube.clock.now() - 20))
        return call

    def test_plan_deploys_a_ready_node_whose_kubelet_is_silent(self, call: RunnerCalls) -> None:
        [found] = call.plan()["workers"]
        assert (found["node"], [step["name"] for step in found["steps"]]) == (
            "w-1",
            ["check_ssh", "preflight", "deploy", "verify"],
        )
        assert "w-1 is not Ready: its kubelet does not renew its Lease" in found["problems"][0]

    def test_plan_waits_for_a_kubelet_that_is_late(
        self, call: RunnerCalls, clock: FakeClock
    ) -> None:
        begun = clock.now()

        def revive(request: str) -> None:
            if clock.now() > begun + 5:
                call.cluster.kube.dead_kubelets.clear()

        call.cluster.kube.fail = revive
        assert call.plan()["workers"] == []
        assert clock.now() <= begun + 7

    def test_plan_of_renewed_leases_does_not_wait(self, make: Make, clock: FakeClock) -> None:
        assert make(*everyone()).plan()["unchanged"] == list(PILLAR["nodes"])
        assert clock.now() == FakeClock().now()

    def test_health_needs_a_renewal_of_each_kubelet(self, call: RunnerCalls) -> None:
        call.cluster.kube.put_lease("w-1", stamp(call.cluster.kube.clock.now()))
        [problem] = call.health()["error"]["problems"]
        assert "w-1 is not Ready: its kubelet does not renew its Lease" in problem

    def test_missing_right_names_the_role(self, call: RunnerCalls) -> None:
        def refuse(request: str) -> None:
            if "kube-node-lease" in request:
                raise UnreachableError("was answered 403: leases is forbidden", cause=FORBIDDEN)

        call.cluster.kube.fail = refuse
        for function in (call.plan, call.health, call.expand):
            with pytest.raises(UnreachableError, match="may not read the Leases") as error:
                function()
            assert "expand-rbac.yaml.j2" in str(error.value.hint)


class TestMinionContact:
    """A node whose minion the master does not reach is not as declared."""

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"without_key": {"w-1"}}, "the master has no accepted key of its minion"),
            ({"answers": {"w-1": None}}, "its minion does not answer the master"),
        ],
    )
    def test_plan_reconnects_the_minion(
        self, make: Make, change: dict[str, Any], reason: str
    ) -> None:
        call = make(*everyone())
        for name, value in change.items():
            setattr(call.cluster.salt, name, value)
        found = call.plan()
        [item] = found["workers"]
        assert item["node"] == "w-1"
        assert item["steps"] == [
            {"name": "reconnect", "reason": reason},
            {"name": "verify", "reason": "every change is verified"},
        ]
        assert found["retcode"] == 0

    def test_all_minions_are_asked_in_one_job(self, make: Make) -> None:
        call = make(*everyone())
        assert call.plan()["unchanged"] == list(PILLAR["nodes"])
        assert call.cluster.salt.asked == [(list(PILLAR["nodes"]), "test.ping", [])]

    def test_minion_of_a_dead_host_is_not_asked(self, make: Make) -> None:
        call = make(node("w-1"))
        call.cluster.kube.dead_kubelets.add("w-1")
        [found] = call.plan("w-1")["workers"]
        assert "deploy" in [step["name"] for step in found["steps"]]
        assert "reconnect" not in [step["name"] for step in found["steps"]]

    def test_expand_reconnects_and_verifies(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        call = make(*everyone())
        call.cluster.salt.answers = {"w-1": None}
        reached: list[str] = []

        def reconnect(keys: Any, minions: Any, target: Any, clock: Any) -> Any:
            reached.append(target.name)
            call.cluster.salt.answers = {}
            yield 1.0

        prepared: list[Any] = []
        monkeypatch.setattr(minion_key, "reconnect", reconnect)
        monkeypatch.setattr(orchestrations, "prepare_ssh", prepared.append)
        report = call.expand()
        [found] = report["nodes"]
        assert [step["name"] for step in found["steps"]] == ["reconnect", "verify"]
        assert (report["ok"], reached, prepared) == (True, ["w-1"], [])
        assert call.expand()["unchanged"] is True


class TestSilentMinions:
    """MetalK8s's own deployment fails if any minion is down; this project's does not."""

    def test_foreign_deployment_is_refused_before_it_starts(self, make: Make) -> None:
        call = make(*everyone()[1:], pillar=WITHOUT_SSH)
        call.cluster.salt.others = ["boot", "gone", "w-2"]
        call.cluster.salt.answers = {"gone": None}
        for found in (call.plan("w-1"), call.expand("w-1", skip_failed=True, dry_run=True)):
            assert (found["retcode"], found["refusal"]["problems"]) == (
                4,
                ["minion gone does not answer test.ping"],
            )
        with pytest.raises(UnreachableError, match="contacts every accepted minion") as error:
            call.expand("w-1")
        assert "salt-key --delete" in str(error.value.hint)
        assert "start salt-minion on the hosts of gone" in str(error.value.hint)
        assert "w-1" not in call.cluster.kube.nodes_by_name

    def test_remedy_for_a_declared_node_is_the_command_of_this_project(self, make: Make) -> None:
        call = make(*everyone()[1:])
        call.cluster.salt.others = ["w-2"]
        call.cluster.salt.answers = {"w-2": None}
        refusal = call.plan("w-1")["refusal"]
        assert "salt-run metalk8s_expand.expand w-2" in refusal["hint"]
        assert call.plan("w-1,w-2")["refusal"] is None

    def test_own_deployment_has_a_note_instead(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(saltenv, "is_of_metalk8s", lambda has, name: False)
        call = make(*everyone()[1:])
        call.cluster.salt.others = ["gone"]
        call.cluster.salt.answers = {"gone": None}
        assert call.plan("w-1")["refusal"] is None
        settings = call.settings()
        planned = planner.current_plan(call.cluster, settings, ["w-1"], call.clock)
        [note] = silent_minions.notes(call.cluster, settings, planned)
        assert "do not answer, which does not stop the run: gone" in note
        call.cluster.salt.limit = 0
        [note] = silent_minions.notes(call.cluster, settings, planned)
        assert note == "whether all minions answer is unknown: no master"

    def test_plan_without_deployment_asks_no_other_minion(self, make: Make) -> None:
        call = make(*everyone())
        call.cluster.salt.others = ["gone"]
        call.cluster.salt.answers = {"gone": None}
        assert call.plan()["refusal"] is None
        assert all("gone" not in names for names, _, _ in call.cluster.salt.asked)


class TestRedeploy:
    def test_named_node_is_deployed_again(self, make: Make) -> None:
        call = make(*everyone())
        found = call.plan("w-1", redeploy=True)
        [item] = found["workers"]
        assert item["steps"][2] == {"name": "deploy", "reason": "redeploy=True requests it"}
        assert found["digest"] != call.plan("w-1")["digest"]
        assert found["warnings"] == [
            "MetalK8s's deployment drains these nodes, which run Pods now: w-1"
        ]

    def test_digest_alone_keeps_the_request(self, make: Make) -> None:
        call = make(*everyone(), pillar=WITHOUT_SSH)
        digest = call.plan("w-1", redeploy=True)["digest"]
        assert call.expand(plan=digest, skip_failed=True, dry_run=True)["digest"] == digest

    def test_report_names_the_flag(self, make: Make) -> None:
        call = make(node("w-1"), pillar=WITHOUT_SSH)
        call.cluster.kube.nodes_by_name.clear()
        found = call.expand("w-1", redeploy=True, skip_failed=True)
        assert found["command"] == "salt-run metalk8s_expand.add_node w-1 redeploy=true"

    @pytest.mark.parametrize("function", ["plan", "expand"])
    def test_request_without_names_is_refused(self, make: Make, function: str) -> None:
        with pytest.raises(SettingsError, match="needs their names"):
            getattr(make(*everyone()), function)(redeploy=True)
        with pytest.raises(SettingsError, match="write True or False"):
            getattr(make(*everyone()), function)("w-1", redeploy="yes")


class TestSelection:
    """The selection of nodes is the same for all functions that take several nodes."""

    @pytest.mark.parametrize(
        ("nodes", "profiles", "wanted"),
        [
            ("w-*", None, ["w-1", "w-2"]),
            ("*-1", "worker", ["w-1"]),
            (None, "infra,worker", ["w-1", "w-2", "i-1"]),
        ],
    )
    def test_plan_covers_matching_nodes(
        self, make: Make, nodes: Any, profiles: Any, wanted: list[str]
    ) -> None:
        assert [item["node"] for item in make().plan(nodes, profiles=profiles)["workers"]] == wanted

    @pytest.mark.parametrize("function", ["plan", "expand", "check_ssh", "preflight", "health"])
    def test_selection_of_no_node_is_an_error(self, make: Make, function: str) -> None:
        for wrong in (
            {"nodes": "x-*"},
            {"profiles": "wroker"},
            {"nodes": "w-1", "profiles": "infra"},
            {"nodes": []},
        ):
            with pytest.raises(SettingsError):
                getattr(make(), function)(**wrong)

    def test_health_covers_selected_nodes(self, make: Make) -> None:
        call = make(node("w-1"), infra("other"))
        assert call.health("w-1", "worker")["healthy"] is True
        [problem] = call.health(None, "worker")["error"]["problems"]
        assert problem == "Node w-2 is declared and not registered"

    def test_approved_plan_covers_nodes_that_matched_then(self, make: Make) -> None:
        call = make(node("w-1"), node("w-2"))
        found = call.plan("w-*", max_parallel=1)
        assert found["asked"] == ("w-1", "w-2")
        later = make(*call.cluster.kube.nodes_by_name.values(), pillar=with_one_more())
        assert later.expand(plan=found["digest"])["unchanged"] is True
        with pytest.raises(ConflictError, match="plan has changed"):
            later.expand("w-*", plan=found["digest"])

    def test_report_and_event_show_given_arguments(self, make: Make) -> None:
        call = make(*everyone())
        report = call.expand("w-*", profiles="worker", max_parallel=2)
        assert (
            report["command"]
            == "salt-run metalk8s_expand.expand 'nodes=w-*' profiles=worker max_parallel=2"
        )
        assert call.bus.events[0][1]["doing"] == "expand w-*, profile worker"


class TestMaxParallel:
    def test_max_parallel_changes_the_waves_and_the_digest(self, make: Make) -> None:
        one, two = make().plan(max_parallel=1), make().plan(max_parallel=2)
        assert [wave["at_once"] for wave in one["waves"] + two["waves"]] == [1, 2]
        assert one["digest"] != two["digest"]
        assert make().plan()["digest"] == make().plan(max_parallel=10)["digest"]

    def test_approved_plan_includes_max_parallel(self, make: Make) -> None:
        """The next call recognizes the plan by its digest, without the same argument."""
        call = make(pillar=WITHOUT_SSH)
        found = call.plan("w-1", max_parallel=3)
        assert call.expand(plan=found["digest"], dry_run=True)["digest"] == found["digest"]
        refused = call.expand(plan=found["digest"], dry_run=True, max_parallel=4)["refusal"]
        assert refused["problems"] == ["the waves changed"]

    @pytest.mark.parametrize("wrong", [0, "2", True])
    @pytest.mark.parametrize("function", ["plan", "expand"])
    def test_invalid_max_parallel_is_refused(self, make: Make, function: str, wrong: Any) -> None:
        with pytest.raises(SettingsError, match="max_parallel: "):
            getattr(make(), function)(max_parallel=wrong)


class TestConfirmation:
    def drifted(self, make: Make) -> RunnerCalls:
        """Return calls on a cluster where one Node differs in a way that needs no host."""
        nodes = everyone()
        nodes[0]["metadata"]["labels"]["metalk8s.scality.com/version"] = "1.0"
        nodes[0]["metadata"]["uid"] = "uid-w-1"
        return make(*nodes)

    def untouched(self, call: RunnerCalls) -> bool:
        reports = cache.reports(call.opts)
        return (call.cluster.kube.writes, call.cluster.shared.stored, reports) == ([], None, [])

    def test_confirmed_plan_runs(self, make: Make) -> None:
        call, operator = self.drifted(make), FakeOperator("yes")
        report = call.asking(operator).expand(confirm=True)
        assert (report["ok"], [item["name"] for item in report["nodes"]]) == (True, ["w-1"])
        [shown] = operator.asked
        page = (ROOT / "docs/guides/expand.rst").read_text(encoding="utf-8")
        assert textwrap.indent(f"{shown}\n\n{QUESTION.strip()}\n", "   ") in page
        assert "confirm" not in report["command"]

    def test_time_of_the_question_is_not_part_of_the_run(
        self, make: Make, clock: FakeClock
    ) -> None:
        call = self.drifted(make)
        call.ctx.progress._clock = clock
        operator = FakeOperator(meddle=lambda: clock.sleep(3600.0))
        assert call.asking(operator).expand(confirm=True)["elapsed"] < 3600.0

    @pytest.mark.parametrize("answer", ["", "no", "y", "YES", "yes please"])
    def test_plan_without_yes_changes_nothing(self, make: Make, answer: str) -> None:
        call = self.drifted(make)
        with pytest.raises(StoppedError, match="expand w-1 was not confirmed") as error:
            call.asking(FakeOperator(answer)).add_node("w-1", confirm=True)
        assert (error.value.retcode, self.untouched(call)) == (10, True)

    def test_lock_is_free_while_the_question_is_open(self, make: Make) -> None:
        call = self.drifted(make)
        held: list[Any] = []
        operator = FakeOperator("no", meddle=lambda: held.append(call.cluster.shared.stored))
        with pytest.raises(StoppedError):
            call.asking(operator).expand(confirm=True)
        assert held == [None]

    def test_plan_that_changes_after_it_was_shown_is_refused(self, make: Make) -> None:
        call = self.drifted(make)
        labels = call.cluster.kube.nodes_by_name["w-2"]["metadata"]["labels"]
        drifts = FakeOperator(meddle=lambda: labels.update({"metalk8s.scality.com/version": "1.0"}))
        with pytest.raises(ConflictError, match="plan has changed") as error:
            call.asking(drifts).expand(confirm=True)
        assert error.value.problems == ("node w-2: was not in the plan, and now needs steps",)
        assert "metadata" not in call.cluster.kube.writes

    @pytest.mark.parametrize("dry_run", [True, False])
    def test_operator_is_not_asked_without_changes(self, make: Make, dry_run: bool) -> None:
        operator = FakeOperator("no")
        call = (self.drifted(make) if dry_run else make(*everyone())).asking(operator)
        assert call.expand(confirm=True, dry_run=dry_run)["retcode"] == 0
        assert operator.asked == []

    def test_dry_run_needs_no_terminal(self, make: Make) -> None:
        assert make(*everyone()).expand(confirm=True, dry_run=True)["retcode"] == 0

    def test_refusal_comes_before_the_question(self, make: Make) -> None:
        operator = FakeOperator()
        call = self.drifted(make).asking(operator)
        call.cluster.kube.readyz = (500, "etcd failed")
        with pytest.raises(QuorumError):
            call.expand(confirm=True)
        assert operator.asked == []

    def test_caller_without_terminal_is_refused_before_the_api_is_asked(self, make: Make) -> None:
        call = make(connect=unreachable).asking(
            FakeOperator(absent="standard input is no terminal")
        )
        for ask in (call.expand, partial(call.add_node, "w-1"), partial(call.remove_node, "w-1")):
            with pytest.raises(SettingsError, match="input is no terminal") as error:
                ask(confirm=True)
            assert error.value.retcode == 2
        with pytest.raises(SettingsError, match="plan=DIGEST"):
            call.expand(confirm=True)

    @pytest.mark.parametrize(
        "caller",
        [
            {},
            {"__cli": "salt-master"},
            {"__cli": "salt-call", "fun": "metalk8s_expand.expand"},
            {"__cli": "salt-run", "fun": "state.orchestrate"},
        ],
        ids=["library", "reaction or schedule", "minion", "orchestration"],
    )
    def test_program_cannot_ask_although_it_has_a_terminal(
        self, make: Make, caller: dict[str, Any]
    ) -> None:
        operator = FakeOperator()
        call = make(connect=unreachable, **caller)
        call.ctx = replace(call.ctx, operator=operator)
        with pytest.raises(SettingsError, match="no operator has called"):
            call.expand(confirm=True)
        assert operator.asked == []

    def test_queue_asks_nothing(self, make: Make) -> None:
        operator = FakeOperator("no")
        call = self.drifted(make)
        call.request("w-1")
        assert call.asking(operator).work()["report"]["ok"] is True
        assert operator.asked == []

    @pytest.mark.parametrize("function", ["expand", "remove_node"])
    def test_quoted_flag_is_refused(self, make: Make, function: str) -> None:
        with pytest.raises(SettingsError, match="confirm is 'no'"):
            getattr(make(connect=unreachable), function)("w-1", confirm="no")


class TestDryRun:
    @pytest.fixture
    def declared(self) -> dict[str, Any]:
        entry = {**PILLAR["nodes"]["w-1"], "ssh": {"host": "127.0.0.1", "port": free_port()}}
        return {**PILLAR, "nodes": {"w-1": entry}}

    def test_dry_run_returns_the_plan_and_changes_nothing(self, make: Make) -> None:
        call = make(*everyone())
        found = call.expand(dry_run=True)
        assert (found["digest"], found["refusal"], found["retcode"]) == (
            call.plan()["digest"],
            None,
            0,
        )
        assert set(call.plan()) <= set(found)
        assert (call.cluster.leases().stored, heard(call)) == (None, [])
        assert call.cluster.kube.writes == []
        assert cache.reports(call.opts) == []

    def test_dry_run_needs_no_lock(self, make: Make) -> None:
        call = make(*everyone())
        with acquire(
            call.cluster.leases(), claim("20260101000000", "expand w-1"), clock=FakeClock()
        ):
            assert call.expand(dry_run=True)["retcode"] == 0

    def test_dry_run_reports_unreachable_host(self, make: Make, declared: dict[str, Any]) -> None:
        call = make(pillar=declared)
        found = call.expand(dry_run=True)
        assert (found["retcode"], found["refusal"]["type"]) == (4, "UnreachableError")
        assert list(found["preflight"]["unreachable"]) == ["w-1"]
        assert call.expand(None, skip_failed=True, dry_run=True)["retcode"] == 0
        with pytest.raises(UnreachableError):
            call.expand(plan=found["digest"])
        assert call.cluster.kube.nodes() == []

    def test_dry_run_reports_cluster_refusal_and_host_findings(
        self, make: Make, declared: dict[str, Any]
    ) -> None:
        call = make(pillar=declared)
        call.cluster.kube.readyz = (500, "etcd failed")
        found = call.add_node("w-1", dry_run=True)
        assert (found["retcode"], found["refusal"]["type"]) == (6, "QuorumError")
        assert list(found["preflight"]["unreachable"]) == ["w-1"]

    def test_dry_run_reports_refused_plan(self, make: Make) -> None:
        wrong = node("w-1")
        wrong["metadata"]["labels"] = {"node-role.kubernetes.io/etcd": ""}
        found = make(wrong).expand("w-1", dry_run=True)
        assert (found["retcode"], found["refusal"]["message"]) == (
            5,
            "the plan is refused, so nothing was started",
        )

    def test_dry_run_reports_changed_plan(self, make: Make) -> None:
        call = make(node("w-1"))
        digest = call.plan("w-1")["digest"]
        call.cluster.kube.nodes_by_name["w-1"]["metadata"]["labels"] = {}
        found = call.expand(plan=digest, dry_run=True)
        assert found["refusal"]["problems"] == [
            "node w-1: was not in the plan, and now needs steps"
        ]

    def test_dry_run_is_text_for_people(self, make: Make, declared: dict[str, Any]) -> None:
        well = make(*everyone(), __cli="salt-run").expand(dry_run=True)
        assert "this was a dry run. The run itself would start" in well["text"]
        ill = make(pillar=declared, __cli="salt-run").expand(dry_run=True)
        assert (
            ill["retcode"],
            "would be refused (exit code 4): not every host can be reached" in ill["text"],
        ) == (4, True)

    def test_approved_plan_stores_undeclared_node(self, make: Make) -> None:
        """The plan stores the description, so the next call needs only the digest."""
        call = make()
        given = {
            "profile": "worker",
            "address": "10.0.0.9",
            "ssh": {"host": "127.0.0.1", "port": free_port()},
        }
        found = call.add_node("w-9", given, dry_run=True)
        assert [item["node"] for item in found["workers"]] == ["w-9"]
        assert call.expand(plan=found["digest"], dry_run=True)["digest"] == found["digest"]

    def test_add_node_refuses_a_glob(self, make: Make) -> None:
        with pytest.raises(SettingsError, match="node: is a glob"):
            make().add_node("w-*")

    def test_register_under_dry_run_changes_nothing(self, make: Make) -> None:
        call = make()
        shown = call.register("w-1", dry_run=True)
        assert call.cluster.kube.nodes() == []
        assert shown == {**call.register("w-1"), "dry_run": True}
        assert call.register("w-1", dry_run=True)["changes"] == []


@pytest.mark.parametrize(
    ("function", "argument"),
    [
        ("plan", {"preflight": "yes"}), ("expand", {"dry_run": "no"}), ("expand", {"probe": "x"}),
        ("expand", {"skip_failed": "w-2"}), ("status", {"follow": 1}),
        ("status", {"with_certificates": "no"}), ("register", {"name": "w-1", "dry_run": None}),
    ],
)  # fmt: skip
def test_flag_that_is_not_a_boolean_is_refused(
    make: Make, function: str, argument: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError, match="write True or False"):
        getattr(make(*everyone()), function)(**argument)


class TestManifest:
    def test_manifest_of_declared_node_has_its_taints(self, make: Make) -> None:
        found = yaml.safe_load(make().manifest("i-1"))
        assert found["metadata"]["name"] == "i-1"
        assert found["spec"]["taints"] == [
            {"key": "node-role.kubernetes.io/infra", "effect": "NoSchedule"}
        ]

    def test_manifest_of_undeclared_node_uses_arguments(self, make: Make) -> None:
        found = yaml.safe_load(make().manifest("w-9", {"profile": "worker", "address": "10.0.0.9"}))
        assert found["metadata"]["annotations"]["metalk8s.scality.com/ssh-host"] == "10.0.0.9"

    def test_manifest_of_unknown_node_is_refused(self, make: Make) -> None:
        with pytest.raises(SettingsError):
            make().manifest("w-9")


class TestDeclare:
    def adopted(self, name: str = "w-1", deployed: bool = True) -> dict[str, Any]:
        """Return a Node as MetalK8s's UI registers it: with each default of SSH as annotation."""
        found = node(name, deployed)
        annotations = found["metadata"]["annotations"]
        annotations |= {ssh_annotations.PORT: "22", ssh_annotations.USER: "root"}
        found["metadata"]["labels"]["example.com/disk"] = "010"
        return found

    def test_plan_of_printed_declaration_has_nothing_to_do(self, make: Make) -> None:
        nodes = [self.adopted("w-1"), node("w-2"), self.adopted("i-1")]
        text = make(*nodes, pillar=None, __cli="salt-run").declare()
        declared = yaml.safe_load(text)["metalk8s_expand"]
        found = make(*nodes, pillar=declared).plan(None)
        assert (found["unchanged"], found["workers"]) == (["w-1", "w-2", "i-1"], [])
        assert declared["nodes"]["i-1"]["profile"] == "infra"

    def test_registered_node_is_deployed_as_it_is(self, make: Make) -> None:
        nodes = [self.adopted(deployed=False)]
        found = make(*nodes, pillar=None).declare()
        [planned] = make(*nodes, pillar=found["declaration"]["metalk8s_expand"]).plan(None)[
            "workers"
        ]
        steps = [step["name"] for step in planned["steps"]]
        assert (steps, planned["changes"]) == (["check_ssh", "preflight", "deploy", "verify"], [])

    def test_result_names_nodes_that_are_not_described(self, make: Make) -> None:
        boot = infra("boot")
        boot["metadata"]["labels"]["node-role.kubernetes.io/bootstrap"] = ""
        found = make(self.adopted(), boot, pillar=None).declare()
        json.dumps(found)
        assert list(found["undescribed"]) == ["boot"]
        assert "# boot is not described: it is the bootstrap node" in found["yaml"]
        assert list(found["declaration"]["metalk8s_expand"]["nodes"]) == ["w-1"]
        assert yaml.safe_load(found["yaml"]) == found["declaration"]

    def test_named_node_that_cannot_be_described_is_an_error(self, make: Make) -> None:
        call = make(self.adopted(), infra("i-2"), pillar=None)
        with pytest.raises(ConflictError) as caught:
            call.declare("i-2,w-1")
        assert "metalk8s.scality.com/version" in str(caught.value.problems[0])
        assert list(call.declare("*")["undescribed"]) == ["i-2"]

    def test_name_of_no_node_is_an_error(self, make: Make) -> None:
        with pytest.raises(SettingsError, match="arguments"):
            make(self.adopted(), pillar=None).declare("w-9")

    def test_profile_and_key_directory_of_pillar_are_used(self, make: Make) -> None:
        found = self.adopted()
        found["metadata"]["annotations"][ssh_annotations.KEY_PATH] = "/srv/keys/salt-bootstrap"
        fast = {"roles": ["node"], "labels": {"example.com/disk": "010"}}
        own = {"key_directory": "/srv/keys", "profiles": {"fast": fast}, "nodes": {}}
        declared = make(found, pillar=own).declare()["declaration"]["metalk8s_expand"]
        assert declared["nodes"] == {"w-1": {"profile": "fast", "address": "10.0.0.3"}}
        assert (declared["key_directory"], declared["profiles"]) == ("/srv/keys", {"fast": fast})

    def test_declare_writes_nothing(self, make: Make) -> None:
        call = make(self.adopted(), pillar=None)
        call.declare()
        assert call.cluster.kube.writes == []


def test_register_creates_cordoned_node_once(make: Make) -> None:
    call = make()
    assert call.register("w-1")["changes"]
    found = call.cluster.kube.node("w-1")
    assert found is not None
    assert found["spec"]["unschedulable"] is True
    assert call.register("w-1") == {"node": "w-1", "changes": []}


class TestStatus:
    def test_status_shows_every_node_state(self, make: Make) -> None:
        ill = node("i-1")
        ill["status"]["conditions"] = []
        found = make(
            node("w-1"), node("w-2", deployed=False), ill, pillar=with_one_more()
        ).status()["nodes"]
        states = {name: item["state"] for name, item in found.items()}
        assert states == {
            "w-1": "ready", "w-2": "registered, not deployed", "i-1": "not ready", "w-3": "not registered",
        }  # fmt: skip
        assert found["i-1"]["problems"]
        assert found["w-1"]["problems"] == []

    def test_cordoned_node_is_not_called_unready(self, make: Make) -> None:
        cordoned = node("w-1")
        cordoned["spec"] = {"unschedulable": True}
        found = make(cordoned).status()["nodes"]["w-1"]
        assert found["state"] == "cordoned"
        assert "kubectl uncordon w-1" in found["problems"][0]

    def test_status_begins_with_the_overview(self, make: Make) -> None:
        call = make(*everyone(), __cli="salt-run")
        call.cluster.etcd.put(voter(1, name="boot", alarms=(Alarm(1, "NOSPACE"),)))
        text = call.status()["text"]
        assert text.startswith("cluster      state\nnodes        3 of 3 ready")
        assert "alarm: NOSPACE" in text.split("\n\n")[0]
        assert "- etcd has the alarm NOSPACE of member boot (1): a store has" in text

    def test_status_shows_what_cannot_be_read_as_unknown(self, make: Make) -> None:
        def refuse(request: str) -> None:
            if "endpointslices" in request or "deployments" in request:
                raise UnreachableError("GET was answered 403: forbidden", cause=FORBIDDEN)

        call = make(*everyone(), infra("other"))
        call.cluster.kube.fail = refuse
        call.cluster.etcd.urls = ()
        overview = call.status()["overview"]
        assert {key: overview[key]["unknown"] for key in ("api_servers", "dns", "etcd", "lock")} == {
            "api_servers": "GET was answered 403: forbidden", "dns": "GET was answered 403: forbidden",
            "etcd": "no etcd member answers", "lock": None,
        }  # fmt: skip
        assert overview["nodes"]["total"] == 4

    def test_requests_of_status_do_not_grow_with_the_fleet(self, make: Make) -> None:
        counts = []
        for extra in ([], [infra(f"other-{number}") for number in range(20)]):
            call = make(*everyone(), *extra)
            requests: list[str] = []
            call.cluster.kube.fail = requests.append
            call.status()
            counts.append(len(requests))
        assert counts[0] == counts[1]

    def test_status_reports_cordoned_node(self, make: Make) -> None:
        cordoned = node("w-1")
        cordoned["spec"] = {"unschedulable": True}
        assert "cordoned" in make(cordoned).status()["nodes"]["w-1"]["problems"][0]

    def test_status_text_shows_nodes_runs_and_certificates(self, make: Make) -> None:
        text = make(node("w-1"), __cli="salt-run").status()["text"]
        assert "not registered" in text
        assert "Runs: none" in text
        assert "Kubeconfig: /etc/kubernetes/admin.conf, from the default" in text
        assert "w-1 kubelet-client 2027-01-01T00:00:00Z 300.0" in " ".join(text.split())

    def test_status_shows_configuration_of_cluster_with_sources(
        self, make: Make, tmp_path: Path
    ) -> None:
        call = on_metalk8s(make, tmp_path, NAMES_ONLY, __cli="salt-run")
        shown = "".join(call.status()["text"].split())
        file = tmp_path / "bootstrap.yaml"
        assert f"networks.control_plane:10.0.0.0/24,from{file}" in shown
        assert f"networks.pod:10.244.0.0/16,from{file}" in shown
        assert f"version:2.0,fromannotation{VERSION_ANNOTATION}ofNamespacekube-system" in shown
        assert "proxies.http:http://***@proxy:3128,from" in shown

    def test_status_shows_contradiction_that_plan_refuses(self, make: Make, tmp_path: Path) -> None:
        pillar = {**NAMES_ONLY, "networks": {"pod_cidr": "10.1.0.0/16"}}
        call = on_metalk8s(make, tmp_path, pillar)
        found = call.status()["configuration"]
        assert found["cluster"]["networks.pod"] == {
            "value": ["10.1.0.0/16"], "source": "metalk8s_expand:networks:pod_cidr",
        }  # fmt: skip
        [problem] = found["problems"]
        assert "is not the Pod network of the cluster, which is 10.244.0.0/16" in problem
        with pytest.raises(SettingsError, match="contradicts the cluster") as error:
            call.plan(None)
        assert [str(item) for item in error.value.problems] == [problem]
        assert call.cluster.kube.writes == []

    def test_status_shows_file_that_is_not_readable(self, make: Make, tmp_path: Path) -> None:
        call = on_metalk8s(make, tmp_path, PILLAR, file="a: {")
        assert call.status()["configuration"]["problems"] == [
            f"{tmp_path}/bootstrap.yaml cannot be read: it is not YAML at line 1"
        ]

    def test_status_shows_certificates_of_deployed_nodes(self, make: Make) -> None:
        call = make(node("w-1"), node("w-2", deployed=False), infra("boot"), node("i-1"))
        call.cluster.kube.nodes_by_name["boot"]["status"] = node("w-1")["status"]
        call.minions.answers = {"i-1": False}
        found = call.status()
        ends = {"first": "kubelet-client", "not_after": "2027-01-01T00:00:00Z", "days_left": 300.0}
        unknown = {"unknown": "its minion does not answer the master"}
        assert found["certificates"] == {"w-1": ends, "boot": ends, "i-1": unknown}
        assert {name: row["certificates"] for name, row in found["nodes"].items()} == {
            "w-1": ends, "w-2": None, "i-1": unknown,
        }  # fmt: skip

    def test_status_without_certificates_asks_no_minion(self, make: Make) -> None:
        call = make(node("w-1"))
        assert call.status(with_certificates=False)["certificates"] == {}
        assert call.minions.asked == []

    def test_undeclared_node_is_shown(self, make: Make) -> None:
        call = make(node("w-1"), infra("other"))
        assert call.status()["undeclared"]["other"]["roles"] == ["infra"]
        assert "other" not in call.status()["nodes"]
        text = make(node("w-1"), infra("other"), __cli="salt-run").status()["text"]
        rows = {line.split()[0]: line for line in text.split("\n\n")[1].splitlines()}
        assert rows["other"].index("registered, not deployed, not declared") == rows["node"].index(
            "state"
        )

    def test_past_runs_have_command_outcome_nodes_and_duration(self, make: Make) -> None:
        call = make(node("w-1"), node("w-2"), node("i-1"))
        report = call.expand("w-1")
        [row] = call.status()["history"]
        assert row == {
            "id": report["id"], "command": "salt-run metalk8s_expand.add_node w-1", "ok": True,
            "retcode": 0, "nodes": 0, "failed": 0, "elapsed": report["elapsed"],
        }  # fmt: skip
        failed = {"id": "30000101000000", "ok": False, "retcode": 8, "elapsed": 61.2, "notes": [],
                  "command": "salt-run metalk8s_expand.expand", "nodes": [{"ok": True}, {"ok": False}]}  # fmt: skip
        cache.save_report(call.opts, failed)
        (cache.directory(call.opts) / "report-40000101000000.json").write_text("no JSON")
        shown = text_of([render_history(call.status()["history"])]).splitlines()
        assert shown[2].split() == [
            "30000101000000",
            "expand",
            "FAILED",
            "(8)",
            "1",
            "of",
            "2",
            "61",
        ]
        assert shown[1] == "40000101000000  (no readable report)"


def with_one_more() -> dict[str, Any]:
    return {
        **PILLAR,
        "nodes": {**PILLAR["nodes"], "w-3": {"profile": "worker", "address": "10.0.0.6"}},
    }


class TestHealth:
    def test_healthy_cluster_has_no_warnings(self, make: Make) -> None:
        found = make(*everyone()).health(None)
        assert (found["healthy"], found["nodes"], found["warnings"]) == (True, 3, [])
        assert "retcode" not in found
        json.dumps(found)

    def test_overview_is_above_the_verdict(self, make: Make) -> None:
        well = make(*everyone(), __cli="salt-run")
        well.expand()
        text = well.health()["text"]
        assert text.startswith(
            "cluster      state\nnodes        3 of 3 ready: infra 1 of 1, node 2"
        )
        assert "w-1   kubelet-client  2027-01-01T00:00:00Z  300.0" in text
        assert "expand succeeded none" in " ".join(text.split())
        assert text.endswith("Healthy: no check found a problem; 3 declared nodes")
        ill = make(node("w-1"), __cli="salt-run").health()
        assert ill["retcode"] == 8
        assert ill["text"].index("nodes        1 of 1 ready") < ill["text"].index("Error: ")
        assert "w-2, i-1 (2 nodes): is declared and not registered" in ill["text"]

    def test_problem_is_in_the_log(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        make(node("w-1")).health()
        assert "health: the cluster is not as declared" in caplog.text

    def test_etcd_is_asked_once(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        call = make(*everyone())
        etcd, asked = call.cluster.etcd, []
        members = etcd.members
        monkeypatch.setattr(etcd, "members", lambda: asked.append(1) or members())
        call.health()
        assert len(asked) == 1

    def test_expiring_certificates_are_warnings_or_errors(self, make: Make) -> None:
        call = make(*everyone())
        call.minions.every = certificate(20)
        assert len(call.health(None)["warnings"]) == 3
        assert len(call.health("w-1")["warnings"]) == 1
        call.minions.every = certificate(6)
        [problem] = call.health("w-1")["error"]["problems"]
        ends = "certificate kubelet-client of w-1 expires on 2027-01-01T00:00:00Z, in 6 days"
        assert ends in problem
        lax = make(
            *everyone(), pillar={**PILLAR, "certificates": {"error_days": 1, "warning_days": 2}}
        )
        lax.minions.every = certificate(6)
        assert lax.health(None)["warnings"] == []

    def test_silent_minion_is_not_healthy(self, make: Make) -> None:
        call = make(*everyone())
        call.minions.answers = {"w-2": False}
        call.minions.without_key = {"i-1"}
        call.minions.answers["i-1"] = None
        error = call.health(None)["error"]
        assert "the certificates of w-2 are unknown" in error["text"]
        assert "of i-1 are unknown: the master has no accepted key of its minion" in error["text"]
        assert "salt-run metalk8s_expand.expand w-2,i-1" in error["hint"]
        assert call.health("w-1")["healthy"] is True

    def test_health_reports_all_problems_together(self, make: Make) -> None:
        cordoned = node("w-2")
        cordoned["spec"] = {"unschedulable": True}
        call = make(cordoned, node("i-1"), infra("other"))
        call.cluster.kube.coredns["status"] = {}
        found = call.health(None)
        assert (found["healthy"], found["retcode"], found["error"]["retcode"]) == (False, 8, 8)
        text = found["error"]["text"]
        assert "CoreDNS: 0 of 2" in text
        assert "Node w-2 is cordoned" in text
        assert "Node w-1 is declared and not registered" in text

    def test_health_covers_named_node_only(self, make: Make) -> None:
        assert make(node("w-1"), infra("other")).health("w-1")["healthy"] is True


class TestReport:
    def test_report_returns_last_or_named_run(self, make: Make) -> None:
        call = make()
        for number in (1, 2):
            data = {
                "id": f"2025010{number}000000",
                "ok": False,
                "retcode": 8,
                "elapsed": 1.0,
                "nodes": [],
                "notes": [],
            }
            cache.save_report(call.opts, data)
        assert call.report(None)["id"] == "20250102000000"
        assert call.report("20250101000000")["id"] == "20250101000000"
        assert call.report(20250101000000)["id"] == "20250101000000"  # type: ignore[arg-type]
        assert call.status()["runs"] == ["20250101000000", "20250102000000"]

    def test_report_of_a_failed_run_is_text_without_a_retcode(self, make: Make) -> None:
        call = make(__cli="salt-run")
        cache.save_report(
            call.opts,
            {"id": "1", "ok": False, "retcode": 8, "elapsed": 1.0, "nodes": [], "notes": []},
        )
        found = call.report(None)
        assert "retcode" not in found
        assert "run 1 FAILED" in found["text"]

    @pytest.mark.parametrize("run", [None, "1", "../../etc/passwd"])
    def test_missing_report_is_refused(self, make: Make, run: str | None) -> None:
        with pytest.raises(SettingsError, match="there is no report"):
            make().report(run)

    def test_report_is_readable_by_its_user_only(self, make: Make) -> None:
        path = cache.save_report(make().opts, {"id": "1"})
        assert path.parent.stat().st_mode & 0o077 == 0


class TestExpand:
    def test_expand_with_nothing_to_do_succeeds_and_reports_it(self, make: Make) -> None:
        call = make(*everyone())
        found = call.expand(None)
        assert (found["ok"], found["retcode"], found["unchanged"], found["nodes"]) == (
            True,
            0,
            True,
            [],
        )
        assert [note for note in found["notes"] if "nothing to change" in note] == [
            "w-1: nothing to change", "w-2: nothing to change", "i-1: nothing to change",
        ]  # fmt: skip
        assert Path(found["log"]).is_file()
        assert Path(found["page"]).is_file()
        assert (found["unchanged_nodes"], found["changes"]) == (["w-1", "w-2", "i-1"], [])
        names = [item["name"] for item in found["cluster"]["after"]["nodes"]]
        assert (names, found["cluster"]["before"]) == (
            ["i-1", "w-1", "w-2"],
            found["cluster"]["after"],
        )
        assert call.report(None)["id"] == found["id"]

    def test_unhealthy_cluster_is_not_changed(self, make: Make) -> None:
        call = make()
        call.cluster.kube.readyz = (500, "etcd failed")
        with pytest.raises(QuorumError, match="nothing was started"):
            call.expand(None)
        assert call.cluster.kube.nodes() == []

    def test_digest_alone_runs_approved_plan(self, make: Make) -> None:
        call = make(node("w-1"))
        digest = call.plan("w-1")["digest"]
        assert call.expand(None, plan=digest[:12])["ok"] is True

    def test_plan_of_changed_cluster_is_refused(self, make: Make) -> None:
        call = make(node("w-1"))
        digest = call.plan("w-1")["digest"]
        call.cluster.kube.nodes_by_name["w-1"]["metadata"]["labels"] = {}
        with pytest.raises(ConflictError, match="the plan has changed") as error:
            call.expand(None, plan=digest)
        assert error.value.problems == ("node w-1: was not in the plan, and now needs steps",)

    @pytest.mark.parametrize("digest", ["0" * 64, "0" * 8, 12345678])
    def test_unknown_digest_is_refused(self, make: Make, digest: Any) -> None:
        with pytest.raises(ConflictError, match="differences are unknown"):
            make(node("w-1")).expand("w-1", plan=digest)

    @pytest.mark.parametrize(
        "digest", ["", "0", "../../etc/passwd", 12, True, ["0" * 64], "A" * 64, "0" * 65]
    )
    @pytest.mark.parametrize("dry_run", [False, True])
    def test_malformed_digest_is_refused(self, make: Make, digest: Any, dry_run: bool) -> None:
        """An empty digest is refused too: every digest begins with it."""
        with pytest.raises(SettingsError, match="plan: is not the digest of a plan"):
            make(node("w-1")).expand("w-1", plan=digest, dry_run=dry_run)

    def test_expand_is_refused_while_a_different_run_holds_the_lock(self, make: Make) -> None:
        call = make(*everyone())
        with acquire(
            call.cluster.leases(), claim("20260101000000", "expand w-1"), clock=FakeClock()
        ):
            with pytest.raises(LockedError, match="20260101000000") as error:
                call.expand(None)
            assert error.value.retcode == 9
        assert call.expand(None)["ok"] is True

    @pytest.mark.parametrize("wait_s", ["soon", -1, None, True])
    def test_invalid_wait_is_refused(self, make: Make, wait_s: Any) -> None:
        with pytest.raises(SettingsError, match="wait_s"):
            make(*everyone()).expand(None, wait_s=wait_s)

    def test_version_without_saltenv_is_refused_before_first_change(self, make: Make) -> None:
        call = make(file_roots={"metalk8s-1.9": []})
        with pytest.raises(
            SettingsError,
            match=r"the saltenv metalk8s-2\.0, needed to deploy w-1, does not exist",
        ):
            call.expand("w-1")
        assert call.cluster.kube.nodes() == []

    def test_foreign_cordon_is_a_warning_although_plan_is_empty(self, make: Make) -> None:
        """An interrupted MetalK8s deployment leaves such a cordon."""
        cordoned = node("w-1")
        cordoned["spec"] = {**(cordoned.get("spec") or {}), "unschedulable": True}
        found = make(cordoned, node("w-2"), node("i-1")).plan(None)
        assert [item for item in found["warnings"] if "kubectl uncordon w-1" in item]

    def test_refused_plan_is_not_started(self, make: Make) -> None:
        wrong = node("w-1")
        wrong["metadata"]["labels"] = {"node-role.kubernetes.io/etcd": ""}
        with pytest.raises(ConflictError, match="the plan is refused") as error:
            make(wrong).expand("w-1")
        assert "w-1" in str(error.value.node)

    def test_unreachable_host_stops_run_before_first_change(self, make: Make) -> None:
        port = free_port()
        nodes = {
            name: {**entry, "ssh": {"host": "127.0.0.1", "port": port}}
            for name, entry in PILLAR["nodes"].items()
        }
        call = make(pillar={**PILLAR, "nodes": {"w-1": nodes["w-1"]}})
        with pytest.raises(UnreachableError, match="w-1"):
            call.expand(None)
        assert call.cluster.kube.nodes() == []

    def test_progress_goes_to_standard_error(
        self, make: Make, capsys: pytest.CaptureFixture[str]
    ) -> None:
        make(*everyone(), __cli="salt-run", output="json").expand(None)
        seen = capsys.readouterr()
        assert seen.out == ""
        assert "checking it" in seen.err

    def test_job_on_master_prints_nothing(
        self, make: Make, capsys: pytest.CaptureFixture[str]
    ) -> None:
        make(*everyone(), __cli="salt-master").expand(None)
        assert capsys.readouterr() == ("", "")


def heard(call: RunnerCalls) -> list[tuple[str, ...]]:
    """Return the bus events: the tag without the run, the state or retcode, the error class."""
    return [
        (tag.replace(f"metalk8s_expand/{call.progress.run}/", ""), str(found.get("state", found.get("retcode", ""))),
         (found.get("error") or {}).get("type", ""))
        for tag, found in call.bus.events
    ]  # fmt: skip


class TestEvents:
    def test_run_publishes_start_and_result(self, make: Make) -> None:
        call = make(*everyone())
        call.expand(None)
        assert heard(call) == [("started", "", ""), ("ended", "0", "")]

    def test_failed_run_publishes_its_error(self, make: Make) -> None:
        call = make()
        call.cluster.kube.readyz = (500, "etcd failed")
        with pytest.raises(QuorumError):
            call.expand(None)
        assert heard(call) == [("started", "", ""), ("ended", "6", "QuorumError")]

    def test_failed_ssh_check_is_published(self, make: Make) -> None:
        entry = {**PILLAR["nodes"]["w-1"], "ssh": {"host": "127.0.0.1", "port": free_port()}}
        call = make(pillar={**PILLAR, "nodes": {"w-1": entry}})
        with pytest.raises(UnreachableError):
            call.expand(None)
        assert heard(call) == [
            ("started", "", ""), ("w-1/check_ssh", "started", ""), ("w-1/check_ssh", "failed", "UnreachableError"),
            ("ended", "4", "UnreachableError"),
        ]  # fmt: skip

    def test_plan_and_status_publish_no_events(self, make: Make) -> None:
        call = make(*everyone())
        call.plan(None)
        call.status()
        assert heard(call) == []


class TestRequests:
    def test_request_is_listed_and_processed(self, make: Make) -> None:
        entry = {**PILLAR["nodes"]["w-1"], "ssh": {"host": "127.0.0.1", "port": free_port()}}
        call = make(pillar={**PILLAR, "nodes": {"w-1": entry}})
        assert [call.request("w-1") for _ in range(3)] == [
            {"node": "w-1", "changed": changed} for changed in (True, False, False)
        ]
        assert [row["node"] for row in call.status()["queue"]] == ["w-1"]
        found = call.work()
        assert found["report"]["nodes"][0]["ok"] is False
        [row] = call.status()["queue"]
        assert (row["node"], row["attempts"], row["parked"]) == ("w-1", 1, False)
        assert "does not answer" in row["error"] or "refused" in row["error"], row

    def test_request_of_a_deployed_node_is_done_immediately(self, make: Make) -> None:
        call = make(*everyone())
        call.request("w-1")
        assert (call.work()["done"], call.status()["queue"], heard(call)) == (["w-1"], [], [])

    def test_work_reports_the_holder_of_the_lock(self, make: Make) -> None:
        call = make()
        call.request("w-1")
        with acquire(
            call.cluster.leases(), claim("20260101000000", "expand w-1"), clock=call.clock
        ):
            found = call.work()
        assert "20260101000000" in found["locked"]
        assert ([row["attempts"] for row in found["queue"]], found["retcode"]) == ([0], 0)

    def test_queue_is_text_for_people(self, make: Make) -> None:
        call = make(*everyone(), __cli="salt-run")
        assert call.work()["text"] == "No request is pending."
        call.request("w-1")
        assert "w-1: waiting" in call.status()["text"]

    def test_request_of_an_undeclared_name_is_refused(self, make: Make) -> None:
        call = make()
        for wrong in ("w-9", "{{ 1 }}", None, ["w-1"]):
            with pytest.raises(SettingsError, match="is refused"):
                call.request(wrong)
        assert call.status()["queue"] == []


class TestStop:
    def test_stop_without_a_run_ends_immediately(self, make: Make) -> None:
        assert make(*everyone()).stop() == {"run": None, "holder": None, "ended": True}

    def test_stop_with_an_active_run(self, make: Make) -> None:
        call = make(*everyone())
        with acquire(
            call.cluster.leases(), claim("20260101000000", "expand w-1"), clock=FakeClock()
        ):
            found = call.stop()
            assert (found["run"], found["ended"]) == ("20260101000000", False)
            assert call.status()["now"] is None

    @pytest.mark.parametrize("wait_s", ["soon", -1, True])
    def test_invalid_wait_is_refused(self, make: Make, wait_s: Any) -> None:
        with pytest.raises(SettingsError, match="wait_s"):
            make().stop(wait_s)

    def test_stop_request_during_checks_ends_run(self, make: Make) -> None:
        call = make(pillar=WITHOUT_SSH)
        leases = call.cluster.leases()
        leases.after = lambda: leases.stored["metadata"]["annotations"].update(
            {STOP: "asked by me"}
        )
        with pytest.raises(StoppedError, match="asked by me") as error:
            call.expand("w-1")
        assert error.value.retcode == 10
        assert call.cluster.kube.nodes() == []


def reported(name: str, retcode: int = 0, skipped: str | None = None) -> NodeReport:
    error = {"retcode": retcode, "message": "m"} if retcode else None
    return NodeReport(name, (), error is None and skipped is None, error, skipped)


@pytest.mark.parametrize(
    ("nodes", "closing", "retcode"),
    [
        ((), (), 0),
        ((reported("a"), reported("b")), (), 0),
        ((reported("a"), reported("b", 7), reported("c", 6)), (), 7),
        ((reported("a"),), ("CoreDNS: 0 of 2",), 8),
        ((reported("a", 4),), ("CoreDNS: 0 of 2",), 4),
        ((reported("a", skipped="unreachable"),), (), 0),
        ((reported("a", 10), reported("b", 8)), (), 8),
    ],
)
def test_retcode_of_run_follows_from_its_nodes(
    nodes: tuple[NodeReport, ...], closing: tuple[str, ...], retcode: int
) -> None:
    found = workflow.build_report(Progress({}, FakeClock()), nodes, closing, ["a note"])  # type: ignore[arg-type]
    assert (found.retcode, found.ok) == (retcode, retcode == 0)
    assert found.notes[0] == "a note"
    assert set(closing) <= set(found.notes)
    assert any("unreachable" in note for note in found.notes) is any(item.skipped for item in nodes)


@pytest.mark.parametrize(
    ("nodes", "retcode"),
    [
        ((reported("a"),), 0),
        ((reported("a"), reported("b", skipped="the run was stopped")), 10),
        ((reported("a", 10),), 10),
        ((reported("a", 10), reported("b", 6)), 6),
    ],
)
def test_retcode_of_stopped_run_is_10_unless_node_failed(
    nodes: tuple[NodeReport, ...], retcode: int
) -> None:
    assert (
        workflow.build_report(Progress({}, FakeClock()), nodes, (), [], stopped=True).retcode
        == retcode
    )  # type: ignore[arg-type]


def test_steps_of_plan_are_known_to_expansion() -> None:
    checks = {plan.CHECK_SSH, plan.PREFLIGHT}
    assert {step.name for step in plan.STEPS} == checks | set(NODE_STEPS)


def test_remove_node_dry_run_returns_steps(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    state = NodeInventory(
        "w-1", key="minions", host=HostInventory({"names": ["w-1"], "traces": ["/etc/salt/minion"]})
    )
    monkeypatch.setattr(discovery, "discover_node", lambda *_: state)
    call = make(node("w-1"))
    assert [step["name"] for step in call.remove_node("w-1", dry_run=True)["steps"]] == [
        "guard",
        "retire",
        "key",
    ]
    assert "retire" in make(node("w-1"), __cli="salt-run").remove_node("w-1", dry_run=True)["text"]


@pytest.mark.parametrize(
    "arguments", [{"dry_run": "yes"}, {"force": "no"}, {"wait_s": -1}, {"drain_timeout_s": "soon"}]
)
def test_remove_node_with_invalid_arguments_is_refused(
    make: Make, arguments: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError):
        make(node("w-1")).remove_node("w-1", **arguments)


def test_remove_node_holds_the_lock(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    call = make(node("w-1"))
    acquire(call.cluster.leases(), claim("other", "expand"), clock=call.clock)
    monkeypatch.setattr(discovery, "discover_node", lambda *_: pytest.fail("it must not even look"))
    with pytest.raises(LockedError):
        call.remove_node("w-1")


def test_plan_prepares_hosts_if_the_tree_has_the_orchestration(make: Make, tmp_path: Path) -> None:
    def steps() -> set[str]:
        found = make().plan()
        return {
            step["name"]
            for item in (*found["control_plane"], *found["workers"])
            for step in item["steps"]
        }

    assert "deploy" in steps()
    assert "prepare" not in steps()
    sls = tmp_path / "tree" / "metalk8s" / "orchestrate" / "prepare_node.sls"
    sls.parent.mkdir(parents=True, exist_ok=True)
    sls.touch()
    assert "prepare" in steps()
    call = make()
    for item in (*call.plan()["control_plane"], *call.plan()["workers"]):
        names = [step["name"] for step in item["steps"]]
        assert names.index("prepare") + 1 == names.index("deploy")
