"""A real sshd with accounts for every condition of a host, apart from the machine's own sshd.

Accounts, sudoers and resolv.conf are bind-mounted in separate mount namespaces, so the machine does
not see them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.ssh.command import Target

SSHD = "/usr/sbin/sshd"
SUDO = "/usr/bin/sudo"
# Real accounts do not use IDs in this range.
FIRST_UID = 61100
OUTPUT_OF_PYTHON_2 = "(2, 7, 18)"


@dataclass(frozen=True)
class Account:
    """A user of the server: login shell, bashrc, directory of its PATH, and line of sudoers."""

    name: str
    shell: str = "/bin/sh"
    bashrc: str = ""
    path: str = "bin"
    sudoers: str = ""
    config: tuple[str, ...] = field(default_factory=tuple)


NOPASSWD = "{name} ALL=(ALL) NOPASSWD: ALL"
ACCOUNTS = (
    Account("mk-good"),
    Account("mk-bash", shell="/bin/bash", bashrc="echo only on stderr >&2"),
    Account("mk-nologin", shell="/usr/sbin/nologin"),
    Account("mk-exit", shell="{base}/exit-255"),
    Account("mk-noise", shell="/bin/bash", bashrc="printf 'Welcome to the machine'"),
    Account("mk-flood", shell="/bin/bash", bashrc="exec yes"),
    Account("mk-stuck", shell="/bin/bash", bashrc="exec sleep 60"),
    Account("mk-sftp", config=("ForceCommand internal-sftp",)),
    Account("mk-cut", config=("ForceCommand {base}/cut-once",)),
    Account("mk-denied", config=("PubkeyAuthentication no",)),
    Account("mk-no-python", path="empty"),
    Account("mk-broken-python", path="broken-python"),
    Account("mk-old-python", path="old-python"),
    Account("mk-python-2", path="python-2"),
    Account("mk-stuck-python", path="stuck-python"),
    Account("mk-no-sudo", path="python-alone"),
    Account("mk-sudo", sudoers=NOPASSWD),
    Account("mk-sudo-password", sudoers="{name} ALL=(ALL) ALL"),
    Account("mk-sudo-tty", sudoers="Defaults:{name} requiretty\n" + NOPASSWD),
    Account("mk-sudo-listed", sudoers="{name} ALL=(ALL) ALL, NOPASSWD: /usr/bin/id"),
    Account("mk-sudo-other", sudoers="{name} ALL=(ALL) NOPASSWD: /usr/bin/id"),
    Account("mk-sudo-unknown"),
    Account("mk-sudo-refused", sudoers="Defaults:{name} !authenticate"),
    Account("mk-sudo-old-python", path="old-python", sudoers=NOPASSWD),
    Account("mk-sudo-broken-python", path="broken-python", sudoers=NOPASSWD),
    Account("mk-all-wrong", shell="/bin/bash", bashrc="echo Welcome", path="old-python"),
)


class Server:
    """An sshd on 127.0.0.1 and ::1 with all accounts, one client key and one host key."""

    def __init__(self) -> None:
        if os.getuid() != 0:
            pytest.fail("these tests give a real sshd accounts of its own, which takes root")
        for program in (SSHD, SUDO, shutil.which("unshare") or "unshare"):
            if not Path(program).exists():
                pytest.fail(
                    f"{program} is missing: apt-get install -y openssh-server sudo util-linux"
                )
        # The accounts must be able to read this directory, so it is not pytest's directory.
        self.base = Path(tempfile.mkdtemp(prefix="metalk8s-expand-sshd-"))
        self.base.chmod(0o755)
        self.port = free_port()
        self.key = keygen(self.base / "client")
        self.host_key = keygen(self.base / "host")
        self.known_hosts = self.base / "known_hosts"
        self.known_hosts.write_text(self.known(self.host_key))
        _programs(self.base)
        self._process = self._start()

    def target(self, user: str = "mk-good", name: str = "w-1", **changes: Any) -> Target:
        """Return the roster's target for the server with this account."""
        fields: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": user,
            "key_path": str(self.key),
            "options": trusting(self.known_hosts),
        }
        return Target(name, **{**fields, **changes})

    def known(self, key: Path, name: str = "") -> str:
        """Return a line of known_hosts."""
        names = name or f"[127.0.0.1]:{self.port},[::1]:{self.port}"
        return f"{names} {Path(f'{key}.pub').read_text()}"

    def stop(self) -> None:
        """Stop the server and remove its files."""
        self._process.terminate()
        self._process.wait(10)
        shutil.rmtree(self.base)

    def _start(self) -> subprocess.Popen[bytes]:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        (self.base / "sshd_config").write_text(_config(self.base, self.port, self.host_key))
        mounts = _accounts(self.base)
        lines = [f"mount --bind {source} {target}" for source, target in mounts.items()]
        command = "; ".join(["set -e", *lines, f"exec {SSHD} -D -e -f {self.base}/sshd_config"])
        with (self.base / "log").open("wb") as log:
            process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", command], stdout=log, stderr=log
            )
        wait_for_port(self.port, process, self.base / "log")
        return process


def trusting(known_hosts: Path | str) -> tuple[str, ...]:
    """Return the options that the roster passes to OpenSSH."""
    return (
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={known_hosts}",
        "GlobalKnownHostsFile=/dev/null",
    )


def keygen(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Create a key pair and return the path of the private key."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=60)
    return path


def free_port() -> int:
    """Return a port that is free on all IPv4 and IPv6 addresses."""
    with socket.socket(socket.AF_INET6) as found:
        found.bind(("::", 0))
        port: int = found.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until sshd listens; fail with the log if it ends or takes longer than 10 s."""
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"sshd did not start: {log.read_text()}")
            time.sleep(0.05)


def in_namespace(setup: Iterable[str], code: str, timeout: float = 60.0) -> str:
    """Run Python code in new mount and network namespaces with loopback only; return its output."""
    library = Path(__file__).resolve().parents[2] / "salt" / "_utils"
    lines = ["set -e", "ip link set lo up", *setup, f"exec {shlex.quote(sys.executable)} -"]
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", "; ".join(lines)],
        input=f"import sys; sys.path.insert(0, {str(library)!r})\n{code}",
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _config(base: Path, port: int, host_key: Path) -> str:
    common = f"""
        Port {port}
        ListenAddress 127.0.0.1
        ListenAddress ::1
        HostKey {host_key}
        KexAlgorithms curve25519-sha256
        PidFile none
        StrictModes no
        UsePAM no
        MaxStartups 100
        PasswordAuthentication no
        KbdInteractiveAuthentication no
        AuthorizedKeysFile {base}/client.pub
        Subsystem sftp internal-sftp
    """
    matches = []
    for account in ACCOUNTS:
        matches += [f"Match User {account.name}", f"SetEnv PATH={base}/{account.path}"]
        matches += [line.format(base=base) for line in account.config]
    return "\n".join([*(line.strip() for line in common.splitlines()), *matches, ""])


def _accounts(base: Path) -> dict[Path, Path]:
    """Write the account files; return each with the path that it is mounted over."""
    passwd, shadow, sudoers = "", "", "root ALL=(ALL) ALL\n"
    for number, account in enumerate(ACCOUNTS):
        home = base / "home" / account.name
        home.mkdir(parents=True)
        (home / ".bashrc").write_text(f"{account.bashrc}\n")
        shell = account.shell.format(base=base)
        passwd += f"{account.name}:x:{FIRST_UID + number}:65534::{home}:{shell}\n"
        shadow += f"{account.name}:*:19000:0:99999:7:::\n"
        sudoers += account.sudoers.format(name=account.name) + "\n"
    (base / "passwd").write_text(Path("/etc/passwd").read_text() + passwd)
    (base / "shadow").write_text(Path("/etc/shadow").read_text() + shadow)
    (base / "sudoers").write_text(sudoers)
    (base / "shadow").chmod(0o600)
    (base / "sudoers").chmod(0o440)
    mounts = {base / name: Path("/etc") / name for name in ("passwd", "shadow", "sudoers")}
    # The accounts may not be able to read a Python below a home directory.
    return {**mounts, Path(sys.base_prefix): base / "python"}


def _programs(base: Path) -> None:
    """Write the programs for the PATH of each account.

    ``bin`` has the Python that runs the tests, which is also the version of the master.
    """
    python = base / "python" / Path(sys.executable).resolve().relative_to(sys.base_prefix)
    for directory in (
        "python",
        "bin",
        "python-alone",
        "empty",
        "broken-python",
        "old-python",
        "python-2",
        "stuck-python",
    ):
        (base / directory).mkdir()
    for directory in ("bin", "python-alone"):
        (base / directory / "python3").symlink_to(python)
    for directory in ("bin", "broken-python", "old-python", "python-2"):
        (base / directory / "sudo").symlink_to(SUDO)
    for name in ("sleep", "yes"):
        (base / "bin" / name).symlink_to(shutil.which(name) or name)
    # No old Python is installed here: this one runs the given code and reports an old version.
    old = 'import sys; sys.version_info = (3, 6, 8, "final", 0); exec(sys.argv[1])'
    _script(base / "old-python" / "python3", f"shift; exec {python} -ES -c '{old}' \"$@\"")
    _script(base / "python-2" / "python", f'echo "{OUTPUT_OF_PYTHON_2}"')
    _script(
        base / "broken-python" / "python3",
        "echo 'error while loading shared libraries' >&2; exit 127",
    )
    _script(base / "stuck-python" / "python3", "exec /bin/sleep 60")
    _script(base / "exit-255", "exit 255")
    # The first login is interrupted while its command runs; later logins work.
    (base / "scratch").mkdir()
    (base / "scratch").chmod(0o1777)
    cut = f'/bin/mkdir {base}/scratch/was-cut 2>/dev/null && kill -KILL "$PPID"'
    _script(base / "cut-once", f'{cut}; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"')


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
