"""Processes that end with their test, addresses that no other process uses, and a bounded wait."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# Even a pytest that is killed leaves no daemon behind: the kernel ends them with the thread that started them.
_TIED = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


class Daemon:
    """A running program with its log."""

    def __init__(self, argv: Sequence[str | Path], log: Path) -> None:
        self.log = log
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [*_TIED, *map(str, argv)], stdout=stream, stderr=stream, stdin=subprocess.DEVNULL
            )

    def exit_code(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        return self._process.poll()

    def crash(self) -> None:
        """Send SIGKILL, as in a power failure."""
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL if the process still runs after 5 s."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.crash()

    def tail(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-3000:]


def loopback_network(ports: Sequence[int], hosts: int) -> str:
    """The first three numbers of a loopback network where ``hosts`` addresses have these ports free.

    Programs keep their well-known ports in this way, and two runs of the tests do not meet.
    """
    for _ in range(50):
        prefix = f"127.{random.randint(1, 250)}.{random.randint(1, 250)}"
        if all(
            _is_free(f"{prefix}.{host}", port) for host in range(1, hosts + 1) for port in ports
        ):
            return prefix
    raise RuntimeError(f"no loopback network has the ports {ports} free")


def eventually(what: str, probe: Callable[[], object], timeout: float = 60.0) -> None:
    """Ask until the answer is true; fails after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not probe():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:.0f} s: {what}")
        time.sleep(0.05)


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True
