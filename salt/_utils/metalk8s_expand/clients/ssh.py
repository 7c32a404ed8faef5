"""One command over OpenSSH, on one host or on many at a time, each with its own deadline.

The options are those that salt-ssh gives OpenSSH for the same roster entry, so that what is checked here is what it meets.
"""

from __future__ import annotations

import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from metalk8s_expand.errors import UnreachableError

Result = TypeVar("Result")

OPTIONS = (
    "BatchMode=yes",
    "GSSAPIAuthentication=no",
    "IdentitiesOnly=yes",
    "KbdInteractiveAuthentication=no",
    "PasswordAuthentication=no",
    "LogLevel=ERROR",
)


@dataclass(frozen=True)
class Target:
    """A host as the roster describes it; ``options`` are further OpenSSH options, ``Name=value``."""

    name: str
    host: str
    port: int = 22
    user: str = "root"
    key_path: str = ""
    sudo: bool = False
    options: tuple[str, ...] = field(default_factory=tuple)

    @classmethod
    def from_roster(cls, name: str, entry: Mapping[str, Any]) -> Target:
        """A roster entry of Salt."""
        return cls(
            name,
            str(entry["host"]),
            int(entry.get("port") or 22),
            str(entry.get("user") or "root"),
            str(entry.get("priv") or ""),
            entry.get("sudo") is True,
            tuple(entry.get("ssh_options") or ()),
        )


@dataclass(frozen=True)
class Answer:
    """What a remote command printed and how it ended."""

    returncode: int
    stdout: str
    stderr: str
    elapsed: float


def run(target: Target, command: Sequence[str], stdin: str = "", timeout: float = 10.0) -> Answer:
    """Run a command on a host. Raises UnreachableError with the cause when the host cannot be reached or logged in to."""
    _reach(target, timeout)
    started = time.monotonic()
    arguments = _arguments(target, command, timeout)
    try:
        done = subprocess.run(
            arguments, input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise UnreachableError(
            f"SSH to {_place(target)} gave no answer within {timeout:.0f} s",
            node=target.name,
            hint="look at sshd on the host: it accepts connections and stays silent",
            log="journalctl --unit ssh on the host",
        ) from exc
    if done.returncode == 255:
        raise _refused(target, done.stderr.strip())
    return Answer(done.returncode, done.stdout, done.stderr, time.monotonic() - started)


def on_all(
    targets: Iterable[Target], work: Callable[[Target], Result], max_parallel: int = 32
) -> dict[str, Result | UnreachableError]:
    """Do the same on many hosts at a time; the result or the reason why a host could not be reached, by name."""

    def attempt(target: Target) -> Result | UnreachableError:
        try:
            return work(target)
        except UnreachableError as exc:
            return exc

    chosen = list(targets)
    with ThreadPoolExecutor(max_workers=max(1, min(max_parallel, len(chosen)))) as pool:
        return dict(zip((target.name for target in chosen), pool.map(attempt, chosen), strict=True))


def _place(target: Target) -> str:
    return f"{target.user}@{target.host} port {target.port}"


def _arguments(target: Target, command: Sequence[str], timeout: float) -> list[str]:
    options = [*OPTIONS, f"ConnectTimeout={max(1, int(timeout))}", *target.options]
    remote = [*(("sudo", "-n", "--") if target.sudo else ()), *command]
    return [
        "ssh",
        "-T",
        *(part for option in options for part in ("-o", option)),
        "-p",
        str(target.port),
        "-l",
        target.user,
        *(("-i", target.key_path) if target.key_path else ()),
        target.host,
        shlex.join(remote),
    ]


def _reach(target: Target, timeout: float) -> None:
    """Find out by the operating system's own answers, not by OpenSSH's words, why a host does not answer at all."""
    try:
        socket.create_connection((target.host, target.port), timeout=timeout).close()
    except OSError as exc:
        what, hint = _cause(exc)
        raise UnreachableError(
            f"SSH to {_place(target)}: {what}", node=target.name, hint=hint, log="/var/log/salt/master"
        ) from exc


def _cause(exc: OSError) -> tuple[str, str]:
    if isinstance(exc, socket.gaierror):
        return "the name does not resolve", "correct ssh:host in the pillar, or the name service of the master"
    if isinstance(exc, ConnectionRefusedError):
        return "connection refused", "start sshd on the host, or correct ssh:port in the pillar"
    if isinstance(exc, TimeoutError):
        return "no answer in time", "check that the host runs, its address in the pillar, and firewalls between"
    return f"not reachable ({exc.strerror or exc})", "check the address in the pillar and the route to the host"


# OpenSSH tells these apart in words only; what it says is shown in full whatever becomes of the remedy.
_REMEDIES = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host's key has CHANGED: find out why before you trust it, then correct known_hosts",
    ),
    ("Host key verification failed", "add the host's key, read from its console, to known_hosts"),
    ("UNPROTECTED PRIVATE KEY FILE", "chmod 600 the key file that ssh:key_path names"),
    ("Permission denied", "put the master's public key in the authorized_keys of the user, or correct ssh:user, ssh:key_path"),
)


def _refused(target: Target, said: str) -> UnreachableError:
    hint = next((remedy for words, remedy in _REMEDIES if words in said), "run the same ssh by hand with -v")
    return UnreachableError(
        f"SSH to {_place(target)} with the key {target.key_path} was refused: {said or 'no reason given'}",
        node=target.name,
        hint=hint,
        log="journalctl --unit ssh on the host",
    )
