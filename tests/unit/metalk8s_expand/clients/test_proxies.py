"""A proxy in the environment is used by no client of the cluster's own hosts."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import certifi
import pytest

from metalk8s_expand.clients.etcd import snapshot_stream
from metalk8s_expand.clients.etcd.api import Credentials, Etcd
from metalk8s_expand.clients.host import certificates
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.clients.kubernetes.readiness import api_server_problems
from metalk8s_expand.clients.ssh.command import run
from metalk8s_expand.clients.ssh.target import Target
from metalk8s_expand.errors import UnreachableError
from metalk8s_expand.remote import host_facts

# TEST-NET-1 (RFC 5737) and loopback: nothing is there, and a proxy would be asked for both.
CLOSED = "127.0.0.1"


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Set every variable of a proxy; yield the requests that reach the proxy."""
    asked: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            self.send_error(403)

        do_GET = do_POST = do_CONNECT

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = HTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    for name in ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy"):
        for written in (name, name.upper()):
            monkeypatch.setenv(written, f"http://127.0.0.1:{server.server_port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield asked
    server.shutdown()
    thread.join(5)
    server.server_close()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind((CLOSED, 0))
        return int(probe.getsockname()[1])


def write_kubeconfig(path: Path, url: str) -> str:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": url}}],
        "users": [{"name": "a", "user": {"token": "x"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    }
    path.write_text(json.dumps(config))
    return str(path)


def ask_api(base: Path, port: int) -> None:
    path = write_kubeconfig(base / "kubeconfig", f"https://{CLOSED}:{port}")
    Kube.from_kubeconfig(path, timeout=1.0).text("/readyz")


class OpenEtcd(Etcd):
    """A client of etcd that needs no certificate files."""

    def tls(self) -> object:  # type: ignore[override]
        import ssl

        return ssl.create_default_context()


def ask_etcd(base: Path, port: int) -> None:
    OpenEtcd([f"https://{CLOSED}:{port}"], Credentials(), timeout=1.0).members()


def ask_snapshot(base: Path, port: int) -> None:
    url = f"https://{CLOSED}:{port}"
    list(snapshot_stream.pieces(OpenEtcd([url]), url, 1.0, Clock()))


def ask_ssh(base: Path, port: int) -> None:
    run(Target("w-1", CLOSED, port), ["true"], timeout=2.0)


def ask_own_api_server(base: Path, port: int) -> None:
    [problem] = api_server_problems(CLOSED, certifi.where())
    assert "does not answer" in problem
    assert "refused" in problem
    raise UnreachableError(problem)


def ask_certificate(base: Path, port: int) -> None:
    certificates.served(CLOSED, port, timeout=1.0)


def ask_probe(base: Path, port: int) -> None:
    problems = host_facts.connect_all([[CLOSED, port]], 0.2)
    raise UnreachableError(problems[f"{CLOSED}:{port}"])


CLIENTS: dict[str, Callable[[Path, int], None]] = {
    "API": ask_api,
    "etcd": ask_etcd,
    "snapshot of etcd": ask_snapshot,
    "SSH": ask_ssh,
    "API server of a node": ask_own_api_server,
    "certificate of a port": ask_certificate,
    "probe of a host": ask_probe,
}


@pytest.mark.parametrize("client", CLIENTS)
def test_client_connects_without_proxy_of_environment(
    client: str, proxy: list[str], tmp_path: Path
) -> None:
    with pytest.raises((UnreachableError, OSError)):
        CLIENTS[client](tmp_path, closed_port())
    assert proxy == []
