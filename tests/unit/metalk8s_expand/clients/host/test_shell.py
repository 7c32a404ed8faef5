"""Test shell commands with a real shell."""

from __future__ import annotations

import pytest

from metalk8s_expand.clients.host import shell
from metalk8s_expand.errors import DeployError


@pytest.mark.parametrize(("command", "expected"), [("true", True), ("exit 3", False)])
def test_exit_code_decides_success(command: str, expected: bool) -> None:
    assert shell.succeeds(command, 10) is expected


def test_command_that_takes_too_long_has_no_success() -> None:
    assert shell.succeeds("sleep 10", 0.1) is False
    with pytest.raises(DeployError, match=r"'sleep 10' has not ended after 0 s"):
        shell.run("sleep 10", 0.1)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (r"printf 'one\033[31m'; echo two >&2; exit 3", r"exit code 3: one\\x1b\[31mtwo"),
        ("false", "exit code 1: no output"),
        ("head -c 900 /dev/zero | tr '\\0' x; exit 1", "exit code 1: x{500}(;|$|\n)"),
    ],
)
def test_error_shows_the_end_of_the_output_made_safe(command: str, shown: str) -> None:
    with pytest.raises(DeployError, match=shown):
        shell.run(command, 10)


def test_command_reads_no_input() -> None:
    shell.run('test -z "$(cat)"', 10)
