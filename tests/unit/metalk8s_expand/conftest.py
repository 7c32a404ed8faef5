"""A real OpenSSH server on a loopback port, for all tests that use SSH."""

from __future__ import annotations

import copy
import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.ssh.command import Target
from tests.fakes.clock import FakeClock

SSHD = "/usr/sbin/sshd"


class Sshd:
    """One server with one authorized key.

    ``force`` sets the command that each login runs instead of the requested one.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self.port = free_port()
        self.key = self._keygen("client")
        self.host_key = self._keygen("host")
        self.known_hosts = base / "known_hosts"
        self.trust(self.host_key)
        self.force(None)
        # A home without start-up files: those of the developer's shell may take a lock that
        # parallel logins wait for, as pyenv's do.
        home = base / "home"
        home.mkdir()
        (base / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.host_key}\nPidFile none\nStrictModes no\n"
            f"AuthorizedKeysFile {base}/authorized_keys\nUsePAM no\nPermitRootLogin yes\nMaxStartups 100\nPrintMotd no\n"
            f"SetEnv HOME={home}\n"
        )

    def start(self) -> subprocess.Popen[bytes]:
        if not Path(SSHD).exists():
            pytest.fail(
                f"{SSHD} is missing, and these tests talk to a real server: apt-get install -y openssh-server"
            )
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with (self.base / "log").open("wb") as log:
            return subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(self.base / "sshd_config")], stdout=log, stderr=log
            )

    def trust(self, host_key: Path | None) -> None:
        """Write known_hosts with this host key, or with none."""
        line = f"[127.0.0.1]:{self.port} {Path(f'{host_key}.pub').read_text()}" if host_key else ""
        self.known_hosts.write_text(line)

    def force(self, script: str | None) -> None:
        """Run a shell script at every login; with None, run the requested command."""
        option = ""
        if script is not None:
            path = self.base / "forced"
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
            option = f'command="{path}" '
        (self.base / "authorized_keys").write_text(option + Path(f"{self.key}.pub").read_text())

    def another_key(self, name: str) -> Path:
        return self._keygen(name)

    def target(self, name: str = "w-1", **changes: Any) -> Target:
        fields: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "key_path": str(self.key),
            "options": ("StrictHostKeyChecking=yes", f"UserKnownHostsFile={self.known_hosts}"),
        }
        return Target(name, **{**fields, **changes})

    def _keygen(self, name: str) -> Path:
        path = self.base / name
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return path


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def _running_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if not shutil.which("ssh-keygen"):
        pytest.fail("ssh-keygen is missing: apt-get install -y openssh-client")
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    process = server.start()
    try:
        wait_for_port(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(10)


def wait_for_port(server: Sshd, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", server.port), 1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"sshd did not start: {(server.base / 'log').read_text()}")
            time.sleep(0.05)


@pytest.fixture
def sshd(_running_sshd: Sshd) -> Sshd:
    """Return the server in its initial state."""
    _running_sshd.trust(_running_sshd.host_key)
    _running_sshd.force(None)
    return _running_sshd


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Yield a port that accepts connections and sends nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield listener.getsockname()[1]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


PILLARS: dict[tuple[str, ...], Any] = {}


@pytest.fixture
def rendered_pillars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Salt render equal pillar files once for all tests: its loaders take most of the time."""
    import salt.pillar

    real = salt.pillar.Pillar

    class RenderedPillar:
        """The pillar of one minion, from the files of the saltenv base and no external pillar."""

        def __init__(self, opts: Mapping[str, Any], *minion: Any) -> None:
            assert not opts["ext_pillar"]
            self.arguments = (opts, *minion)
            self.roots = map(Path, opts["pillar_roots"]["base"])

        def compile_pillar(self) -> Any:
            files = [path for root in self.roots for path in sorted(root.rglob("*.sls"))]
            texts = [text for path in files for text in (path.name, path.read_text())]
            key = (repr(self.arguments[1:]), *texts)
            if key not in PILLARS:
                PILLARS[key] = real(*self.arguments).compile_pillar()
            return copy.deepcopy(PILLARS[key])

    monkeypatch.setattr(salt.pillar, "Pillar", RenderedPillar)
