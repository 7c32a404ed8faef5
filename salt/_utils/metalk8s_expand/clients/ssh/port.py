"""Probe of a host's SSH port without OpenSSH, based on error codes of the operating system."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable

from metalk8s_expand.domain.parsing.addresses import host_port
from metalk8s_expand.domain.preflight.ssh_failures import SSHFailure

FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
NO_ROUTE = {
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
    errno.EADDRNOTAVAIL,
}
# RFC 4253, 4.2: a server may send other lines before its banner; no real server sends this many
# bytes.
MOST_BYTES = 8192

Address = tuple[int, tuple[object, ...]]


def probe_port(host: str, port: int, family: str, timeout: float) -> SSHFailure | None:
    """Return why this host and port show no SSH banner within ``timeout`` seconds, or None.

    The probe tries all addresses of a name, as OpenSSH does; ``family`` is OpenSSH's AddressFamily.
    """
    deadline = time.monotonic() + timeout
    addresses = _resolve(host, port, FAMILIES.get(family, socket.AF_UNSPEC), timeout)
    if isinstance(addresses, SSHFailure):
        return addresses
    troubles = []
    for number, address in enumerate(addresses):
        rest = max(0.1, deadline - time.monotonic())
        trouble = _knock(address, rest / (len(addresses) - number))
        if trouble is None:
            return None
        troubles.append(trouble)
    # The failure of the address that got farthest is the most useful one.
    return max(troubles, key=lambda trouble: _PROGRESS.index(trouble.cause))


_PROGRESS = [
    "no-route",
    "time-out",
    "connection-refused",
    "connection-closed",
    "banner-time-out",
    "not-ssh",
]


def _resolve(host: str, port: int, family: int, timeout: float) -> list[Address] | SSHFailure:
    """Resolve a name in its own thread, because the C library's resolver has no deadline."""
    outcome: list[list[Address] | SSHFailure] = []

    def ask() -> None:
        try:
            infos = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
            outcome.append([(info[0], info[4]) for info in infos])
        except (OSError, UnicodeError) as exc:
            outcome.append(
                SSHFailure(
                    "name-does-not-resolve", f"the name {host} does not resolve: {_words(exc)}"
                )
            )

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    silent = SSHFailure(
        "name-does-not-resolve",
        f"the name service does not answer for {host} within {timeout:.0f} s",
    )
    return outcome[0] if outcome else silent


def _knock(address: Address, timeout: float) -> SSHFailure | None:
    where = _where(address)
    deadline = time.monotonic() + timeout
    with socket.socket(address[0], socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(address[1])
        except TimeoutError:
            return SSHFailure("time-out", f"no answer from {where} within {timeout:.0f} s")
        except ConnectionRefusedError:
            return SSHFailure("connection-refused", f"connection refused by {where}")
        except OSError as exc:
            cause = "no-route" if exc.errno in NO_ROUTE else "time-out"
            return SSHFailure(cause, f"{where} is not reachable: {_words(exc)}")
        return _banner(where, _receiver(connection, deadline), timeout)


def _receiver(connection: socket.socket, deadline: float) -> Callable[[], bytes]:
    def receive() -> bytes:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        return connection.recv(1024)

    return receive


def _banner(where: str, receive: Callable[[], bytes], timeout: float) -> SSHFailure | None:
    read = b""
    try:
        while len(read) < MOST_BYTES:
            some = receive()
            read += some
            if any(line.startswith(b"SSH-") for line in read.splitlines()):
                return None
            if not some:
                break
    except TimeoutError:
        problem = f"{where} accepts the connection, but sends no SSH banner within {timeout:.0f} s"
        return SSHFailure("banner-time-out", problem)
    except OSError as exc:
        return SSHFailure(
            "connection-closed", f"{where} accepts the connection and resets it: {_words(exc)}"
        )
    if not read:
        return SSHFailure(
            "connection-closed",
            f"{where} accepts the connection and closes it without an SSH banner",
        )
    return SSHFailure("not-ssh", f"{where} sends no SSH banner, but {read[:80]!r}")


def _where(address: Address) -> str:
    host, port = address[1][:2]
    return host_port(str(host), str(port))


def _words(exc: Exception) -> str:
    return getattr(exc, "strerror", None) or str(exc)
