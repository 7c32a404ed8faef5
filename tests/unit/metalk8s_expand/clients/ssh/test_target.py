"""What the roster says becomes the command line that salt-ssh would use."""

from __future__ import annotations

import itertools
import shlex
from typing import Any

import pytest

from metalk8s_expand.clients.ssh.target import OURS, Target

ENTRY = {"host": "h", "port": 23, "user": "me", "priv": "/k", "sudo": True, "ssh_options": ["A=b"]}


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ({"host": "h"}, Target("n", "h")),
        ({"host": "[::1]"}, Target("n", "::1")),
        ({"host": "h", "port": None, "user": None, "priv": None, "sudo": "yes"}, Target("n", "h")),
        (ENTRY, Target("n", "h", 23, "me", "/k", True, ("A=b",))),
    ],
)
def test_a_target_of_a_roster(entry: dict[str, object], wanted: Target) -> None:
    assert Target.from_roster("n", entry) == wanted


def options(arguments: list[str]) -> list[str]:
    return [value for name, value in itertools.pairwise(arguments) if name == "-o"]


def of_salt_ssh(entry: dict[str, Any]) -> list[str]:
    """What the installed Salt passes to OpenSSH for this entry of a roster."""
    import inspect

    from salt.client.ssh.shell import Shell

    known = inspect.signature(Shell).parameters
    given: dict[str, Any] = {**entry, "timeout": 10, "identities_only": True}
    if "keepalive_interval" in known:
        given.update(keepalive=True, keepalive_interval=60, keepalive_count_max=3)
    shell = Shell({"_ssh_version": (9, 2)}, **given)
    return options(shlex.split(shell._cmd_str("true")))


def test_the_options_are_those_of_salt_ssh() -> None:
    ours = options(Target.from_roster("n", ENTRY).openssh(connect_timeout=10))
    assert set(of_salt_ssh(ENTRY)) <= set(ours)
    # Salt 3006 does not ask whether the host is still alive.
    assert set(ours) - set(of_salt_ssh(ENTRY)) <= {
        *OURS,
        "ServerAliveInterval=60",
        "ServerAliveCountMax=3",
    }
    # OpenSSH uses the first value of a repeated option.
    assert ours[-1:] == of_salt_ssh(ENTRY)[-1:] == ENTRY["ssh_options"]


def test_first_options_win_over_all() -> None:
    assert options(Target("n", "h").openssh("X=y", connect_timeout=0.2))[0] == "X=y"
    assert "ConnectTimeout=1" in Target("n", "h").openssh(connect_timeout=0.2)
    assert not any("IdentityFile" in word for word in Target("n", "h").openssh())
