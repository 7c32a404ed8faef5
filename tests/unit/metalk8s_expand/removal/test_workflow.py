"""Tests of a whole removal with a fake cluster and host: in order, refused, interrupted anywhere,
repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.kubernetes.evictions import VOLUMES
from metalk8s_expand.clients.salt import cache
from metalk8s_expand.cluster import apiserver_proxies
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.commands import remove_node
from metalk8s_expand.commands.context import CommandContext
from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.domain.node import manifest, roles
from metalk8s_expand.domain.node.ownership_record import serialize
from metalk8s_expand.domain.removal import plan
from metalk8s_expand.domain.removal.drain_rules import Allowed
from metalk8s_expand.domain.removal.plan import RemovalOptions
from metalk8s_expand.domain.reports import removal
from metalk8s_expand.domain.reports.terminal.document import text_of
from metalk8s_expand.domain.salt import saltenv
from metalk8s_expand.errors import (
    ConflictError,
    DeployError,
    QuorumError,
    SettingsError,
    StoppedError,
    UnreachableError,
)
from metalk8s_expand.removal import discovery, host_reset
from metalk8s_expand.removal.steps import REMOVAL_STEPS
from metalk8s_expand.runs import context as run_context
from metalk8s_expand.runs.context import RunContext
from metalk8s_expand.runs.progress import Progress
from tests.fakes.clock import FakeClock
from tests.fakes.etcd_members import FakeEtcd, voter
from tests.fakes.inventories import BLANK, LIVES
from tests.fakes.journal import FakeJournal
from tests.fakes.keys import FakeKeys
from tests.fakes.kube import FakeKube
from tests.fakes.lock import FakeLock
from tests.fakes.minions import FakeMinions
from tests.fakes.operator import FakeOperator
from tests.fakes.pods import EMPTY, pod

PILLAR = {
    "defaults": {"version": "2.0"},
    "nodes": {
        "cp-1": {"profile": "control-plane", "address": "10.0.0.1"},
        "w-1": {"profile": "worker", "address": "10.0.0.4"},
    },
}
FORCE = RemovalOptions(force=True)


class FakeHost:
    """A host that is on or off."""

    def __init__(self, name: str, master: bool) -> None:
        self.said: dict[str, Any] = {
            **LIVES,
            "names": [name],
            "master_key": "",
            "api_server": master,
        }
        self.error: UnreachableError | None = None
        self.refused = ""
        self.failed: list[str] = []
        self.calls: list[tuple[str, Any]] = []

    def ask(self, mode: str, epoch: Any) -> dict[str, Any]:
        if self.error:
            raise self.error
        if mode == host_reset.LOOK:
            return dict(self.said)
        self.calls.append((mode, epoch))
        changes = ["something"] if not self.refused and self.said["services"] else []
        if changes and not self.failed:
            self.said = (
                {**self.said, "api_server": False} if mode == host_reset.WITHDRAW else dict(BLANK)
            )
        return {"changes": changes, "left": [], "failed": self.failed, "refused": self.refused}


class Outcome:
    """The report of a removal."""

    def __init__(self, data: dict[str, Any], name: str) -> None:
        [node] = data["nodes"] or [{"ok": True, "error": None, "steps": []}]
        self.ok: bool = node["ok"]
        self.error: dict[str, Any] | None = node["error"]
        self.steps = [step["name"] for step in node["steps"]]
        self.unchanged: bool = data["unchanged"]
        self.notes: list[str] = data["notes"]


def node(name: str, *node_roles: str) -> dict[str, Any]:
    labels = dict.fromkeys(roles.label_keys(node_roles), "")
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "nodeInfo": {"machineID": "m", "kubeletVersion": "v1"},
    }
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": labels, "annotations": {}},
        "spec": {},
        "status": status,
    }


class Setting:
    """cp-1 leads a cluster of three members; w-1 has Pods."""

    def __init__(self, base: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = clock
        self.monkeypatch = monkeypatch
        masters = [node(name, "master", "etcd") for name in ("boot", "cp-1", "cp-2")]
        masters[0]["metadata"]["labels"][roles.label_key("bootstrap")] = ""
        self.kube = FakeKube(*masters, node("w-1", "node"))
        self.kube.put_pod(pod("web"), "w-1")
        self.kube.put_pod(pod("ds", "DaemonSet"), "w-1")
        self.etcd: Any = FakeEtcd(
            voter(1, name="cp-1"), voter(2, name="boot"), voter(3, name="cp-2"), clock=clock
        )
        self.hosts = {
            name: FakeHost(name, name != "w-1") for name in ("boot", "cp-1", "cp-2", "w-1")
        }
        self.hosts["boot"].said["authority"] = True
        self.keys = FakeKeys(dict.fromkeys(self.hosts, ("minions", "key")))
        self.minions = FakeMinions(every=lambda name: {"state": {"result": name != "cp-2"}})
        self.lock = FakeLock(clock)
        self.opts = {"id": "lab_master", "cachedir": str(base), "pki_dir": str(base)}
        self.declared = settings.parse(PILLAR)
        self.before: list[int] = []
        monkeypatch.setattr(discovery, "etcd_of_others", lambda world, name, nodes=None: self.etcd)
        monkeypatch.setattr(discovery.keys, "Keys", lambda opts: self.keys)
        monkeypatch.setattr(
            host_reset,
            "ask",
            lambda world, declared, found, mode, epoch=None: self.hosts[found.name].ask(
                mode, epoch
            ),
        )
        monkeypatch.setattr(apiserver_proxies.minions, "Minions", lambda opts: self.minions)
        self.sls = {saltenv.ORCHESTRATION, saltenv.APISERVER_PROXY}
        monkeypatch.setattr(apiserver_proxies, "FileServer", lambda opts: self)
        monkeypatch.setattr(
            run_context.etcd_snapshot, "take_etcd_snapshot", lambda *_: self.before.append(len(self.etcd.listed))
        )  # fmt: skip

    def has(self, sls: str, saltenv: str) -> bool:
        """Return whether the master's file server has this SLS."""
        return sls in self.sls

    @property
    def world(self) -> ClusterContext:
        return ClusterContext(self.opts, self.kube)

    def context(self, journal: Any = None, stop: str = "") -> CommandContext:
        """Return a context whose runs use the fake lock and the journal."""
        ctx = CommandContext(
            self.opts, self.clock, Progress(self.opts, self.clock), None, None, lambda opts: self.world  # type: ignore[arg-type]
        )  # fmt: skip

        @contextmanager
        def exclusive_run(*arguments: Any) -> Iterator[RunContext]:
            yield RunContext(
                self.world, self.clock, ctx.progress, self.lock, journal or FakeJournal(), lambda: stop  # type: ignore[arg-type]
            )  # fmt: skip

        self.monkeypatch.setattr(remove_node, "exclusive_run", exclusive_run)
        self.monkeypatch.setattr(remove_node.CommandContext, "settings", lambda ctx: self.declared)
        return ctx

    def remove(self, name: str, options: RemovalOptions | None = None) -> Outcome:
        self.clock.time += 60  # another run, another report
        return Outcome(
            remove_node.remove_node(self.context(), name, options or RemovalOptions()), name
        )

    def confirm(self, name: str, operator: FakeOperator) -> dict[str, Any]:
        """Remove a node with ``confirm=True``, as an operator with ``salt-run``."""
        ctx = self.context()
        opts = {**self.opts, "__cli": "salt-run", "output": "json"}
        ctx = replace(ctx, opts=opts, operator=operator)
        return remove_node.remove_or_preview(ctx, name, 0, dry_run=False, confirm=True)

    def dies(self, name: str) -> None:
        self.hosts[name].error = UnreachableError("no answer", cause="time-out")
        self.kube.nodes_by_name[name]["status"]["conditions"][0]["status"] = "Unknown"
        for number, member in self.etcd.listed.items():
            if member.name == name:
                self.etcd.listed[number] = replace(member, healthy=None, error="no answer")
                self.etcd.led_by = 2

    def gone(self, name: str) -> bool:
        members = [member.name for member in self.etcd.listed.values()]
        return (
            name not in self.kube.nodes_by_name
            and name not in members
            and name not in self.keys.known
        )


@pytest.fixture
def setting(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Setting:
    return Setting(tmp_path, clock, monkeypatch)


def names(outcome: Outcome) -> list[str]:
    return outcome.steps


def test_control_plane_node_is_removed_in_order(setting: Setting) -> None:
    outcome = setting.remove("cp-1")
    assert outcome.ok, outcome.error
    assert names(outcome) == [
        "guard",
        "cordon",
        "leadership",
        "api_server",
        "member",
        "retire",
        "key",
        "node",
    ]
    assert setting.gone("cp-1")
    assert setting.etcd.changed == ["move 2", "remove 1"]
    assert setting.hosts["cp-1"].calls == [("withdraw", 7), ("retire", 7)]
    assert setting.before == [3], "asked once, before the member left"
    assert "etcd has 2 voters now, and needs 2 of them" in outcome.notes
    assert any("still declares cp-1" in note for note in outcome.notes)


class TestConfirmation:
    def test_shown_plan_is_removed(self, setting: Setting) -> None:
        operator = FakeOperator("yes")
        assert setting.confirm("w-1", operator)["ok"] is True
        assert setting.gone("w-1")
        [shown] = operator.asked
        assert shown.startswith("Removal of w-1, plan ")
        assert shown.endswith("Plan: 1 node to remove")

    def test_removal_without_yes_changes_nothing(self, setting: Setting) -> None:
        with pytest.raises(StoppedError, match="remove_node w-1 was not confirmed"):
            setting.confirm("w-1", FakeOperator("no"))
        assert (setting.kube.writes, setting.hosts["w-1"].calls) == ([], [])

    def test_plan_that_changes_after_it_was_shown_is_refused(self, setting: Setting) -> None:
        arrives = FakeOperator("yes", meddle=lambda: setting.kube.put_pod(pod("db"), "w-1"))
        with pytest.raises(ConflictError, match="plan has changed") as error:
            setting.confirm("w-1", arrives)
        assert error.value.problems == ("step drain: 1 Pods must move, and now 2 Pods must move",)
        assert (setting.kube.writes, setting.hosts["w-1"].calls) == ([], [])

    def test_count_of_containers_may_change(self, setting: Setting) -> None:
        said = setting.hosts["w-1"].said
        operator = FakeOperator("yes", meddle=lambda: said.update(containers=99))
        assert setting.confirm("w-1", operator)["ok"] is True

    def test_refusal_and_absent_node_ask_nothing(self, setting: Setting) -> None:
        operator = FakeOperator("no")
        with pytest.raises(ConflictError, match="refused"):
            setting.confirm("boot", operator)
        setting.remove("w-1")
        assert setting.confirm("w-1", operator)["unchanged"] is True
        assert operator.asked == []


def test_second_run_changes_nothing(setting: Setting) -> None:
    setting.remove("cp-1")
    before = (
        list(setting.kube.writes),
        list(setting.etcd.changed),
        list(setting.hosts["cp-1"].calls),
    )
    outcome = setting.remove("cp-1")
    assert (outcome.unchanged, outcome.ok, names(outcome)) == (True, True, [])
    assert "nothing to do" in outcome.notes[0]
    assert (setting.kube.writes, setting.etcd.changed, setting.hosts["cp-1"].calls) == before


def test_worker_is_drained_before_removal(setting: Setting) -> None:
    setting.kube.lines = {
        "w-1": serialize(manifest.Owned(frozenset({"a"}), frozenset(), "uid-w-1")) or "",
        "w-2": "{}",
    }
    outcome = setting.remove("w-1")
    assert outcome.ok, outcome.error
    assert setting.kube.writes == ["metadata", "evict web", "record", "delete w-1"]
    assert setting.kube.lines == {"w-2": "{}"}
    assert setting.before == []


def test_cordon_of_removal_can_be_undone_by_expand(setting: Setting) -> None:
    setting.hosts["w-1"].failed = ["a disk is full"]
    outcome = setting.remove("w-1")
    assert not outcome.ok
    assert manifest.is_marked(setting.kube.nodes_by_name["w-1"])
    assert setting.kube.nodes_by_name["w-1"]["spec"]["unschedulable"]
    assert "run the same command again" in outcome.notes[0]


class Killed(BaseException):
    """An exception that no error handler catches."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", ["cp-1", "w-1"])
@pytest.mark.parametrize("at", [item.name for item in plan.STEPS])
def test_killed_run_is_resumed_by_next(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, at: str, name: str, when: str
) -> None:
    done = REMOVAL_STEPS[at]

    def dies(run: Any) -> str:
        if when == "after":
            done(run)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setitem(REMOVAL_STEPS, at, dies)  # type: ignore[arg-type]
        try:
            setting.remove(name)
        except Killed:
            pass
        else:
            assert setting.gone(name), "it has no such step"
    outcome = setting.remove(name)
    assert outcome.ok, outcome.error
    assert setting.gone(name)
    assert setting.hosts[name].said == BLANK
    assert setting.etcd.changed.count("remove 1") == (name == "cp-1")
    assert len([word for word in setting.kube.writes if word.startswith("evict")]) == (
        name == "w-1"
    )


@pytest.mark.parametrize(
    ("name", "kind"), [("boot", ConflictError), ("nobody", SettingsError), ("lab", SettingsError)]
)
def test_refusals_change_nothing(setting: Setting, name: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="refused"):
        setting.remove(name, FORCE)
    assert (setting.kube.writes, setting.etcd.changed) == ([], [])


def test_quorum_is_never_overridden(setting: Setting) -> None:
    setting.dies("cp-2")
    for options in (RemovalOptions(), FORCE):
        with pytest.raises(QuorumError) as raised:
            setting.remove("cp-1", options)
    assert any("would have 2 voters" in str(problem) for problem in raised.value.problems)
    assert setting.etcd.changed == []


def test_election_is_no_reason_to_refuse(setting: Setting) -> None:
    healthy = setting.etcd.listed[3]
    setting.etcd.listed[3] = replace(healthy, healthy=False, error="it has no leader")

    def passes(seconds: float) -> None:
        setting.etcd.listed[3] = healthy

    setting.clock.sleep = passes  # type: ignore[method-assign]
    assert setting.remove("cp-1").ok


def test_drain_blockers_are_reported_before_any_change(setting: Setting) -> None:
    setting.kube.put_pod(pod("bare", ""), "w-1")
    setting.kube.put_pod(pod("scratch", "ReplicaSet", EMPTY), "w-1")
    with pytest.raises(ConflictError) as raised:
        setting.remove("w-1")
    assert len(raised.value.problems) == 2
    assert setting.kube.writes == []
    assert setting.remove("w-1", RemovalOptions(allowed=Allowed(True, True, True))).ok


def volume(name: str, on: str) -> dict[str, Any]:
    """Return a Volume of MetalK8s's storage operator."""
    return {"metadata": {"name": name}, "spec": {"nodeName": on, "storageClassName": "metalk8s"}}


def test_node_with_volumes_is_removed_only_with_their_option(setting: Setting) -> None:
    for each in (volume("metrics", "w-1"), volume("logs", "w-1"), volume("other", "cp-2")):
        setting.kube.put(VOLUMES, each)
    with pytest.raises(ConflictError, match="refused") as raised:
        command(setting, "w-1")
    [problem] = raised.value.problems
    assert "the Volumes logs, metrics on its disks" in problem
    assert (setting.kube.writes, setting.hosts["w-1"].calls) == ([], [])
    data = command(setting, "w-1", volumes=True)
    assert data["ok"]
    assert data["command"] == "salt-run metalk8s_expand.remove_node w-1 volumes=True"
    assert set(setting.kube.objects[VOLUMES]) == {"metrics", "logs", "other"}


def test_unknown_volumes_stop_removal_with_the_missing_right(setting: Setting) -> None:
    def refuse(request: str) -> None:
        if VOLUMES in request:
            raise UnreachableError("answered 403: volumes is forbidden", hint="see the role")

    setting.kube.fail = refuse
    with pytest.raises(UnreachableError, match="403") as raised:
        setting.remove("w-1")
    assert "to list volumes.storage.metalk8s.scality.com; see the role" in str(raised.value.hint)
    assert setting.kube.writes == []


def test_dead_host_needs_confirmation_of_operator(setting: Setting) -> None:
    setting.dies("cp-1")
    with pytest.raises(UnreachableError, match="refused") as raised:
        setting.remove("cp-1")
    assert "force=True" in str(raised.value)
    outcome = setting.remove("cp-1", FORCE)
    assert outcome.ok, outcome.error
    assert names(outcome) == ["guard", "cordon", "member", "key", "node"]
    assert setting.gone("cp-1")
    assert any("sa.key" in note for note in outcome.notes)


@pytest.mark.parametrize("cause", ["key-refused-or-user-unknown", "connection-refused"])
def test_force_is_refused_for_host_that_answers(setting: Setting, cause: str) -> None:
    setting.dies("cp-1")
    setting.hosts["cp-1"].error = UnreachableError("it says no", cause=cause)
    with pytest.raises(ConflictError) as raised:
        setting.remove("cp-1", FORCE)
    assert any("answers" in str(problem) for problem in raised.value.problems)


def test_host_that_returns_after_force_is_reset_by_next_removal(setting: Setting) -> None:
    setting.dies("cp-1")
    setting.remove("cp-1", FORCE)
    setting.hosts["cp-1"].error = None
    setting.kube.nodes_by_name["cp-1"] = node("cp-1")
    setting.keys.known["cp-1"] = ("minions_pre", "key")
    outcome = setting.remove("cp-1")
    assert outcome.ok, outcome.error
    assert names(outcome) == ["guard", "cordon", "api_server", "retire", "key", "node"]
    assert setting.hosts["cp-1"].said == BLANK
    assert setting.gone("cp-1")


def test_refusal_of_host_stops_removal(setting: Setting) -> None:
    setting.hosts["cp-1"].refused = "an older epoch"
    outcome = setting.remove("cp-1")
    assert outcome.error is not None
    assert "an older epoch" in outcome.error["message"]
    assert "cp-1" in setting.kube.nodes_by_name
    assert setting.etcd.changed == ["move 2"], "its member stays while its API server does"


def test_incomplete_reset_is_reported_and_node_stays(setting: Setting) -> None:
    setting.hosts["w-1"].failed = ["/var/lib/etcd: busy"]
    error = setting.remove("w-1").error
    assert error is not None
    assert (error["type"], error["problems"]) == (DeployError.__name__, ["/var/lib/etcd: busy"])
    assert "w-1" in setting.kube.nodes_by_name
    assert "w-1" in setting.keys.known


def test_lost_lock_stops_removal_before_next_change(setting: Setting) -> None:
    setting.lock.lost = True
    outcome = setting.remove("cp-1")
    assert outcome.error is not None
    assert outcome.error["retcode"] == 9
    assert (setting.kube.writes, setting.etcd.changed, setting.hosts["cp-1"].calls) == ([], [], [])


def test_defect_is_reported(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REMOVAL_STEPS, plan.KEY, lambda run: 1 / 0)  # type: ignore[arg-type]
    error = setting.remove("w-1").error
    assert error is not None
    assert "ZeroDivisionError" in error["message"]


@pytest.mark.parametrize(
    ("own", "sls"),
    [(True, "metalk8s.roles.node.apiserver_proxy"), (False, "metalk8s.kubernetes.apiserver-proxy")],
)
def test_proxies_drop_undeclared_master(setting: Setting, own: bool, sls: str) -> None:
    if not own:
        setting.sls.remove(saltenv.APISERVER_PROXY)
    setting.declared = settings.parse({**PILLAR, "nodes": {"w-1": PILLAR["nodes"]["w-1"]}})  # type: ignore[index]
    setting.kube.nodes_by_name["cp-1"]["metadata"]["annotations"] = {"metalk8s.scality.com/ssh-host": "10.0.0.1",
        "metalk8s.scality.com/ssh-key-path": "/etc/metalk8s/pki/salt-bootstrap"}  # fmt: skip
    outcome = setting.remove("cp-1")
    assert outcome.ok, outcome.error
    [(minions, _, arguments)] = setting.minions.asked
    assert minions == ["boot", "cp-2", "w-1"]
    assert arguments[0] == sls
    assert [note for note in outcome.notes if "may still list cp-1: cp-2;" in note]
    assert manifest.PROXY_BEHIND in setting.kube.nodes_by_name["cp-2"]["metadata"]["labels"]


# The command.


def command(
    setting: Setting, name: str, journal: Any = None, stop: str = "", **arguments: Any
) -> dict[str, Any]:
    setting.clock.time += 60  # another run, another report
    ctx = setting.context(journal, stop)
    return remove_node.remove_node(ctx, name, remove_node.parse_options(**arguments))


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remove_node.running_operations, "operations", lambda world: [])


def test_report_is_stored(setting: Setting) -> None:
    data = command(setting, "w-1")
    assert (data["ok"], data["unchanged"], data["removed"]) == (True, False, "w-1")
    assert [item["name"] for item in data["plan"]["steps"]] == [
        item["name"] for item in data["nodes"][0]["steps"]
    ]
    assert json.loads(Path(data["log"]).read_text())["removed"] == "w-1"


def test_every_step_is_recorded_and_none_begins_after_stop(setting: Setting) -> None:
    journal = FakeJournal()
    data = command(setting, "w-1", journal, stop="asked by me")
    assert (data["retcode"], data["nodes"][0]["steps"], journal.written) == (
        10,
        [],
        [("node_finished", "w-1", journal.written[0][2])],
    )
    assert "asked by me" in journal.written[0][2]
    data = command(setting, "w-1", journal)
    assert journal.written[1:-1] == [
        ("step_started", "w-1", item["name"]) for item in data["plan"]["steps"]
    ]
    assert journal.written[-1] == ("node_finished", "w-1", "")


def test_removed_node_is_a_known_name(setting: Setting) -> None:
    setting.declared = settings.parse({**PILLAR, "nodes": {"cp-1": PILLAR["nodes"]["cp-1"]}})  # type: ignore[index]
    setting.kube.nodes_by_name["w-1"]["metadata"]["annotations"] = {"metalk8s.scality.com/ssh-host": "10.0.0.4",
        "metalk8s.scality.com/ssh-key-path": "/etc/metalk8s/pki/salt-bootstrap"}  # fmt: skip
    removed = command(setting, "w-1")
    assert removed["ok"]
    assert Path(removed["page"]).is_file()
    before, after = removed["cluster"]["before"]["nodes"], removed["cluster"]["after"]["nodes"]
    assert [item["name"] for item in before if item not in after] == ["w-1"]
    again = command(setting, "w-1")
    assert (again["retcode"], again["unchanged"], again["nodes"]) == (0, True, [])
    assert len(cache.reports(setting.opts)) == 2


def test_command_line_resumes_removal_with_its_options() -> None:
    options = remove_node.parse_options(force=True, delete_bare_pods=True, drain_timeout_s=30)
    assert remove_node.command_line("w-1", options) == (
        "salt-run metalk8s_expand.remove_node w-1 force=True delete_bare_pods=True"
        " drain_timeout_s=30"
    )
    options = remove_node.parse_options()
    assert remove_node.command_line("w-1", options) == "salt-run metalk8s_expand.remove_node w-1"


def test_failure_sets_exit_code(setting: Setting) -> None:
    setting.hosts["w-1"].failed = ["busy"]
    data = command(setting, "w-1")
    assert (data["ok"], data["retcode"]) == (False, DeployError.retcode)
    assert "removed" not in data


def test_running_operation_is_not_disturbed(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        remove_node.running_operations, "operations", lambda world: ["an upgrade runs"]
    )
    with pytest.raises(Exception, match="another operation"):
        command(setting, "w-1")
    assert setting.kube.writes == []


def test_dry_run_reports_plan(setting: Setting) -> None:
    data = remove_node.preview(setting.context(), "w-1", RemovalOptions())
    assert data["dry_run"]
    assert "drain" in text_of(removal.render_removal_plan(data))
    assert setting.kube.writes == []


@pytest.mark.parametrize(
    "arguments",
    [{"force": "no"}, {"delete_bare_pods": 1}, {"delete_emptydir_data": None}, {"drain_timeout_s": "10"},
     {"drain_timeout_s": True}, {"drain_timeout_s": 0}],
)  # fmt: skip
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        remove_node.parse_options(**arguments)
