"""Test certificates with real files and a real TLS port: files, served certificates, and the repair of a difference."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.certificates.expiry import DAY, Limits, problems
from metalk8s_expand.errors import DeployError
from metalk8s_expand.minion import certificates
from tests.fakes.clock import FakeClock
from tests.integration.pki import Authority
from tests.unit.metalk8s_expand.conftest import free_port


class Host:
    """A directory of certificates and a server that reads one of them when it starts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory / "ca.crt", "kubernetes")
        self.path = directory / "kubelet-server"
        self.sign()
        self._server: HTTPServer | None = None
        self.restarts: list[str] = []

    def sign(self, name: str = "kubelet-server") -> None:
        self.authority.sign(
            self.directory / name,
            "system:node:w-1",
            organization="system:nodes",
            sans=["127.0.0.1"],
        )

    def start(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{self.path}.crt", f"{self.path}.key")
        self._server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def restart(self, unit: str) -> None:
        self.restarts.append(unit)
        self.stop()
        self.start()

    def look(self, **expected: str) -> dict[str, Any]:
        port = self._server.server_port if self._server else free_port()
        return certificates.observed(
            {"kubelet-server": str(self.path), **expected},
            directory=str(self.directory),
            ports={"kubelet-server": port},
            clock=Clock(),
        )


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    made.start()
    yield made
    made.stop()


def test_observed_reports_files_and_served_certificates(host: Host) -> None:
    found = host.look()
    entry = found["kubelet-server"]
    assert (entry["path"], entry["key"], entry["served"]["serial"]) == (
        f"{host.path}.crt",
        "fits",
        entry["serial"],
    )
    assert "system:node:w-1" in entry["subject"]
    assert entry["issuer"] == "CN=kubernetes"
    assert 0 < entry["seconds_left"] <= DAY
    assert entry["served"]["not_after"] == entry["not_after"]
    assert (found["ca"]["key"], "served" in found["ca"]) == ("is missing", False)
    assert problems({"w-1": found}, Limits(0, 0)) == []


def test_observed_returns_no_private_key(host: Host) -> None:
    (host.directory / "scheduler.crt").write_bytes((host.directory / "ca.crt").read_bytes())
    (host.directory / "scheduler.key").write_text(
        "-----BEGIN PRIVATE KEY-----\nTHE-SECRET\n-----END PRIVATE KEY-----\n"
    )
    text = json.dumps(host.look())
    assert "PRIVATE" not in text
    assert "THE-SECRET" not in text


def test_observed_reports_problems_of_files(host: Host) -> None:
    host.sign("scheduler")
    (host.directory / "scheduler.key").write_bytes(Path(f"{host.path}.key").read_bytes())
    host.sign("admin")
    (host.directory / "admin.key").write_text("nothing")
    (host.directory / "apiserver.crt").write_text("nothing")
    host.sign("another")
    found = host.look(absent=str(host.directory / "absent"))
    assert (found["scheduler"]["key"], found["admin"]["key"]) == ("is another's", "cannot be read")
    assert found["absent"]["error"] == "it is missing"
    assert "cannot be read" in found["apiserver"]["error"]
    assert found[str(host.directory / "another")]["key"] == "fits"


def test_renewed_file_is_served_after_kubelet_restart(host: Host) -> None:
    host.sign()
    found = host.look()
    assert found["kubelet-server"]["served"]["serial"] != found["kubelet-server"]["serial"]
    assert certificates.serve(host.look, host.restart, 5, test=True, clock=Clock()) == {
        "kubelet": "restarted"
    }
    assert host.restarts == []
    assert certificates.serve(host.look, host.restart, 5, clock=Clock()) == {"kubelet": "restarted"}
    assert certificates.serve(host.look, host.restart, 5, clock=Clock()) == {}
    assert host.restarts == ["kubelet"]


def test_closed_port_fails_at_deadline(host: Host, clock: FakeClock) -> None:
    host.stop()
    assert "refused" in host.look()["kubelet-server"]["served"]["error"]
    useless: Callable[[str], None] = host.restarts.append
    with pytest.raises(DeployError, match="kubelet-server, does not answer") as error:
        certificates.serve(host.look, useless, 20, clock=clock)
    assert host.restarts == ["kubelet"]
    assert error.value.log


def test_process_that_reloads_its_file_is_not_restarted(clock: FakeClock) -> None:
    served = iter(["old", "old", "old", "new"])

    def look() -> dict[str, Any]:
        return {
            "apiserver": {
                "path": "/x.crt",
                "serial": "new",
                "served": {"port": 6443, "serial": next(served), "not_after": ""},
            }
        }

    assert certificates.serve(look, pytest.fail, 60, clock=clock) == {}
    assert clock.now() == 1004


class TestMaster:
    """The client certificate of the master for the API."""

    def kubeconfig(self, directory: Path, user: dict[str, str]) -> str:
        context = {"name": "c", "context": {"cluster": "x", "user": "u"}}
        config = {
            "current-context": "c",
            "contexts": [context],
            "users": [{"name": "u", "user": user}],
        }
        (directory / "salt.conf").write_text(json.dumps(config))
        return str(directory / "salt.conf")

    def test_certificate_is_found_embedded_or_in_file(self, host: Host) -> None:
        text = base64.b64encode(Path(f"{host.path}.crt").read_bytes()).decode()
        embedded = certificates.of_master(
            self.kubeconfig(host.directory, {"client-certificate-data": text}), None, Clock()
        )
        beside = certificates.of_master(
            self.kubeconfig(host.directory, {"client-certificate": "kubelet-server.crt"}),
            None,
            Clock(),
        )
        for found in (embedded, beside):
            assert (
                found["(this master)"]["kubeconfig"]["subject"]
                == "CN=system:node:w-1,O=system:nodes"
            )
            assert problems(found, Limits(0, 0)) == []
            assert "see the page" in problems(found, Limits(7, 30))[0]

    def test_certificate_reported_by_node_or_missing_is_skipped(self, host: Host) -> None:
        assert (
            certificates.of_master(
                self.kubeconfig(host.directory, {"token": "secret"}), None, Clock()
            )
            == {}
        )
        assert certificates.of_master(str(host.directory / "absent"), None, Clock()) == {}

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "a: {",
            "current-context: c\ncontexts: []",
            "{current-context: c, contexts: null}",
        ],
    )
    def test_no_kubeconfig(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "salt.conf").write_text(text)
        found = certificates.of_master(str(tmp_path / "salt.conf"), None, Clock())
        assert "it cannot be read: it is not a kubeconfig" in problems(found, Limits())[0]
