"""Tests of ``host_keys`` with a real SSH server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from metalk8s_expand.clients.ssh import host_keys as ssh_host_keys
from metalk8s_expand.clients.ssh.host_keys import HostKey
from metalk8s_expand.commands.host_keys import host_keys
from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.domain.reports.host_keys import render_host_keys
from tests.fakes.runner import PILLAR
from tests.unit.metalk8s_expand.conftest import Sshd, free_port


class Context:
    """What ``host_keys`` uses of a call: the declaration, and data in place of text."""

    def __init__(self, **ssh: Any) -> None:
        entry = {**PILLAR["nodes"]["w-1"], "ssh": {"host": "127.0.0.1", **ssh}}
        self.pillar = {**PILLAR, "nodes": {"w-1": entry}}

    def declaration(self) -> settings.Settings:
        return settings.parse(self.pillar)

    def render(self, text: Any, data: dict[str, Any]) -> dict[str, Any]:
        return data


def shown(**ssh: Any) -> dict[str, Any]:
    return host_keys(Context(**ssh))  # type: ignore[arg-type]


def public(sshd: Sshd) -> str:
    kind, key, *_ = Path(f"{sshd.host_key}.pub").read_text().split()
    return f"{kind} {key}"


def test_keys_are_lines_for_the_pillar(sshd: Sshd) -> None:
    data = shown(port=sshd.port)
    [key] = data["hosts"]["w-1"]["keys"]
    assert key["key"] == public(sshd)
    assert (data["verified"], data["hosts"]["w-1"]["declared"], data["retcode"]) == (False, None, 0)
    text = render_host_keys(data)
    assert text.startswith("NOT VERIFIED")
    assert key["fingerprint"] in text
    lines = yaml.safe_load(text[text.index("metalk8s_expand:") :])
    declared = lines["metalk8s_expand"]["nodes"]["w-1"]["ssh"]["host_key"]
    assert shown(port=sshd.port, host_key=declared)["hosts"]["w-1"]["declared"] == "same"


def test_declared_key_needs_no_line(sshd: Sshd) -> None:
    text = render_host_keys(shown(port=sshd.port, host_key=public(sshd)))
    assert text == "w-1: shows its declared key"


def test_undeclared_key_of_host_is_named(sshd: Sshd) -> None:
    other = "ssh-ed25519 " + "A" * 68
    data = shown(port=sshd.port, host_key=other)
    assert data["hosts"]["w-1"]["declared"] == "other"
    assert "w-1: does NOT show its declared key" in render_host_keys(data)


def test_host_without_ssh_server_is_reported() -> None:
    data = shown(port=free_port())
    assert (data["hosts"], data["retcode"]) == ({}, 4)
    assert "no SSH server shows a host key" in data["unreachable"]["w-1"]["message"]
    assert "w-1" in render_host_keys(data)


def test_text_of_host_that_is_no_key_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "A" * 68
    offered = {"ssh-rsa": {key}, "ssh-ed25519": {key, "\x1b[2J"}, "evil\n": {key}}
    monkeypatch.setattr(ssh_host_keys, "_scan", lambda *_: offered)
    assert ssh_host_keys.shown_keys("h", 22, 1.0) == [
        HostKey("ssh-ed25519", key),
        HostKey("ssh-rsa", key),
    ]
