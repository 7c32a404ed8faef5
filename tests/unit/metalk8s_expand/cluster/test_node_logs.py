"""Logs come over Salt, else over SSH through a real sshd, else not, with both reasons."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.cluster import node_logs
from metalk8s_expand.errors import ExpandError, UnreachableError
from tests.fakes.minions import FakeMinions
from tests.unit.metalk8s_expand.conftest import Sshd, free_port

PART = {"part": "minion", "source": "/var/log/salt/minion", "lines": ["up", "token: x"], "cut": False, "problem": None}  # fmt: skip


def no_target() -> Target:
    raise AssertionError("SSH is not necessary")


def fetch(minions: Any, target: Any, timeout: float = 10.0) -> dict[str, Any]:
    return node_logs.fetch_node_logs("w-1", 5, minions, target, timeout)


def test_minion_answers() -> None:
    minions = FakeMinions({"w-1": [PART]})
    data = fetch(minions, no_target)
    assert (data["over"], data["notes"]) == ("salt", [])
    assert data["parts"][0]["lines"] == ["up", "token: [left out]"]
    assert minions.asked == [(["w-1"], node_logs.FUNCTION, [5, "w-1"])]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({}, "no accepted key"),
        ({"w-1": f"'{node_logs.FUNCTION}' is not available."}, "is not available"),
    ],
)
def test_silent_minion_is_read_over_ssh(answers: dict[str, Any], reason: str, sshd: Sshd) -> None:
    data = fetch(FakeMinions(answers), sshd.target)
    assert data["over"] == "ssh"
    assert reason in data["notes"][0]
    assert [part["part"] for part in data["parts"]][:3] == ["minion", "kubelet", "containerd"]


def test_unreachable_host_has_both_reasons(sshd: Sshd) -> None:
    minions = FakeMinions(limit=0)
    with pytest.raises(UnreachableError) as error:
        fetch(minions, lambda: sshd.target(port=free_port()), 2.0)
    assert error.value.node == "w-1"
    assert [str(problem).partition(":")[0] for problem in error.value.problems] == ["Salt", "SSH"]
    assert "no master" in str(error.value.problems[0])


def test_host_without_address_is_an_error() -> None:
    def unknown() -> Target:
        raise ExpandError("neither the pillar nor a Node has its address")

    with pytest.raises(UnreachableError, match="neither over Salt nor over SSH"):
        fetch(FakeMinions(), unknown)
