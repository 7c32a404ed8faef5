"""Tests of the script on a real host: this machine, through a real sshd, in inspect mode only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.ssh.command import CommandResult
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.errors import ConflictError, DeployError, UnreachableError
from metalk8s_expand.removal import host_reset
from tests.unit.metalk8s_expand.conftest import Sshd, free_port

NODE = Node("w-1", "2", ("node",), ())
SETTINGS = Settings()


@pytest.fixture
def world(tmp_path: Path) -> ClusterContext:
    return ClusterContext(
        {"id": "lab_master", "cachedir": str(tmp_path), "pki_dir": str(tmp_path)}, None
    )  # type: ignore[arg-type]


def test_inventory_over_ssh(
    world: ClusterContext, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_reset, "target", lambda *_: sshd.target())
    host = host_reset.look(world, SETTINGS, NODE)
    assert host.said is not None, host.silence
    assert host.said["authority"] is False
    assert set(host.said) == {
        "machine_id", "names", "master_key", "authority", "api_server", "services", "traces", "containers",
    }  # fmt: skip


def test_closed_port_is_an_answer(
    world: ClusterContext, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_reset, "target", lambda *_: sshd.target(port=free_port()))
    host = host_reset.look(world, SETTINGS, NODE)
    assert (host.said, host.answers) == (None, True)
    assert host.silence


def test_silent_host_may_be_off(
    world: ClusterContext, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_reset, "target", lambda *_: sshd.target(host="does-not-exist.invalid"))
    assert not host_reset.look(world, SETTINGS, NODE).answers


def test_host_without_description_is_unknown(world: ClusterContext) -> None:
    host = host_reset.look(
        world,
        SETTINGS,
        host_reset.described(SETTINGS, "w-1", {"metadata": {"name": "w-1"}, "spec": {}}),
    )
    assert (host.said, host.answers) == (None, False)
    assert "has its address" in host.silence


def test_silence_is_no_answer(
    world: ClusterContext, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_reset, "target", lambda *_: sshd.target())
    monkeypatch.setattr(
        host_reset,
        "run_script",
        lambda *_, **__: CommandResult(1, "", "sudo: a password is required", 0.1),
    )
    with pytest.raises(UnreachableError, match="a password is required"):
        host_reset.ask(world, SETTINGS, NODE, host_reset.RETIRE, 7)


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ({"refused": "this host is w-2"}, ConflictError, "this host is w-2"),
        ({"failed": ["/var/lib/etcd: busy"]}, DeployError, "everything"),
    ],
)
def test_answer_of_host_is_result_or_error(
    world: ClusterContext,
    monkeypatch: pytest.MonkeyPatch,
    said: dict[str, Any],
    error: type[Exception],
    words: str,
) -> None:
    answer = {"changes": [], "left": [], "failed": [], "refused": "", **said}
    monkeypatch.setattr(host_reset, "ask", lambda *_: answer)
    with pytest.raises(error, match=words):
        host_reset.change(world, SETTINGS, NODE, host_reset.RETIRE, 7)
