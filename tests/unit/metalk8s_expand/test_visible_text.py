"""Text from hosts, the API, jobs and files reaches no terminal with its control characters."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.etcd.api import Etcd
from metalk8s_expand.clients.kubernetes import api as kube_api
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.clients.salt import cache
from metalk8s_expand.clients.salt import minions as salt_minions
from metalk8s_expand.clients.ssh import command, host_keys
from metalk8s_expand.commands import reports
from metalk8s_expand.commands.context import CommandContext
from metalk8s_expand.domain import configuration
from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.domain.node import health, manifest, ssh_annotations
from metalk8s_expand.domain.preflight.findings import Finding
from metalk8s_expand.domain.runs import journal_record, lease_rules
from metalk8s_expand.domain.salt import orchestration_result
from metalk8s_expand.errors import (
    DeployError,
    Problem,
    SettingsError,
    UnreachableError,
    visible,
    visible_lines,
    visible_tree,
)
from metalk8s_expand.preflight import hosts as host_preflight
from metalk8s_expand.preflight.ssh import check_ssh
from metalk8s_expand.removal import host_reset
from metalk8s_expand.runs.progress import Progress
from tests.fakes.clock import FakeClock
from tests.unit.metalk8s_expand.conftest import Sshd

DECLARED = {
    "nodes": {"w-1": {"profile": "worker", "address": "10.0.0.1", "version": "2.0"}},
    "ssh_timeout": 10,
}
HOSTILE = "a\x1b[2J\x1b]0;owned\x07b\nc\u202ed"
SHOWN = r"a\x1b[2J\x1b]0;owned\x07b\nc\u202ed"


class World:
    """A cluster of which only the master's options are used."""

    def __init__(self) -> None:
        self.opts: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (HOSTILE, SHOWN),
        ("plain text, Wörter, 節点 and …", "plain text, Wörter, 節点 and …"),
        ("\t\r\x85\u2028", r"\t\r\x85\u2028"),
        (7, "7"),
    ],
)
def test_control_characters_become_escapes(text: object, shown: str) -> None:
    assert visible(text) == shown


def test_error_shows_message_and_problems_as_escapes() -> None:
    error = DeployError(HOSTILE, problems=[HOSTILE])
    assert (error.message, error.problems) == (SHOWN, (SHOWN,))
    assert str(error).splitlines() == [SHOWN, f"  - {SHOWN}"]
    assert error.as_dict()["message"] == SHOWN


def test_progress_prints_and_records_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress({"__cli": "salt-run"}, FakeClock())
    recorded: list[str] = []
    progress.listener = recorded.append
    progress("w-1", "deploy", HOSTILE)
    assert capsys.readouterr().err.splitlines() == recorded
    assert recorded[0].endswith(f"deploy: {SHOWN}")


def test_return_of_job_is_shown_as_escapes() -> None:
    state = {"result": False, "__id__": "Run", "__run_num__": 1, "comment": "a\x1b[2Jb"}
    [problem] = orchestration_result.problems({"data": {"m": {"a_|-Run_|-b_|-c": state}}})
    assert r"a\x1b[2Jb" in problem


def test_fact_of_host_is_shown_as_escapes() -> None:
    finding = Finding("w-1", "os", HOSTILE, "Rocky 8", "install it")
    assert (finding.found, finding.as_dict()["found"]) == (SHOWN, SHOWN)


def test_answer_of_api_is_shown_as_escapes() -> None:
    assert kube_api._reason(b'{"message": "a\\u001b[2Jb"}') == r"a\x1b[2Jb"
    assert kube_api._reason(b"a\x1b[2Jb") == r"a\x1b[2Jb"


def test_login_shell_of_host_is_shown_as_escapes(sshd: Sshd) -> None:
    sshd.force(r"printf '\033[2J\033]0;owned\007' >&2; exit 1")
    error = check_ssh([sshd.target()], 10.0)["w-1"]
    assert isinstance(error, UnreachableError)
    assert r"\x1b[2J\x1b]0;owned\x07" in str(error)
    assert "\x1b" not in str(error)


def is_clean(value: Any) -> bool:
    """Return whether no text of a value has a control character or a forged line."""
    return not {"\x1b", "\x07", "\n", "\u202e"} & set(json.dumps(value, ensure_ascii=False))


def test_tree_of_texts_is_shown_as_escapes_and_keeps_its_types() -> None:
    tree = {HOSTILE: [HOSTILE, {"a": HOSTILE}], "n": 1, "b": True, "none": None}
    assert visible_tree(tree) == {SHOWN: [SHOWN, {"a": SHOWN}], "n": 1, "b": True, "none": None}
    assert visible_lines("a\x1b[2J\nb\r") == "a\\x1b[2J\nb\\r"


def test_problem_and_remedy_are_shown_as_escapes() -> None:
    problem = Problem(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    assert is_clean(str(problem))
    error = SettingsError("m", node=HOSTILE, hint=HOSTILE, problems=[problem])
    assert len(str(error).splitlines()) == 3
    assert "\x1b" not in str(error)


# SSH: every command that sends something to a host.

BANNER = r"printf '\033[2J\033]0;owned\007\nforged: line\n' >&2; exit 3"


def test_stderr_of_preflight_is_shown_as_escapes(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    sshd.force(BANNER)
    target = sshd.target()
    answer = command.run(target, ["true"])
    # Even if the other checks of SSH find nothing.
    monkeypatch.setattr(host_preflight.check_ssh, "check_ssh", lambda *_: {target.name: None})
    error = host_preflight._silence(target, answer, 10.0)
    assert r"\x1b[2J\x1b]0;owned\x07\nforged" in error.message
    assert is_clean(error.message)


def test_stderr_of_removal_is_shown_as_escapes(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    sshd.force(BANNER)
    monkeypatch.setattr(host_reset.master, "master_key", lambda opts: "")
    monkeypatch.setattr(host_reset, "target", lambda *_: sshd.target())
    monkeypatch.setattr(host_reset, "check_ssh", lambda *_: {sshd.target().name: None})
    node = settings.parse(DECLARED).node("w-1")
    with pytest.raises(UnreachableError) as caught:
        host_reset.ask(World(), settings.parse(DECLARED), node, "look")  # type: ignore[arg-type]
    assert r"\x1b[2J" in caught.value.message
    assert is_clean(caught.value.message)


def test_answer_of_host_to_removal_is_shown_as_escapes(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"machine_id": HOSTILE, "names": [HOSTILE], "failed": [HOSTILE], "master_key": "a\nb"}
    answer = command.CommandResult(0, host_reset.reset_host.MARK + json.dumps(said), "", 0.1)
    monkeypatch.setattr(host_reset.master, "master_key", lambda opts: "")
    monkeypatch.setattr(host_reset, "target", lambda *_: sshd.target())
    monkeypatch.setattr(host_reset, "run_script", lambda *_: answer)
    declared = settings.parse(DECLARED)
    found = host_reset.ask(World(), declared, declared.node("w-1"), "look")  # type: ignore[arg-type]
    assert found == {
        "machine_id": SHOWN, "names": [SHOWN], "failed": [SHOWN], "master_key": "a\nb",
    }  # fmt: skip


def test_host_keys_of_another_form_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"ssh-\x1b[2Jrsa": {"A" * 20}, "ssh-rsa": {"A" * 20, "\x1b" * 20}}
    monkeypatch.setattr(host_keys, "_scan", lambda *_: keys)
    assert host_keys.shown_keys("h", 22, 1.0) == [host_keys.HostKey("ssh-rsa", "A" * 20)]


# Salt: returns of jobs and answers of minions.


def test_answer_of_minion_is_shown_as_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    import salt.client

    class Client:
        def __enter__(self) -> Client:
            return self

        def __exit__(self, *_: object) -> None:
            """Close nothing."""

        def cmd_iter_no_block(self, *_: object, **__: object) -> Iterator[dict[str, Any]]:
            yield {"w-1": {"ret": {HOSTILE: {"subject": HOSTILE, "seconds_left": 5}}}}

    monkeypatch.setattr(salt.client, "get_local_client", lambda **_: Client())
    monkeypatch.setattr(salt_minions.Keys, "accepted", lambda self: ["w-1"])
    answers = salt_minions.Minions({"conf_file": "x"}).ask(["w-1"], "f", [])
    assert answers == {"w-1": {SHOWN: {"subject": SHOWN, "seconds_left": 5}}}


def test_return_of_other_nodes_is_shown_as_escapes() -> None:
    state = {
        "result": False, "__id__": "Run", "__run_num__": 1, "comment": "",
        "changes": {"ret": {"w-1": [HOSTILE]}},
    }  # fmt: skip
    [problem] = orchestration_result.problems({"data": {"m": {"a_|-Run_|-b_|-c": state}}})
    assert is_clean(problem)


# The API: conditions, annotations, managers, the Lease, the journal.


def test_condition_of_node_is_shown_as_escapes() -> None:
    ready = {"type": "Ready", "status": "False", "reason": HOSTILE, "message": HOSTILE}
    [problem] = health.ready_problems(
        {"metadata": {"name": "w-1"}, "status": {"conditions": [ready]}}
    )
    assert SHOWN in problem
    assert is_clean(problem)


def test_annotation_of_node_is_shown_as_escapes() -> None:
    change = manifest.Change("metadata.annotations[x]", HOSTILE, "wanted")
    assert change.found == SHOWN
    with pytest.raises(SettingsError) as caught:
        ssh_annotations.from_annotations("w-1", {ssh_annotations.HOST: HOSTILE})
    assert all("\x1b" not in line for line in str(caught.value).splitlines())
    assert len(str(caught.value).splitlines()) == 2


def test_manager_of_cordon_is_shown_as_escapes() -> None:
    fields = {"f:spec": {"f:unschedulable": {}}}
    observed = {
        "metadata": {"name": "w-1", "managedFields": [{"manager": HOSTILE, "fieldsV1": fields}]},
        "spec": {"unschedulable": True},
    }
    assert is_clean(manifest.foreign_cordon(observed))


def test_lease_of_lock_is_shown_as_escapes() -> None:
    annotations = {
        f"{lease_rules.PREFIX}{key}": HOSTILE for key in ("host", "user", "doing", "stop")
    }
    spec = {"holderIdentity": HOSTILE}
    lease = lease_rules.Lease.from_stored({"metadata": {"annotations": annotations}, "spec": spec})
    assert is_clean([lease.title, lease.stop, lease.host, lease.holder])


def test_journal_is_shown_as_escapes() -> None:
    record = journal_record.JournalRecord("r", HOSTILE, "h", 1, 0.0, lines=(HOSTILE,))
    found = journal_record.parse(json.dumps(dataclasses.asdict(record)))
    assert found is not None
    assert (found.doing, found.lines) == (SHOWN, (SHOWN,))


# etcd, files of the master.


def test_name_of_etcd_member_is_shown_as_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Etcd, "_post", lambda *_: {})
    listed = {"ID": "1", "name": HOSTILE, "peerURLs": [f"https://{HOSTILE}"]}
    assert is_clean(Etcd([])._with_status(listed, [listed]).title)


def test_report_that_is_read_back_is_shown_as_escapes(tmp_path: Path) -> None:
    opts = {"cachedir": str(tmp_path), "__cli": "salt-run", "fun": "metalk8s_expand.report"}
    data = {
        "id": "20260101000000000000", "ok": False, "retcode": 8, "started": 0.0, "elapsed": 1.0,
        "notes": ["a\x1b[2Jb"], "snapshot": None, "command": "salt-run \x1b]0;owned\x07",
        "nodes": [{"name": "w-1\x1b[2J", "ok": False, "skipped": None, "steps": [], "undone": [],
                   "error": {"text": "node w-1: \x1b[2J", "node": "w-1"}, "state": None}],
    }  # fmt: skip
    cache.save_report(opts, data)
    ctx = CommandContext(opts, FakeClock(), None, None, None, lambda opts: None)  # type: ignore[arg-type,return-value]
    text = reports.report(ctx, None)["text"]
    # The name of the node is in the table and in front of its failure.
    assert text.count(r"\x1b") == 5
    assert "\x1b" not in text
    assert "\x07" not in text


def test_kubeconfig_is_shown_as_escapes(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(f"current-context: {json.dumps(HOSTILE)}\ncontexts: []\n")
    with pytest.raises(UnreachableError) as caught:
        Kube.from_kubeconfig(str(path))
    assert is_clean(caught.value.message)


def test_bootstrap_file_is_shown_as_escapes() -> None:
    content = {"apiVersion": HOSTILE, "kind": HOSTILE, "networks": {"pods": HOSTILE}}
    found = configuration.from_bootstrap_file(content, "bootstrap.yaml")
    assert found.problems
    assert is_clean([*found.problems, *map(str, found.values.values())])
