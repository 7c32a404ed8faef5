"""Test a control plane at an IPv6 address with a real etcd and a real API server on ``::1``.

Loopback has one IPv6 address, so the further etcd members have IPv4 addresses: a cluster of both
families.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.etcd import snapshot_stream
from metalk8s_expand.clients.host.clock import Clock, Wait, retry_until
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.clients.kubernetes.readiness import api_problems, api_server_problems
from metalk8s_expand.cluster import health, node_registration
from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.node import health as node_health
from metalk8s_expand.domain.node import roles
from tests.integration.apiserver import ApiServer
from tests.integration.daemons import eventually, wait_for_ports
from tests.integration.etcd_host import PORTS, Host, Site, is_up, voters

LOOPBACK = "::1"


@pytest.fixture(scope="module")
def first(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Return the first host of a cluster, at an IPv6 address."""
    wait_for_ports(LOOPBACK, (*PORTS, 6443))
    host = Host(site, tmp_path_factory.mktemp("ipv6"), 1, LOOPBACK).power_on()
    try:
        host.deploy([], new_cluster=True)
        eventually("the first member is a healthy voter", is_up(host, [host]))
        yield host
    finally:
        host.power_off()


@pytest.fixture(scope="module")
def server(first: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Start a kube-apiserver at the IPv6 address."""
    running = ApiServer(first, tmp_path_factory.mktemp("apiserver"))
    try:
        yield running.wait()
    finally:
        running.stop()


def etcd_node(address: str) -> dict[str, Any]:
    """Return a Node of the etcd role as a kubelet reports it."""
    status = {"addresses": [{"type": "InternalIP", "address": address}]}
    labels = {roles.label_key(roles.ETCD): ""}
    return {"metadata": {"name": "host-1", "labels": labels}, "status": status}


def test_api_server_answers_at_ipv6_address(server: ApiServer) -> None:
    kube = Kube.from_kubeconfig(str(server.admin))
    assert kube.url == "https://[::1]:6443"
    assert api_problems(kube) == []
    assert api_server_problems(LOOPBACK, str(server.root / "pki/ca.crt")) == []


def test_failure_of_api_server_names_address_with_brackets(server: ApiServer) -> None:
    [problem] = api_server_problems("::2", str(server.root / "pki/ca.crt"))
    assert problem.startswith("the API server at [::2]:6443 does not answer")


def test_registered_node_is_found_at_the_canonical_address(server: ApiServer) -> None:
    kube = Kube.from_kubeconfig(str(server.admin))
    declared = {"profile": "worker", "address": "FD00:0::0011", "version": "2.0"}
    node = settings.parse({"nodes": {"w-1": declared}}).node("w-1")
    node_registration.register(kube, node)
    reported = [{"type": "InternalIP", "address": "fd00::11"}]
    path = "/api/v1/nodes/w-1/status"
    kube.merge_patch(path, {"status": {"addresses": reported}})
    observed = kube.node("w-1")
    assert observed is not None
    assert node_health.internal_ip(observed) == node.address == node.ssh.host == "fd00::11"


@pytest.mark.parametrize("reported", ["::1", "0:0:0:0:0:0:0:1"])
def test_etcd_client_asks_the_address_that_the_node_reports(first: Host, reported: str) -> None:
    access = health.cluster_access(
        Kube("https://[::1]:6443", None, {}, 1.0), [etcd_node(reported)], first.site.credentials()
    )
    assert access.etcd is not None
    assert access.etcd.urls == ("https://[::1]:2379",)
    assert health.etcd_problems(access.etcd) == []
    member = quorum.member_at(access.etcd.members(), quorum.peer_url(reported))
    assert member is not None
    assert (member.name, member.client_url) == ("host-1", "https://[::1]:2379")


def test_snapshot_is_read_from_ipv6_address(first: Host) -> None:
    etcd = first.etcd([], own=True)
    assert snapshot_stream.is_local(etcd.urls[0])
    data = b"".join(snapshot_stream.pieces(etcd, etcd.urls[0], 30.0, Clock()))
    assert len(data) > 1000


def test_members_of_both_families_form_one_cluster(first: Host, site: Site, tmp_path: Path) -> None:
    second = Host(site, tmp_path / "host-2", 2).power_on()
    try:
        changes = second.deploy([first])
        assert "promoted" in changes
        eventually("two healthy voters", is_up(first, [first, second]))
        assert voters(second) == ["host-1", "host-2"]
        assert second.deploy([first]) == {}, "a second deployment changes nothing"
        # The cluster of the first host must remain usable after the second is off.
        member = quorum.member_at(first.members(), quorum.peer_url(second.address))
        assert member is not None
        # etcd refuses a removal until its members have been connected for some seconds.
        etcd, wait = first.etcd([], own=True), Wait("the removal", 30.0)
        retry_until(wait, lambda: etcd.remove(member.id), Clock())
        eventually("one healthy voter", is_up(first, [first]))
    finally:
        second.power_off()
