"""Tests that the roster omits bad Nodes, fails on exactly named ones, and prefers the pillar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.cluster import roster
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.node import manifest
from metalk8s_expand.domain.node.spec import Node, Ssh
from metalk8s_expand.errors import SettingsError
from tests.fakes.kube import FakeKube

ACCESS = roster.RosterAccess(
    nodegroups={
        "mine": ["w-1", "cp-1"],
        "text": "w-1, w-2",
        "listed": "L@w-1",
        "compound": "G@os:x or w-1",
    }
)


def node(name: str, role: str = "node", host: str = "10.0.0.1") -> Node:
    return Node(name, "1", (role,), (), ssh=Ssh(host))


def bare(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}}


NODES = [
    manifest.manifest(node("w-1")),
    manifest.manifest(node("w-10")),
    manifest.manifest(node("cp-1", "etcd")),
    bare("null", annotations=None),
    bare("none"),
    bare(
        "bad",
        annotations={"metalk8s.scality.com/ssh-host": "h", "metalk8s.scality.com/ssh-port": "x"},
    ),
]
OPTS = {"cachedir": "/nonexistent"}
DECLARED = {"w-1": node("w-1", host="10.9.9.9"), "w-2": node("w-2")}


def names(tgt: Any, tgt_type: str = "glob") -> set[str]:
    return set(roster.targets(NODES, DECLARED, tgt, tgt_type, ACCESS))


@pytest.mark.parametrize(
    ("tgt", "tgt_type", "wanted"),
    [
        ("*", "glob", {"w-1", "w-10", "w-2", "cp-1"}),
        ("w-?", "glob", {"w-1", "w-2"}),
        ("w-1", "glob", {"w-1"}),
        ("x*", "glob", set()),
        ("w-1,cp-1", "list", {"w-1", "cp-1"}),
        (["w-1", "w-2"], "list", {"w-1", "w-2"}),
        ("w-1$", "pcre", {"w-1"}),
        ("(w|cp)-1", "pcre", {"w-1", "w-10", "cp-1"}),
        ("mine", "nodegroup", {"w-1", "cp-1"}),
        ("text", "nodegroup", {"w-1", "w-2"}),
        ("listed", "nodegroup", {"w-1"}),
        ("etcd", "nodegroup", {"cp-1"}),
        ("node", "nodegroup", {"w-1", "w-2", "w-10"}),
    ],
)
def test_targets_match(tgt: Any, tgt_type: str, wanted: set[str]) -> None:
    assert names(tgt, tgt_type) == wanted


@pytest.mark.parametrize(
    ("tgt", "tgt_type"),
    [
        ("null", "glob"), ("none", "glob"), ("bad", "glob"), ("absent", "glob"),
        ("w-1,bad", "list"), (["absent"], "list"),
        ("(", "pcre"), ("nobody", "nodegroup"), ("compound", "nodegroup"), ("x", "grain"),
    ],
)  # fmt: skip
def test_errors(tgt: Any, tgt_type: str) -> None:
    with pytest.raises(SettingsError):
        names(tgt, tgt_type)


def test_bad_nodes_are_named_in_warning(caplog: pytest.LogCaptureFixture) -> None:
    names("*")
    warned = [record.getMessage() for record in caplog.records]
    assert [
        sum(f"node {name}:" in text for text in warned) for name in ("null", "none", "bad", "w-1")
    ] == [1, 1, 1, 0]


def test_pillar_overrides_node_object() -> None:
    assert roster.targets(NODES, DECLARED, "w-1")["w-1"]["host"] == "10.9.9.9"


def test_an_entry() -> None:
    assert roster.entry("n", Ssh("h", 23, "me", "/k", True), roster.RosterAccess(known_hosts="/kh")) == {
        "host": "h", "port": 23, "user": "me", "priv": "/k", "sudo": True,
        "ssh_options": ["StrictHostKeyChecking=yes", "UserKnownHostsFile=/kh"],
    }  # fmt: skip


@pytest.mark.parametrize(("sudo", "arguments"), [(True, "sudo"), (False, "")])
def test_pre_flight_script_of_the_master_is_in_each_entry(
    tmp_path: Path, sudo: bool, arguments: str
) -> None:
    opts = {**OPTS, "conf_file": str(tmp_path / "master")}
    without = roster.entry("n", Ssh("h", sudo=sudo), roster.access_from(opts, Settings()))
    assert not [key for key in without if "pre_flight" in key]
    script = tmp_path / "ssh-preflight.sh"
    script.touch()
    found = roster.entry("n", Ssh("h", sudo=sudo), roster.access_from(opts, Settings()))
    assert found == {
        **without,
        "ssh_pre_flight": str(script),
        "ssh_pre_flight_args": arguments,
    }
    assert Target.from_roster("n", found).pre_flight == str(script)


def test_unknown_key_is_accepted_only_where_declared() -> None:
    found = roster.entry(
        "n", Ssh("h"), roster.RosterAccess(known_hosts="/kh", host_keys="accept-new")
    )
    assert found["ssh_options"] == ["StrictHostKeyChecking=accept-new", "UserKnownHostsFile=/kh"]


def test_key_of_first_contact_is_written_beside_the_configuration(tmp_path: Path) -> None:
    opts = {**OPTS, "cachedir": str(tmp_path), "conf_file": str(tmp_path / "salt" / "master")}
    declared = Settings(host_keys="accept-new")
    options = roster.entry("n", Ssh("h"), roster.access_from(opts, declared))["ssh_options"]
    directory = tmp_path / "salt" / "metalk8s-expand"
    assert options == [
        "StrictHostKeyChecking=accept-new",
        f"UserKnownHostsFile={directory}/known_hosts",
        "GlobalKnownHostsFile=/etc/metalk8s/pki/known_hosts",
    ]
    assert directory.stat().st_mode & 0o777 == 0o700
    opts["known_hosts_file"] = "/kh"
    options = roster.entry("n", Ssh("h"), roster.access_from(opts, declared))["ssh_options"]
    assert options == ["StrictHostKeyChecking=accept-new", "UserKnownHostsFile=/kh"]


def test_declared_key_is_the_only_accepted_key(tmp_path: Path) -> None:
    access = roster.RosterAccess(
        known_hosts="/kh", host_keys="accept-new", declared_keys=str(tmp_path / "keys")
    )
    options = roster.entry("n", Ssh("h", host_key="ssh-ed25519 AAAA"), access)["ssh_options"]
    assert options == [
        "StrictHostKeyChecking=yes",
        "UserKnownHostsFile=/dev/null",
        f"GlobalKnownHostsFile={tmp_path}/keys/n",
        "HostKeyAlias=metalk8s-expand.n",
    ]
    assert (tmp_path / "keys" / "n").read_text() == "metalk8s-expand.n ssh-ed25519 AAAA\n"


@pytest.fixture
def kube(monkeypatch: pytest.MonkeyPatch) -> FakeKube:
    fake = FakeKube(*NODES)
    pillar = {"nodes": {"w-2": {"profile": "worker", "address": "10.0.0.2", "version": "1"}}}
    monkeypatch.setattr(roster.Kube, "from_kubeconfig", lambda path, **more: fake)
    monkeypatch.setattr(roster, "declared_pillar", lambda opts: pillar)
    return fake


@pytest.mark.parametrize(
    ("tgt", "tgt_type", "asked", "found"),
    [
        ("w-2", "glob", [], {"w-2"}),
        ("w-1", "glob", ["w-1"], {"w-1"}),
        ("w-1,w-2", "list", ["w-1"], {"w-1", "w-2"}),
        ("w-1,cp-1", "list", ["*"], {"w-1", "cp-1"}),
        ("w-*", "glob", ["*"], {"w-1", "w-2", "w-10"}),
    ],
)
def test_api_receives_only_needed_requests(
    kube: FakeKube, tgt: str, tgt_type: str, asked: list[str], found: set[str]
) -> None:
    assert set(roster.from_cluster(OPTS, tgt, tgt_type)) == found
    assert kube.asked == asked


def test_unknown_name_is_an_error(kube: FakeKube) -> None:
    with pytest.raises(SettingsError, match="no Node of this name"):
        roster.from_cluster(OPTS, "nobody")


def test_empty_declaration_gives_no_error(kube: FakeKube, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "declared_pillar", lambda opts: None)
    assert set(roster.from_cluster(OPTS, "*")) == {"w-1", "w-10", "cp-1"}


def test_options_of_the_master(kube: FakeKube, caplog: pytest.LogCaptureFixture) -> None:
    found = roster.from_cluster({**OPTS, "known_hosts_file": "/kh", "no_host_keys": True}, "w-2")
    assert found["w-2"]["ssh_options"][1] == "UserKnownHostsFile=/kh"
    assert "no_host_keys" in caplog.text


def test_host_keys_of_all_nodes_need_no_warning() -> None:
    opts = {"no_host_keys": True}
    keyed = Node("w-1", "worker", (), (), ssh=Ssh("10.0.0.1", host_key="ssh-ed25519 A"))
    bare = Node("w-2", "worker", (), (), ssh=Ssh("10.0.0.2"))
    [warning] = roster.host_key_warnings(opts, [keyed, bare])
    assert warning.startswith("no_host_keys is set")
    assert roster.host_key_warnings(opts, [keyed]) == []
    assert roster.host_key_warnings(opts) == [warning]
    assert roster.host_key_warnings({}, [bare]) == []
