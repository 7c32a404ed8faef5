"""Test that names and addresses never change: SSH keys, certificates and documents contain them."""

import ipaddress

import pytest
from metalk8s_lab import topology
from metalk8s_lab.errors import LabError


def test_default_hosts_have_fixed_addresses():
    found = {host.name: str(host.address) for host in topology.hosts(topology.DEFAULT_NODES)}
    assert found == {
        "bootstrap": "10.200.0.10",
        "cp-1": "10.200.0.11",
        "cp-2": "10.200.0.12",
        "infra-1": "10.200.0.13",
        "worker-1": "10.200.0.14",
        "worker-2": "10.200.0.15",
    }


@pytest.mark.parametrize("fewer", [0, 1, 3, 5])
def test_more_nodes_only_append_hosts(fewer):
    assert topology.hosts(fewer) == topology.hosts(9)[: fewer + 1]


@pytest.mark.parametrize("count", [-1, topology.MAX_NODES + 1])
def test_impossible_number_is_refused(count):
    with pytest.raises(LabError, match=str(count)):
        topology.hosts(count)


@pytest.mark.parametrize("family", topology.SUBNETS)
def test_host_addresses_are_unique_and_in_the_subnets(family):
    found = topology.hosts(topology.MAX_NODES, family)
    addresses = [address for host in found for address in host.addresses]
    assert len(set(addresses)) == len(addresses)
    subnets = topology.SUBNETS[family]
    assert all(
        address in subnet
        for host in found
        for address, subnet in zip(host.addresses, subnets, strict=True)
    )
    assert not {address for address, _ in topology.gateways(family)} & set(addresses)


def test_addresses_of_both_families_end_with_the_same_digits():
    last = topology.hosts(topology.MAX_NODES, "dual")[-1]
    assert [str(address) for address in last.addresses] == ["fd00:200::110", "10.200.0.110"]


@pytest.mark.parametrize("family", topology.SUBNETS)
def test_subnet_does_not_overlap_services_and_pods(family):
    subnet = topology.SUBNETS[family][0]
    networks = topology.NETWORKS[subnet.version]
    for other in (networks.pod, networks.service):
        assert not subnet.overlaps(ipaddress.ip_network(other))
    assert ipaddress.ip_address(networks.dns) in ipaddress.ip_network(networks.service)


def test_unknown_host_error_lists_the_known_hosts():
    with pytest.raises(LabError, match=r"'cp-9'.*bootstrap, cp-1$"):
        topology.find(topology.hosts(1), "cp-9")


@pytest.mark.parametrize(
    ("name", "answer"),
    [("bootstrap", True), ("worker-12", True), ("test-cp-1", False), ("worker-x", False)],
)
def test_host_name_is_recognized_only_if_a_lab_can_use_it(name, answer):
    assert topology.is_host_name(name) is answer


def test_interface_names_fit_the_kernel():
    assert all(len(f"vb-{host.name}") <= 15 for host in topology.hosts(topology.MAX_NODES))
