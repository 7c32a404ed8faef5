"""Daemons that end with their test, free loopback addresses, and a wait with a timeout."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# If pytest is killed, the kernel kills each daemon together with the thread that started it.
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
    """Return the first three numbers of a loopback network with ``hosts`` addresses.

    These ports are free on each address. Programs keep their well-known ports, and two runs of the
    tests do not conflict.
    """
    for _ in range(50):
        prefix = f"127.{random.randint(1, 250)}.{random.randint(1, 250)}"
        if all(
            _is_free(f"{prefix}.{host}", port) for host in range(1, hosts + 1) for port in ports
        ):
            return prefix
    raise RuntimeError(f"no loopback network has the ports {ports} free")


def wait_for_ports(address: str, ports: Sequence[int], timeout: float = 120.0) -> None:
    """Wait until these ports of the address are free: another run of the tests may use them."""

    def free() -> bool:
        return all(_is_free(address, port) for port in ports)

    eventually(f"the ports {ports} of {address} are free", free, timeout)


def eventually(what: str, probe: Callable[[], object], timeout: float = 60.0) -> None:
    """Call ``probe`` until it returns a true value; fail after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not probe():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:.0f} s: {what}")
        time.sleep(0.05)


def _is_free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True
