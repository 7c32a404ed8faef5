"""Simulate hundreds of hosts on one machine.

One sshd serves all hosts, each with its own address. Silent hosts accept connections and send
nothing.
"""

from __future__ import annotations

import getpass
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metalk8s_expand.clients.ssh.command import Target

SSHD = "/usr/sbin/sshd"
# A part of 127/8 that tests and resolvers do not use.
NETWORK = "127.77"


class Hosts:
    """The hosts; they share a client key, a host key and a home directory without a profile."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.port = _free_port()
        self.key = _keygen(base / "client")
        self.known_hosts = base / "known_hosts"
        (base / "home").mkdir()
        host_key = _keygen(base / "host")
        kind, body = Path(f"{host_key}.pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[{NETWORK}.*]:{self.port} {kind} {body}\n")
        (base / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 0.0.0.0\nHostKey {host_key}\nPidFile"
            " none\nStrictModes no\nUsePAM no\nUseDNS no\nAuthorizedKeysFile"
            f" {base}/client.pub\nPermitRootLogin yes\nMaxStartups 1000\nLogLevel ERROR\nPrintMotd"
            f" no\nSubsystem sftp internal-sftp\nSetEnv HOME={base}/home\n"
        )
        self._silent = socket.create_server(("0.0.0.0", 0), backlog=1024)

    def targets(self, count: int, silent: int = 0) -> list[Target]:
        """Return ``count`` roster targets; ``silent`` of them, evenly spread, are silent."""
        first = [number * count // silent for number in range(silent)] if silent else []
        ports = {number: int(self._silent.getsockname()[1]) for number in first}
        return [self._target(number, ports.get(number, self.port)) for number in range(count)]

    def start(self) -> subprocess.Popen[bytes]:
        """Start sshd and wait up to 10 seconds for its answer; return its process."""
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with (self.base / "log").open("wb") as log:
            process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(self.base / "sshd_config")], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((f"{NETWORK}.0.1", self.port), 1).close()
                return process
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    process.kill()
                    raise RuntimeError(
                        f"sshd did not start: {(self.base / 'log').read_text()}"
                    ) from None
                time.sleep(0.05)

    def close(self) -> None:
        """Close the socket of the silent hosts, which resets their connections."""
        self._silent.close()

    def _target(self, number: int, port: int) -> Target:
        address = f"{NETWORK}.{number // 250}.{number % 250 + 1}"
        options = ("StrictHostKeyChecking=yes", f"UserKnownHostsFile={self.known_hosts}")
        return Target(
            f"w-{number}", address, port, getpass.getuser(), str(self.key), False, options
        )


@contextmanager
def running() -> Iterator[Hosts]:
    """Run the hosts until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="metalk8s-expand-bench-") as directory:
        hosts = Hosts(Path(directory))
        process = hosts.start()
        try:
            yield hosts
        finally:
            process.terminate()
            process.wait(10)
            hosts.close()


def _keygen(path: Path) -> Path:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return path


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("0.0.0.0", 0))
        port: int = found.getsockname()[1]
        return port
