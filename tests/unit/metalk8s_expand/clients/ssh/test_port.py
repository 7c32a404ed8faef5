"""Tests of the SSH port probe, which runs without OpenSSH."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from metalk8s_expand.clients.ssh import port as network
from tests.unit.metalk8s_expand.conftest import free_port

Listener = Callable[[bytes], int]


@pytest.fixture
def speaking() -> Iterator[Listener]:
    """A port that sends bytes to its first client and then stays silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def say(words: bytes) -> None:
            connection = server.accept()[0]
            kept.append(connection)
            # The client closes the connection when it has read enough.
            with contextlib.suppress(OSError):
                for byte in words:
                    connection.send(bytes([byte]))

        def start(words: bytes) -> int:
            threading.Thread(target=say, args=(words,), daemon=True).start()
            port: int = server.getsockname()[1]
            return port

        yield start
        for connection in kept:
            connection.close()


@pytest.mark.parametrize("words", [b"SSH-2.0-x\r\n", b"Welcome\r\nto this\r\nSSH-2.0-x\r\n"])
def test_a_banner(speaking: Listener, words: bytes) -> None:
    assert network.probe_port("127.0.0.1", speaking(words), "any", 10) is None


@pytest.mark.parametrize(
    ("words", "cause"),
    [(b"", "banner-time-out"), (b"x" * 9000, "not-ssh"), (b"HTTP", "banner-time-out")],
)
def test_no_banner(speaking: Listener, words: bytes, cause: str) -> None:
    started = time.monotonic()
    trouble = network.probe_port("127.0.0.1", speaking(words), "any", 1)
    assert trouble is not None
    assert trouble.cause == cause
    assert time.monotonic() - started < 5


def test_every_address_of_a_name_is_tried(
    speaking: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = speaking(b"SSH-2.0-x\r\n")
    found = [(socket.AF_INET, ("127.0.0.1", free_port())), (socket.AF_INET, ("127.0.0.1", port))]
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_: [(family, 1, 6, "", address) for family, address in found]
    )
    assert network.probe_port("two", port, "any", 10) is None


def test_failure_that_got_farthest_is_reported(
    silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [("127.0.0.1", silent_port), ("127.0.0.1", free_port())]
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_: [(socket.AF_INET, 1, 6, "", address) for address in found]
    )
    trouble = network.probe_port("two", silent_port, "any", 1)
    assert trouble is not None
    assert trouble.cause == "banner-time-out"


def test_the_family_is_that_of_openssh() -> None:
    trouble = network.probe_port("127.0.0.1", 22, "inet6", 10)
    assert trouble is not None
    assert trouble.cause == "name-does-not-resolve"


@pytest.mark.parametrize("host", ["", "a" * 64 + ".invalid", "ä" * 300])
def test_invalid_name_does_not_resolve(host: str) -> None:
    trouble = network.probe_port(host or "no such name.invalid", 22, "any", 10)
    assert trouble is not None
    assert trouble.cause == "name-does-not-resolve"


def test_a_resolver_that_gives_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: never.wait(30) and [])
    started = time.monotonic()
    trouble = network.probe_port("host.example", 22, "any", 0.2)
    never.set()
    assert trouble is not None
    assert "does not answer" in trouble.found
    assert time.monotonic() - started < 5
