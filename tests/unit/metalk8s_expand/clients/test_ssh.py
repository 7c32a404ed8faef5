"""One command over a real OpenSSH, and every way in which a host cannot be reached: each with its own remedy."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from metalk8s_expand.clients import ssh
from metalk8s_expand.clients.ssh import Target
from metalk8s_expand.errors import UnreachableError
from tests.unit.metalk8s_expand.conftest import Sshd, free_port


def refused(target: Target, timeout: float = 10.0) -> UnreachableError:
    with pytest.raises(UnreachableError) as error:
        ssh.run(target, ["true"], timeout=timeout)
    assert error.value.node == target.name
    assert error.value.hint
    assert error.value.log
    assert f"port {target.port}" in error.value.message
    return error.value


def test_a_command_and_what_it_prints(sshd: Sshd) -> None:
    answer = ssh.run(sshd.target(), ["sh", "-c", "cat; echo 'a  b' >&2; exit 3"], stdin="ä\n")
    assert (answer.returncode, answer.stdout, answer.stderr) == (3, "ä\n", "a  b\n")
    assert 0 < answer.elapsed < 10


def test_arguments_arrive_as_they_are(sshd: Sshd) -> None:
    assert ssh.run(sshd.target(), ["printf", "%s|", "a b", "$HOME", "'", "*"]).stdout == "a b|$HOME|'|*|"


def test_output_that_is_no_text_is_no_error(sshd: Sshd) -> None:
    assert "\N{REPLACEMENT CHARACTER}" in ssh.run(sshd.target(), ["printf", r"\377"]).stdout


def test_sudo_never_asks() -> None:
    arguments = ssh._arguments(Target("w-1", "h", sudo=True), ["cat", "/a b"], 10)
    assert arguments[-2:] == ["h", "sudo -n -- cat '/a b'"]


def test_connection_refused() -> None:
    error = refused(Target("w-1", "127.0.0.1", free_port()))
    assert "connection refused" in error.message
    assert "sshd" in str(error.hint)


def test_a_name_that_does_not_resolve() -> None:
    assert "does not resolve" in refused(Target("w-1", "no-such-host.invalid")).message


def test_an_address_without_a_route() -> None:
    # TEST-NET-1 is nobody's: it is unreachable or silent, by where this runs.
    error = refused(Target("w-1", "192.0.2.1"), timeout=1.0)
    assert any(words in error.message for words in ("not reachable", "no answer in time", "refused"))


def test_the_key_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    key = sshd.another_key(f"stranger-{tmp_path.name}")
    error = refused(sshd.target(key_path=str(key)))
    assert "Permission denied" in error.message
    assert "authorized_keys" in str(error.hint)


def test_the_key_file_is_open_to_others(sshd: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(sshd.key.read_bytes())
    key.chmod(0o644)
    assert "chmod 600" in str(refused(sshd.target(key_path=str(key))).hint)


def test_the_host_key_is_unknown(sshd: Sshd) -> None:
    sshd.trust(None)
    error = refused(sshd.target())
    assert "Host key verification failed" in error.message
    assert "known_hosts" in str(error.hint)


def test_the_host_key_has_changed(sshd: Sshd, tmp_path: Path) -> None:
    sshd.trust(sshd.another_key(f"old-{tmp_path.name}"))
    error = refused(sshd.target())
    assert "CHANGED" in str(error.hint)


def test_a_silent_host_within_its_deadline(silent_port: int) -> None:
    started = time.monotonic()
    refused(Target("w-1", "127.0.0.1", silent_port), timeout=1.0)
    assert time.monotonic() - started < 5


def test_a_host_that_logs_in_and_then_stays_silent(sshd: Sshd) -> None:
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="no answer within 2 s"):
        ssh.run(sshd.target(), ["sleep", "60"], timeout=2.0)
    assert time.monotonic() - started < 30


def test_a_server_that_is_no_ssh() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        from threading import Thread

        def hang_up() -> None:
            for _ in range(2):
                server.accept()[0].close()

        thread = Thread(target=hang_up, daemon=True)
        thread.start()
        refused(Target("w-1", "127.0.0.1", server.getsockname()[1]))
        thread.join(10)


def test_many_hosts_at_a_time_each_with_its_own_outcome(sshd: Sshd, silent_port: int) -> None:
    good = [sshd.target(f"good-{number}") for number in range(5)]
    bad = [Target("gone", "127.0.0.1", free_port()), Target("silent", "127.0.0.1", silent_port)]
    started = time.monotonic()
    # The good ones may take their time on a loaded machine.
    limits = {target.name: 3.0 for target in bad}
    found = ssh.on_all(
        [*good, *bad], lambda target: ssh.run(target, ["sleep", "0.5"], timeout=limits.get(target.name, 15.0)).returncode
    )
    assert list(found) == [*(target.name for target in good), "gone", "silent"]
    assert [found[target.name] for target in good] == [0] * 5
    assert isinstance(found["gone"], UnreachableError)
    assert isinstance(found["silent"], UnreachableError)
    assert time.monotonic() - started < 30


def test_no_hosts() -> None:
    assert ssh.on_all([], lambda target: 1) == {}


def test_a_defect_is_not_taken_for_an_unreachable_host() -> None:
    with pytest.raises(ZeroDivisionError):
        ssh.on_all([Target("w-1", "h")], lambda target: 1 / 0)


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ({"host": "h"}, Target("n", "h")),
        ({"host": "h", "port": None, "user": None, "priv": None, "sudo": "yes"}, Target("n", "h")),
        (
            {"host": "h", "port": 23, "user": "me", "priv": "/k", "sudo": True, "ssh_options": ["A=b"]},
            Target("n", "h", 23, "me", "/k", True, ("A=b",)),
        ),
    ],
)
def test_a_target_of_a_roster(entry: dict[str, object], wanted: Target) -> None:
    assert Target.from_roster("n", entry) == wanted
