"""Tests of one command over a real OpenSSH.

tests/integration tests the diagnosis of each failure against every kind of host.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from metalk8s_expand.clients.ssh import command
from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.errors import UnreachableError
from tests.unit.metalk8s_expand.conftest import Sshd, free_port


def refused(target: Target, timeout: float = 15.0) -> UnreachableError:
    with pytest.raises(UnreachableError) as error:
        command.run(target, ["true"], timeout=timeout)
    assert error.value.node == target.name
    assert error.value.hint
    assert error.value.log
    assert f"port {target.port}" in error.value.message
    return error.value


def test_a_command_and_what_it_prints(sshd: Sshd) -> None:
    answer = command.run(sshd.target(), ["sh", "-c", "cat; echo 'a  b' >&2; exit 3"], stdin="ä\n")
    assert (answer.returncode, answer.stdout, answer.stderr) == (3, "ä\n", "a  b\n")
    assert 0 < answer.elapsed < 10


def test_much_input(sshd: Sshd) -> None:
    assert command.run(sshd.target(), ["wc", "-c"], stdin="x" * 300_000).stdout.strip() == "300000"


def test_unread_input_is_no_error(sshd: Sshd) -> None:
    assert command.run(sshd.target(), ["true"], stdin="x" * 300_000).returncode == 0


def test_arguments_arrive_as_they_are(sshd: Sshd) -> None:
    assert (
        command.run(sshd.target(), ["printf", "%s|", "a b", "$HOME", "'", "*"]).stdout
        == "a b|$HOME|'|*|"
    )


def test_output_that_is_no_text_is_no_error(sshd: Sshd) -> None:
    assert "\N{REPLACEMENT CHARACTER}" in command.run(sshd.target(), ["printf", r"\377"]).stdout


def test_sudo_never_asks(sshd: Sshd) -> None:
    sshd.force('echo "$SSH_ORIGINAL_COMMAND"')
    assert command.run(sshd.target(sudo=True), ["cat", "/a b"]).stdout == "sudo -n -- cat '/a b'\n"


def test_connection_refused() -> None:
    error = refused(Target("w-1", "127.0.0.1", free_port()))
    assert error.cause == "connection-refused"
    assert "connection refused" in error.message
    assert "sshd" in str(error.hint)


def test_the_key_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    key = sshd.another_key(f"stranger-{tmp_path.name}")
    error = refused(sshd.target(key_path=str(key)))
    assert error.cause == "key-refused-or-user-unknown"
    assert "Permission denied" in error.message
    assert "authorized_keys" in str(error.hint)


def test_a_silent_host_within_its_deadline(silent_port: int) -> None:
    started = time.monotonic()
    assert refused(Target("w-1", "127.0.0.1", silent_port), timeout=1.0).cause == "banner-time-out"
    assert time.monotonic() - started < 5


def test_a_host_that_logs_in_and_then_stays_silent(sshd: Sshd) -> None:
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="did not end within 2 s"):
        command.run(sshd.target(), ["sleep", "60"], timeout=2.0)
    assert time.monotonic() - started < 30


def test_output_without_end(sshd: Sshd) -> None:
    with pytest.raises(UnreachableError) as error:
        command.run(sshd.target(), ["yes"])
    assert error.value.cause == "output-flood"


def test_a_command_that_ends_with_the_code_of_openssh(sshd: Sshd) -> None:
    with pytest.raises(UnreachableError) as error:
        command.run(sshd.target(), ["sh", "-c", "exit 255"])
    assert error.value.cause == "connection-lost"


def test_many_hosts_at_a_time_each_with_its_own_outcome(sshd: Sshd, silent_port: int) -> None:
    good = [sshd.target(f"good-{number}") for number in range(5)]
    bad = [Target("gone", "127.0.0.1", free_port()), Target("silent", "127.0.0.1", silent_port)]
    started = time.monotonic()
    # The good ones may take their time on a loaded machine.
    limits = {target.name: 3.0 for target in bad}
    found = command.on_all(
        [*good, *bad],
        lambda target: (
            command.run(target, ["sleep", "0.5"], timeout=limits.get(target.name, 15.0)).returncode
        ),
    )
    assert list(found) == [*(target.name for target in good), "gone", "silent"]
    assert [found[target.name] for target in good] == [0] * 5
    assert isinstance(found["gone"], UnreachableError)
    assert isinstance(found["silent"], UnreachableError)
    assert time.monotonic() - started < 30
