"""The cluster's artifact store: an HTTP server on loopback, and archives for it."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Entry:
    """An entry of an archive: a file, a symbolic link, or a directory if its text is None."""

    text: str | None
    mode: int = 0o644
    link: str = ""
    mtime: int = 1_700_000_000


def tar_of(entries: Mapping[str, str | Entry]) -> bytes:
    """Return a tar archive with these entries."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, given in entries.items():
            entry = Entry(given) if isinstance(given, str) else given
            content = (entry.text or "").encode()
            member = tarfile.TarInfo(path)
            member.mode, member.mtime, member.size = entry.mode, entry.mtime, len(content)
            # An owner that does not exist on the host.
            member.uid = member.gid = 54321
            if entry.link:
                member.type, member.linkname = tarfile.SYMTYPE, entry.link
            elif entry.text is None:
                member.type = tarfile.DIRTYPE
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@dataclass
class _File:
    content: bytes
    # The connection ends, or waits, after so many bytes.
    sent: int | None = None
    stalls_at: int | None = None
    raw: bool = False


@dataclass
class ArtifactStore:
    """Files by their names. ``most`` is the highest number of parallel requests."""

    files: dict[str, _File] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    delay: float = 0.0
    most: int = 0

    def __enter__(self) -> ArtifactStore:
        store, lock = self, threading.Lock()
        self._closed = threading.Event()
        active = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                nonlocal active
                with lock:
                    active += 1
                    store.most = max(store.most, active)
                time.sleep(store.delay)
                # The client may have ended already when the count changes.
                with lock:
                    active -= 1
                store.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def put(self, name: str, content: bytes, **more: Any) -> tuple[str, str]:
        """Serve a file; return its URL and its SHA-256."""
        self.files[name] = _File(content, **more)
        return f"{self.url}/{name}", hashlib.sha256(content).hexdigest()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.lstrip("/")
        self.requests.append(name)
        file = self.files.get(name)
        if file is None:
            request.send_error(404)
            return
        if file.raw:
            request.wfile.write(file.content)
            return
        request.send_response(200)
        request.send_header("Content-Length", str(len(file.content)))
        request.end_headers()
        end = file.stalls_at if file.stalls_at is not None else file.sent
        try:
            request.wfile.write(file.content[:end])
            if file.stalls_at is not None:
                request.wfile.flush()
                self._closed.wait(60)
        except OSError:
            # The client has ended.
            pass
