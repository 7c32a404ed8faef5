"""Run an API server with its etcd on loopback for a measurement."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from metalk8s_expand.clients.kubernetes.objects import Kube
from tests.integration.apiserver import ApiServer
from tests.integration.daemons import loopback_network
from tests.integration.etcd_host import PORTS, Host, Site
from tests.integration.pki import Authority
from tests.integration.programs import find


@dataclass(frozen=True)
class Cluster:
    """The server, a client of this project with administrator rights, and a temporary directory."""

    server: ApiServer
    kube: Kube
    root: Path


@contextmanager
def running() -> Iterator[Cluster]:
    """Run both daemons, configured as the roles do it, until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="metalk8s-expand-bench-") as directory:
        root = Path(directory)
        host = Host(_site(root / "etcd-pki"), root / "host", 1).power_on()
        try:
            host.deploy([], new_cluster=True)
            server = ApiServer(host, root)
            try:
                yield Cluster(server.wait(), Kube.from_kubeconfig(str(server.admin)), root)
            finally:
                server.stop()
        finally:
            host.power_off()


def _site(pki: Path) -> Site:
    network = loopback_network((*PORTS, 6443), 1)
    authority = Authority(pki / "ca.crt", "etcd-ca")
    authority.sign(pki / "server", "etcd", sans=["127.0.0.1", f"{network}.1"])
    authority.sign(pki / "client", "healthcheck-client")
    return Site(find(), pki, network)
