"""All hosts are asked at once over a real OpenSSH, and all their problems are told at once."""

from __future__ import annotations

import getpass
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from metalk8s_expand.clients.ssh import Target
from metalk8s_expand.domain import preflight, roles
from metalk8s_expand.domain.nodes import Node, Ssh
from metalk8s_expand.domain.settings import Settings
from metalk8s_expand.errors import PreflightError, UnreachableError
from metalk8s_expand.steps import reach
from tests.unit.metalk8s_expand.conftest import Sshd, free_port

# This very machine is asked, whatever it is: what it lacks is not the subject here.
SETTINGS = Settings(ssh_timeout=5, skip=tuple(preflight.CHECKS))


def node(name: str, address: str = "127.0.0.1") -> Node:
    return Node(name, "1", (roles.NODE,), (), address=address)


def facts(sshd: Sshd, **changes: Any) -> None:
    """Every host answers with these facts."""
    good: dict[str, Any] = {
        "python": [3, 11, 2], "architecture": "x86_64", "uid": 0, "time": time.time(), "machine_id": "a", "addresses": [],
        "ports": [], "memory_mb": None, "free_mb": 99999, "swap": False, "systemd": True, "leftovers": [], "minion_id": None,
    }  # fmt: skip
    sshd.force(f"cat >/dev/null; echo '{json.dumps({**good, **changes})}'")


def test_the_probe_tells_what_a_host_is(sshd: Sshd) -> None:
    found = reach.look([node("w-1")], [sshd.target()], SETTINGS)
    assert found.error() is None
    said = found.facts["w-1"]
    assert sshd.port in said["ports"]
    assert "127.0.0.1" in said["addresses"]
    assert said["uid"] == (0 if getpass.getuser() == "root" else said["uid"])
    assert abs(said["time"] - time.time()) < 60
    assert set(said) >= {"python", "architecture", "memory_mb", "free_mb", "systemd", "leftovers", "minion_id"}


def test_the_clock_is_compared_at_the_moment_of_the_answer(sshd: Sshd) -> None:
    settings = replace(SETTINGS, skip=tuple(set(preflight.CHECKS) - {"clock"}))
    assert reach.look([node("w-1")], [sshd.target()], settings).findings == ()
    facts(sshd, time=time.time() - 3600)
    [finding] = reach.look([node("w-1")], [sshd.target()], settings).findings
    assert finding.check == "clock"


def test_unreachable_and_unfit_hosts_are_told_together(sshd: Sshd) -> None:
    facts(sshd, uid=1000, machine_id="b")
    nodes = [node("gone"), node("unfit")]
    hosts = [Target("gone", "127.0.0.1", free_port()), sshd.target("unfit")]
    found = reach.look(nodes, hosts, Settings(ssh_timeout=5))
    assert found.failed == ("gone", "unfit")
    error = found.error()
    assert isinstance(error, UnreachableError)
    assert "gone" in error.message
    assert ["connection refused" in str(problem) for problem in error.problems] == [True, False]
    assert "privilege" in str(error.problems[1])
    assert set(found.reasons) == {"gone", "unfit"}


def test_unfit_hosts_alone_are_another_error(sshd: Sshd) -> None:
    facts(sshd, uid=1000, systemd=False)
    error = reach.look([node("w-1")], [sshd.target()], Settings(ssh_timeout=5)).error()
    assert isinstance(error, PreflightError)
    assert len(error.problems) == 2


def test_clones_are_found_among_the_hosts_of_one_expansion(sshd: Sshd) -> None:
    facts(sshd)
    found = reach.look([node("a"), node("b")], [sshd.target("a"), sshd.target("b")], Settings(ssh_timeout=5))
    assert [(item.node, item.check) for item in found.findings] == [("a", "machine-id"), ("b", "machine-id")]


def test_a_warning_stops_nothing(sshd: Sshd) -> None:
    facts(sshd, swap=True)
    found = reach.look([node("w-1")], [sshd.target()], Settings(ssh_timeout=5))
    assert (len(found.findings), found.failed, found.error()) == (1, (), None)


@pytest.mark.parametrize("noise", ["Welcome!", "5", "null", "[1]", '"text"', "", "{"])
def test_a_shell_that_talks_is_told(sshd: Sshd, noise: str) -> None:
    sshd.force(f"cat >/dev/null; echo '{noise}'")
    found = reach.look([node("w-1")], [sshd.target()], SETTINGS)
    assert "not what the probe prints" in found.unreachable["w-1"].message
    assert "shell" in str(found.unreachable["w-1"].hint)


def test_noise_before_the_answer(sshd: Sshd) -> None:
    sshd.force('echo "Last login"; eval "$SSH_ORIGINAL_COMMAND"')
    assert "Last login" in str(reach.look([node("w-1")], [sshd.target()], SETTINGS).error())


def test_a_host_without_python(sshd: Sshd) -> None:
    sshd.force("echo 'python3: not found' >&2; exit 127")
    error = reach.look([node("w-1")], [sshd.target()], SETTINGS).unreachable["w-1"]
    assert "ended with 127: python3: not found" in error.message


def test_a_silent_host_does_not_hold_up_the_others(sshd: Sshd, silent_port: int) -> None:
    started = time.monotonic()
    hosts = [Target("silent", "127.0.0.1", silent_port), sshd.target("good")]
    found = reach.look([node("silent"), node("good")], hosts, replace(SETTINGS, ssh_timeout=1))
    assert time.monotonic() - started < 15
    assert (list(found.unreachable), list(found.facts)) == (["silent"], ["good"])


def test_check_ssh(sshd: Sshd) -> None:
    found = reach.check_ssh([sshd.target("good"), Target("gone", "127.0.0.1", free_port())], timeout=5)
    assert isinstance(found["good"], float)
    assert isinstance(found["gone"], UnreachableError)


def test_check_ssh_of_a_shell_that_fails(sshd: Sshd) -> None:
    sshd.force("exit 5")
    found = reach.check_ssh([sshd.target()], timeout=5)["w-1"]
    assert isinstance(found, UnreachableError)
    assert "ended with 5: no output" in found.message


def test_targets_are_those_of_the_roster() -> None:
    declared = replace(node("w-1"), ssh=Ssh("h", 23, "me", "/k", True))
    options = ("StrictHostKeyChecking=yes", "UserKnownHostsFile=/kh")
    assert reach.targets([declared], "/kh") == [Target("w-1", "h", 23, "me", "/k", True, options)]


def test_nobody_to_look_at() -> None:
    assert reach.look([], [], SETTINGS).error() is None
