"""Tests of the result of the SSH check.

tests/integration/test_check_ssh.py creates every condition of a host for real.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.errors import UnreachableError
from metalk8s_expand.preflight.ssh import Checked, check_ssh, script
from tests.unit.metalk8s_expand.conftest import Sshd, free_port


def test_good_and_bad_hosts_at_once(sshd: Sshd) -> None:
    found = check_ssh([sshd.target("good"), Target("gone", "127.0.0.1", free_port())], timeout=15)
    assert isinstance(found["good"], Checked)
    assert found["good"].python >= (3, 6)
    assert isinstance(found["gone"], UnreachableError)
    assert found["gone"].cause == "connection-refused"


def test_empty_list_of_hosts() -> None:
    assert check_ssh([], timeout=5) == {}


def test_a_shell_that_fails(sshd: Sshd) -> None:
    sshd.force("exit 5")
    found = check_ssh([sshd.target()], timeout=15)["w-1"]
    assert isinstance(found, UnreachableError)
    assert found.cause == "shell-runs-no-command"
    assert "ended with 5" in found.message
    assert "printed: nothing" in found.message


@pytest.mark.parametrize(
    "noise",
    [
        "echo Welcome",
        "printf Welcome",
        "printf '{\"a\": 1}'",
        "echo 1; echo 2",
        'echo "$SSH_ORIGINAL_COMMAND"',
    ],
)
def test_noise_on_login(sshd: Sshd, noise: str) -> None:
    sshd.force(f'{noise}; eval "$SSH_ORIGINAL_COMMAND"')
    found = check_ssh([sshd.target()], timeout=15)["w-1"]
    assert isinstance(found, UnreachableError)
    assert found.cause == "shell-noise"


def test_noise_afterwards(sshd: Sshd) -> None:
    sshd.force('eval "$SSH_ORIGINAL_COMMAND"; echo Goodbye')
    found = check_ssh([sshd.target()], timeout=15)["w-1"]
    assert isinstance(found, UnreachableError)
    assert found.cause == "shell-noise"


def test_old_python_is_a_note_where_the_master_has_a_pre_flight_script(
    sshd: Sshd, tmp_path: Path
) -> None:
    """The host's only Python is the one of RHEL 8."""
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\necho '(3, 6, 8)'\n")
    python.chmod(0o755)
    sshd.force(f'PATH={tmp_path}:$PATH; export PATH; eval "$SSH_ORIGINAL_COMMAND"')
    script = "/etc/salt/ssh-preflight.sh"
    hosts = [sshd.target("refused"), replace(sshd.target("noted"), pre_flight=script)]
    found = check_ssh(hosts, timeout=15)
    refused, noted = found["refused"], found["noted"]
    assert isinstance(refused, UnreachableError)
    assert refused.cause == "python-too-old"
    assert isinstance(noted, Checked)
    assert noted.python[:2] == (3, 6)
    assert f"{script} of the master installs one" in noted.as_dict()["note"]


def test_new_python_needs_no_note(sshd: Sshd) -> None:
    found = check_ssh([replace(sshd.target(), pre_flight="/x")], timeout=15)["w-1"]
    assert isinstance(found, Checked)
    assert "note" not in found.as_dict()


def test_interrupted_command_is_an_error(sshd: Sshd) -> None:
    sshd.force('eval "$(echo "$SSH_ORIGINAL_COMMAND" | sed \'s/p=;.*/exit 3\'"\'"\'/\')"')
    found = check_ssh([sshd.target()], timeout=15)["w-1"]
    assert isinstance(found, UnreachableError)
    assert found.cause == "shell-runs-no-command"


@pytest.mark.parametrize("sudo", [False, True])
def test_every_login_shell_passes_the_command_on(sudo: bool) -> None:
    command = script(sudo, "mark")
    assert not set("'!\n\\") & set(command)
    assert len(command) < 1500


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "busybox sh"])
def test_the_command_is_of_every_sh(shell: str) -> None:
    words = shell.split()
    if not shutil.which(words[0]):
        words = ["sh"]
    done = subprocess.run(
        [*words, "-c", script(False, "mark")],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    begin, end = done.stdout.splitlines()
    assert begin == "mark begin"
    assert end.startswith("mark end [/")


def test_at_most_one_python_runs_in_the_ordinary_case() -> None:
    assert script(False, "mark").count("sys.version_info") == 1
    assert sys.version_info >= (3, 10)
