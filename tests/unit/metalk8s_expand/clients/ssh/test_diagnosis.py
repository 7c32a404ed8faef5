"""A diagnosis that runs out of time claims nothing; the diagnoses themselves are made for real in tests/integration."""

from __future__ import annotations

from metalk8s_expand.clients.ssh.diagnosis import DiagnosedFailure, error
from metalk8s_expand.clients.ssh.process_pool import Allowance
from metalk8s_expand.domain.preflight.ssh_failures import SSHFailure
from tests.unit.metalk8s_expand.conftest import Sshd


def test_without_any_time_nothing_is_claimed(sshd: Sshd) -> None:
    failure = DiagnosedFailure(sshd.target(), Allowance(0.0))
    failure.network(0.0)
    assert failure.login().cause == "login-time-out"


def test_a_host_that_is_well_has_no_trouble_but_that_it_works(sshd: Sshd) -> None:
    failure = DiagnosedFailure(sshd.target(), Allowance(30.0))
    assert failure.network(10.0) is None
    assert failure.login().cause == "connection-lost"


def test_an_error_tells_everything(sshd: Sshd) -> None:
    target = sshd.target(user="me", key_path="/k")
    found = error(
        target,
        SSHFailure("key-file-mode", "open"),
        SSHFailure("no-sudo", "none"),
        output="line 1\nline 2\n",
    )
    assert (
        found.message == f"SSH to me@127.0.0.1 port {sshd.port}: open; OpenSSH said: line 1; line 2"
    )
    assert (found.cause, found.hint, found.node) == ("key-file-mode", "chmod 600 /k", "w-1")
    assert str(found.problems[0]).startswith("no-sudo: none; install sudo")
