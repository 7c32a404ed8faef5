"""Real etcd and kube-apiserver serve a renewed certificate without a restart, also repeatedly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from metalk8s_expand.clients.host import certificates
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.minion import certificates as host_certificates
from tests.integration.apiserver import ApiServer
from tests.integration.daemons import eventually
from tests.integration.etcd_host import Site
from tests.integration.pki import Authority

pytestmark = pytest.mark.slow


class Renewal:
    """Replaces certificate and key by a rename, as Salt does, and restores the originals."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.authority = Authority(place / "ca.crt", "another")
        self.before: dict[Path, bytes] = {}

    def __call__(self, path: Path, address: str) -> str:
        self.authority.sign(self.place / "new", "new", sans=["127.0.0.1", address])
        for suffix in (".key", ".crt"):
            target = path.with_suffix(suffix)
            self.before.setdefault(target, target.read_bytes())
            os.replace(self.place / f"new{suffix}", target)
        return certificates.read(path.with_suffix(".crt")).serial

    def undo(self) -> None:
        for target, content in self.before.items():
            target.write_bytes(content)


@pytest.fixture
def renew(tmp_path: Path) -> Iterator[Renewal]:
    made = Renewal(tmp_path)
    yield made
    made.undo()


def address_of(server: ApiServer) -> str:
    return urlsplit(server.url).hostname or ""


@pytest.mark.parametrize("port", [2379, 2380])
def test_etcd_serves_renewed_certificate_on_next_connection(
    server: ApiServer, site: Site, renew: Renewal, port: int
) -> None:
    client = (site.pki / "client.crt", site.pki / "client.key")
    for _ in range(2):
        serial = renew(site.pki / "server", address_of(server))
        assert certificates.served(address_of(server), port, client).serial == serial
    assert certificates.served(address_of(server), port).serial == serial, (
        "also to those who show no certificate"
    )


def test_api_server_serves_renewed_certificate_after_file_change(
    server: ApiServer, renew: Renewal
) -> None:
    for _ in range(2):
        serial = renew(server.root / "pki" / "apiserver", address_of(server))
        eventually(
            "the new certificate is served",
            lambda serial=serial: certificates.served(address_of(server), 6443).serial == serial,
            70,
        )
    assert server._daemon.exit_code() is None


def test_node_reports_served_certificates(server: ApiServer, site: Site) -> None:
    """Use the directory and ports of a node; the probe connects to the peer port at its address."""
    place = server.root / "pki"
    found = host_certificates.observed(
        {"etcd-peer": str(site.pki / "server")},
        address_of(server),
        str(place),
        ports={"etcd-peer": 2380},
        clock=Clock(),
    )
    assert found["etcd-peer"]["served"]["serial"] == found["etcd-peer"]["serial"]
    assert {
        "ca",
        "etcd/ca",
        "front-proxy-ca",
        "apiserver",
        "apiserver-etcd-client",
        "admin",
    } <= set(found)
    assert found["apiserver"]["key"] == "fits"
