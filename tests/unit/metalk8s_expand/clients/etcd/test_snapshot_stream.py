"""Tests of the snapshot stream: decoding in pieces, bounds of time and memory, incomplete streams."""

from __future__ import annotations

import base64
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import pytest

from metalk8s_expand.clients.etcd import snapshot_stream
from metalk8s_expand.clients.etcd.api import Credentials, Etcd
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.errors import UnreachableError
from tests.fakes import https_server

Answer = Callable[[Any], None]


class Handler(BaseHTTPRequestHandler):
    """Sends what the test says, as etcd's gateway does: chunked, one object a line."""

    protocol_version = "HTTP/1.1"
    answer: ClassVar[Answer]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        # The client may have closed the connection, as it should.
        with suppress(OSError):
            type(self).answer(self)

    def start(self, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def log_message(self, *_: Any) -> None: ...


def line(blob: bytes, remaining: int = 0) -> bytes:
    result: dict[str, Any] = {"blob": base64.b64encode(blob).decode(), "version": "3.6.0"}
    # The gateway leaves zeros out or writes numbers of 64 bits as texts.
    return (
        json.dumps(
            {"result": {**result, **({"remaining_bytes": str(remaining)} if remaining else {})}}
        ).encode()
        + b"\n"
    )


@pytest.fixture
def received(pki: Path) -> Iterator[Callable[..., bytes]]:
    kind = type("Once", (Handler,), {})
    server = https_server.serve(pki, kind)
    credentials = Credentials(str(pki / "ca.crt"), str(pki / "client.crt"), str(pki / "client.key"))
    url = f"https://127.0.0.1:{server.server_address[1]}"

    def receive(
        answer: Answer, timeout: float = 10.0, into: Callable[[Iterator[bytes]], Any] = b"".join
    ) -> Any:
        kind.answer = staticmethod(answer)  # type: ignore[attr-defined]
        return into(snapshot_stream.pieces(Etcd([url], credentials), url, timeout, Clock()))

    yield receive
    server.shutdown()
    server.server_close()


def test_pieces_come_in_order_however_they_are_cut(received: Callable[..., bytes]) -> None:
    def answer(handler: Handler) -> None:
        handler.start()
        whole = line(b"first", 11) + line(b"second", 5) + line(b"") + line(b"third")
        for start in range(0, len(whole), 7):
            handler.chunk(whole[start : start + 7])
        handler.chunk(b"")

    assert received(answer) == b"firstsecondthird"


def test_a_large_store_is_never_in_memory(received: Callable[..., int]) -> None:
    piece = line(bytes(32 * 1024), 1)

    def answer(handler: Handler) -> None:
        handler.start()
        for _ in range(1000):
            handler.chunk(piece)
        handler.chunk(line(b"end"))
        handler.chunk(b"")

    tracemalloc.start()
    try:
        count = received(answer, timeout=60.0, into=lambda pieces: sum(map(len, pieces)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 1000 * 32 * 1024 + 3
    assert peak < 4 * 1024 * 1024


def test_an_error_in_the_middle(received: Callable[..., bytes]) -> None:
    def answer(handler: Handler) -> None:
        handler.start()
        handler.chunk(
            line(b"first", 5) + b'{"error": {"code": 14, "message": "etcdserver: stopped"}}\n'
        )
        handler.chunk(b"")

    with pytest.raises(UnreachableError, match="etcdserver: stopped"):
        received(answer)


def test_an_early_end(received: Callable[..., bytes]) -> None:
    def answer(handler: Handler) -> None:
        handler.start()
        handler.chunk(line(b"first", 5))
        handler.chunk(b"")

    with pytest.raises(UnreachableError, match="5 bytes are missing"):
        received(answer)


def test_a_lost_connection(received: Callable[..., bytes]) -> None:
    def answer(handler: Handler) -> None:
        handler.start()
        handler.chunk(line(b"first", 5))
        handler.close_connection = True

    with pytest.raises(UnreachableError, match="aborts"):
        received(answer)


def test_a_refusal(received: Callable[..., bytes]) -> None:
    def answer(handler: Handler) -> None:
        handler.start(403)
        handler.chunk(b"permission denied")
        handler.chunk(b"")

    with pytest.raises(UnreachableError, match="403 permission denied"):
        received(answer)


@pytest.mark.parametrize(
    "text", [b"<html>\n", b"[1]\n", b"{}\n", b'{"result": 1}\n', b'{"result": {"blob": "?"}}\n']
)
def test_something_else(received: Callable[..., bytes], text: bytes) -> None:
    def answer(handler: Handler) -> None:
        handler.start()
        handler.chunk(text)
        handler.chunk(b"")

    with pytest.raises(UnreachableError, match="does not answer with a snapshot"):
        received(answer)


def test_an_endless_line_is_not_kept(
    received: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_stream, "_LONGEST", 100_000)

    def answer(handler: Handler) -> None:
        handler.start()
        for _ in range(100):
            handler.chunk(b"x" * 65536)

    with pytest.raises(UnreachableError, match="does not answer with a snapshot"):
        received(answer)


def test_member_that_falls_silent_is_unreachable(
    received: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_stream, "SILENCE_S", 1.0)

    def answer(handler: Handler) -> None:
        handler.start()
        handler.chunk(line(b"first", 5))
        time.sleep(4)

    started = time.monotonic()
    with pytest.raises(UnreachableError, match="timed out"):
        received(answer)
    assert time.monotonic() - started < 3


def test_slow_member_ends_at_timeout(received: Callable[..., bytes]) -> None:
    def answer(handler: Handler) -> None:
        handler.start()
        for _ in range(100):
            handler.chunk(line(b"", 5))
            time.sleep(0.1)

    started = time.monotonic()
    with pytest.raises(UnreachableError, match="did not complete its snapshot in time"):
        received(answer, timeout=1.0)
    assert time.monotonic() - started < 3


def test_a_host_is_local_or_not() -> None:
    assert snapshot_stream.is_local("https://127.0.0.1:2379")
    assert snapshot_stream.is_local("https://[::1]:2379") in (True, False)
    assert not snapshot_stream.is_local("https://192.0.2.1:2379")
