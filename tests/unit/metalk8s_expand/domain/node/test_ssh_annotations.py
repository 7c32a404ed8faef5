"""The parser reads the annotations of the writer and names invalid annotations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalk8s_expand.domain.node import ssh_annotations
from metalk8s_expand.domain.node.spec import Ssh
from metalk8s_expand.errors import SettingsError

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPJ0dRLQyBC2Jp2OJ6gSZOOwRZqdW9UzoTzjfjJUk0hH"
P = "metalk8s.scality.com/ssh-"


def test_defaults_are_written_as_in_metalk8s_docs() -> None:
    assert ssh_annotations.to_annotations(Ssh("10.0.0.1"), "w") == {
        f"{P}key-path": "/etc/metalk8s/pki/salt-bootstrap",
        f"{P}host": "10.0.0.1",
        f"{P}sudo": "false",
    }


def test_optional_annotations_are_written_if_not_default() -> None:
    found = ssh_annotations.to_annotations(Ssh("h", 2222, "me", sudo=True, host_key=KEY), "w")
    assert {key: found[f"{P}{key}"] for key in ("port", "user", "sudo", "host-key")} == {
        "port": "2222", "user": "me", "sudo": "true", "host-key": KEY,
    }  # fmt: skip


@given(
    st.builds(
        Ssh,
        host=st.sampled_from(["10.0.0.1", "host.example.com", "fd00::1"]),
        port=st.integers(1, 65535),
        user=st.sampled_from(["root", "deploy"]),
        key_path=st.sampled_from(
            ["/etc/metalk8s/pki/salt-bootstrap", "/etc/metalk8s/pki/keys/other"]
        ),
        sudo=st.booleans(),
        host_key=st.sampled_from([None, KEY]),
    )
)
def test_written_annotations_are_parsed_unchanged(ssh: Ssh) -> None:
    assert ssh_annotations.from_annotations("w", ssh_annotations.to_annotations(ssh, "w")) == ssh


@pytest.mark.parametrize(
    ("key", "found", "wanted", "same"),
    [
        ("port", "22", None, True), ("port", None, "2222", False), ("port", "2222", "2222", True),
        ("port", "zero", None, False), ("user", "root", None, True), ("user", "ops", None, False),
        ("sudo", "yes", "true", True), ("sudo", None, "false", True), ("sudo", "true", "false", False),
        ("host", "fd00:0::1", "fd00::1", True), ("host", None, "10.0.0.1", False),
        ("key-path", None, "/etc/metalk8s/pki/salt-bootstrap", False), ("host-key", KEY, KEY, True),
    ],
)  # fmt: skip
def test_annotations_are_compared_by_meaning(key: str, found: Any, wanted: Any, same: bool) -> None:
    assert ssh_annotations.mean_the_same(f"{P}{key}", found, wanted) is same


@pytest.mark.parametrize("word", ["false", "no"])
def test_text_false_is_parsed_as_false(word: str) -> None:
    assert ssh_annotations.from_annotations("w", {f"{P}host": "h", f"{P}sudo": word}).sudo is False


@pytest.mark.parametrize("nothing", [None, {}, [], "text", 7, {"other": "x"}])
def test_missing_annotations_are_refused_with_node_name(nothing: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        ssh_annotations.from_annotations("w-1", nothing)
    assert caught.value.node == "w-1"
    assert [problem.path for problem in caught.value.problems] == [f"w-1:{P}host"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("host", None), ("host", ""), ("host", "a b"), ("host", "-oProxyCommand=x"),
        ("port", 22), ("port", "0"), ("port", "65536"), ("port", "x"), ("port", None), ("port", "-1"),
        ("user", ""), ("user", "-l"), ("user", "Root"),
        ("key-path", "/etc/shadow"), ("key-path", "/etc/metalk8s/pki/../x"), ("key-path", "/etc/metalk8s/pki"),
        ("key-path", "/etc/metalk8s/pkix/a"), ("key-path", "relative"),
        ("sudo", "maybe"), ("sudo", None), ("sudo", 0), ("sudo", "False"),
        ("host-key", "AAAA"), ("host-key", "ssh-ed25519"),
    ],
)  # fmt: skip
def test_invalid_values_are_problems(key: str, value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        ssh_annotations.from_annotations("w", {f"{P}host": "h", f"{P}{key}": value})
    assert [problem.path for problem in caught.value.problems] == [f"w:{P}{key}"]


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        ssh_annotations.from_annotations("w", {f"{P}port": "x", f"{P}sudo": "x"})
    assert len(caught.value.problems) == 3


def test_default_key_is_in_configured_key_directory() -> None:
    assert (
        ssh_annotations.from_annotations("w", {f"{P}host": "h"}, "/keys").key_path
        == "/keys/salt-bootstrap"
    )
