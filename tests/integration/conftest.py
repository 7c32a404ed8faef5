"""Fixtures for the programs that the lab builds, etcd hosts and API servers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.apiserver import ApiServer
from tests.integration.daemons import eventually, loopback_network
from tests.integration.etcd_host import PORTS, Host, Site, is_up
from tests.integration.pki import Authority
from tests.integration.programs import find

HOSTS = 4


@pytest.fixture(scope="session")
def programs() -> dict[str, Path]:
    """Return the paths of etcd, etcdctl, kube-apiserver, kubectl and others, by name."""
    return find()


@pytest.fixture(scope="session")
def site(programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return free loopback addresses and certificates for them."""
    network = loopback_network((*PORTS, 6443), HOSTS)
    pki = tmp_path_factory.mktemp("etcd-pki")
    authority = Authority(pki / "ca.crt", "etcd-ca")
    # etcd compares a peer's certificate with its source address, which is 127.0.0.1 on loopback.
    addresses = [f"{network}.{number}" for number in range(1, HOSTS + 1)]
    authority.sign(pki / "server", "etcd", sans=["127.0.0.1", "::1", *addresses])
    authority.sign(pki / "client", "healthcheck-client")
    return Site(programs, pki, network)


Hosts = Callable[[int], list[Host]]


@pytest.fixture
def hosts(site: Site, tmp_path: Path) -> Iterator[Hosts]:
    """Return a function that makes ``count`` empty hosts that are powered on."""
    made: list[Host] = []

    def make(count: int) -> list[Host]:
        made.extend(
            Host(site, tmp_path / f"host-{number}", number).power_on()
            for number in range(1, count + 1)
        )
        return made

    yield make
    for host in made:
        host.power_off()


@pytest.fixture
def single(hosts: Hosts) -> list[Host]:
    """Return three hosts; the first one runs a cluster of one member."""
    made = hosts(3)
    made[0].deploy([], new_cluster=True)
    return made


@pytest.fixture(scope="module")
def server(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Start a kube-apiserver with its own etcd."""
    root = tmp_path_factory.mktemp("apiserver")
    host = Host(site, root / "host", 1).power_on()
    try:
        host.deploy([], new_cluster=True)
        running = ApiServer(host, root)
        try:
            yield running.wait()
        finally:
            running.stop()
    finally:
        host.power_off()


class Growth:
    """The deployment of three members: the changes of each host, and a copy of all files."""

    def __init__(self, changes: list[dict[str, object]], copy: Path) -> None:
        self.changes = changes
        self.copy = copy


@pytest.fixture(scope="session")
def growth(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Growth:
    """Deploy three hosts one after another with the steps alone."""
    root = tmp_path_factory.mktemp("growth")
    made = [Host(site, root / f"host-{number}", number).power_on() for number in (1, 2, 3)]
    try:
        changes = [made[0].deploy([], new_cluster=True)]
        changes += [host.deploy(made) for host in made[1:]]
        eventually("three healthy voters", is_up(made[0], made))
    finally:
        for host in made:
            host.power_off()
    return Growth(changes, root)


@pytest.fixture
def trio(growth: Growth, hosts: Hosts, tmp_path: Path) -> list[Host]:
    """Return a healthy cluster of three, which a test may damage, and a fourth, empty host."""
    for source in sorted(growth.copy.iterdir()):
        subprocess.run(["cp", "-a", "--sparse=always", source, tmp_path], check=True, timeout=60)
    for config in tmp_path.glob("*/etcd.yaml"):
        config.write_text(config.read_text().replace(str(growth.copy), str(tmp_path)))
    made = hosts(4)
    eventually("three healthy voters", is_up(made[0], made[:3]))
    return made
