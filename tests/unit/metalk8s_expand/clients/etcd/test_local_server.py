"""The local etcd process: its metrics over HTTP, and its end by a signal."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from metalk8s_expand.clients.etcd import local_server
from metalk8s_expand.clients.etcd.local_server import LocalServer
from metalk8s_expand.domain.etcd.metrics import MemberStart
from tests.fakes.etcd_metrics import WAITING

CONFIG = "/etc/kubernetes/etcd/etcd.yaml"
ETCD = f"etcd\0--config-file={CONFIG}\0"


class Handler(BaseHTTPRequestHandler):
    """Answers with WAITING."""

    def do_GET(self) -> None:
        text = WAITING.encode() if self.path == "/metrics" else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve the metrics of a learner that waits."""
    server = HTTPServer(("127.0.0.1", 0), Handler)
    monkeypatch.setattr(local_server, "METRICS", server.server_address)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("serving")
def test_learner_that_waits_is_known_by_its_metrics() -> None:
    assert LocalServer(CONFIG).start() == MemberStart(starting=True, lost=True)


def test_process_that_does_not_answer_yet_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request to its port for clients, which is open already, would wait for the whole start."""
    monkeypatch.setattr(local_server, "METRICS", ("127.0.0.1", 1))
    assert LocalServer(CONFIG).start() == MemberStart(starting=True)


class TestEnd:
    @pytest.fixture
    def killed(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[int, int]]:
        """The signals sent to processes below a directory; process 9 has ended meanwhile."""
        sent: list[tuple[int, int]] = []

        def kill(pid: int, number: int) -> None:
            if pid == 9:
                raise ProcessLookupError
            sent.append((pid, number))

        monkeypatch.setattr(local_server, "PROC", tmp_path)
        monkeypatch.setattr(local_server.os, "kill", kill)
        return sent

    @staticmethod
    def process(base: Path, name: str, command: str) -> None:
        (base / name).mkdir()
        (base / name / "cmdline").write_text(command)

    def test_only_the_process_of_this_configuration_ends(
        self, killed: list[tuple[int, int]], tmp_path: Path
    ) -> None:
        self.process(tmp_path, "7", ETCD)
        self.process(tmp_path, "8", "etcd\0--config-file=/tmp/other.yaml\0")
        self.process(tmp_path, "9", ETCD)
        self.process(tmp_path, "self", ETCD)
        self.process(tmp_path, "10", f"grep\0{ETCD}")
        (tmp_path / "11").mkdir()
        assert LocalServer(CONFIG).end()
        assert killed == [(7, signal.SIGTERM)]

    def test_host_without_the_process_has_none_to_end(
        self, killed: list[tuple[int, int]], tmp_path: Path
    ) -> None:
        self.process(tmp_path, "9", ETCD)
        assert not LocalServer(CONFIG).end()
        assert killed == []
