"""One command over OpenSSH, on one host or many in parallel, each with its own deadline.

The options are those that salt-ssh passes to OpenSSH for the same roster entry, so a check here
meets the same conditions as salt-ssh. A healthy host costs one ``ssh`` process. The diagnosis of
a failed host runs afterwards.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from metalk8s_expand.clients.ssh import process_pool
from metalk8s_expand.clients.ssh.diagnosis import FAILED, DiagnosedFailure, error
from metalk8s_expand.clients.ssh.process import ProcessResult
from metalk8s_expand.clients.ssh.process_pool import Allowance, on_all
from metalk8s_expand.clients.ssh.target import Target
from metalk8s_expand.domain.preflight.ssh_failures import SSHFailure

__all__ = ["CommandResult", "Target", "on_all", "run"]

# A host that shows no banner in this time releases its place and is watched without a process.
PATIENCE_S = 2.0
# Other steps of a login may be slow, but sshd shows its banner at once or never. Half of the time
# is enough for the banner, and at most this many seconds: the last of many hosts, if silent, then
# ends soon after the healthy hosts.
BANNER_S = 10.0
# The minimum time for which a port is watched.
WATCH_S = 1.0
LOGIN_TIME_OUT = "login-time-out"
# Extra time for the diagnosis when the deadline has already passed.
DIAGNOSIS_S = 2.0


@dataclass(frozen=True)
class CommandResult:
    """What a remote command printed and how it ended."""

    returncode: int
    stdout: str
    stderr: str
    elapsed: float


def run(
    target: Target, command: Sequence[str], stdin: str = "", timeout: float = 10.0
) -> CommandResult:
    """Run an idempotent command on a host: it starts again on a host whose banner comes late.

    Takes ``timeout`` seconds at most, and a few more (DIAGNOSIS_S) when it fails. Raises
    UnreachableError with the cause when the host cannot be reached or logged in to, or gives no
    answer in time.
    """
    words = ["sudo", "-n", "--", *command] if target.sudo else command
    try:
        return _run(target, shlex.join(words), stdin, timeout)
    except FileNotFoundError as exc:
        raise error(
            target, SSHFailure("openssh-missing", f"{exc.filename} does not exist on the master")
        ) from exc


def _run(target: Target, command: str, stdin: str, timeout: float) -> CommandResult:
    allowance = Allowance(timeout)
    patience = min(PATIENCE_S, timeout)
    ended = _attempt(target, command, stdin, allowance, patience)
    if ended.returncode not in _UNANSWERED:
        return _answer(ended)
    allowance.at_least(DIAGNOSIS_S)
    failure = DiagnosedFailure(target, allowance)
    watched = max(WATCH_S, min(timeout / 2, BANNER_S) - ended.elapsed)
    trouble = None if ended.flooded else failure.network(watched)
    if (
        trouble is None
        and ended.returncode == FAILED
        and ended.elapsed >= patience
        and not ended.stdout
    ):
        ended = _attempt(target, command, stdin, allowance, allowance.left)
        if ended.returncode not in _UNANSWERED:
            return _answer(ended)
        allowance.at_least(DIAGNOSIS_S)
    trouble = trouble or _hanging(ended, timeout)
    if trouble is not None and trouble.cause == LOGIN_TIME_OUT and failure.proxy:
        trouble = failure.proxy_failure(f"did not end within {timeout:.0f} s")
    raise error(target, trouble or failure.login(), output=ended.stderr)


_UNANSWERED = {FAILED, None}


def _attempt(
    target: Target, command: str, stdin: str, allowance: Allowance, connect_timeout: float
) -> ProcessResult:
    arguments = [*target.openssh(connect_timeout=connect_timeout), "--", target.host, command]
    return process_pool.run(arguments, allowance, stdin)


def _answer(ended: ProcessResult) -> CommandResult:
    return CommandResult(int(ended.returncode or 0), ended.stdout, ended.stderr, ended.elapsed)


def _hanging(ended: ProcessResult, timeout: float) -> SSHFailure | None:
    if ended.flooded:
        return SSHFailure(
            "output-flood",
            f"it prints endless output: {ended.stdout[:80] or ended.stderr[:80]!r} …",
        )
    if ended.returncode is not None:
        return None
    if ended.stdout:
        problem = (
            f"the login succeeded, but the command did not end within {timeout:.0f} s; it printed"
            f" {ended.stdout[:80]!r}"
        )
        return SSHFailure("command-time-out", problem)
    return SSHFailure(
        LOGIN_TIME_OUT, f"sshd answers, but the login did not end within {timeout:.0f} s"
    )
