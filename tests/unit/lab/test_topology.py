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


def test_host_addresses_are_unique_and_in_the_subnet():
    addresses = [host.address for host in topology.hosts(topology.MAX_NODES)]
    assert len(set(addresses)) == len(addresses)
    assert all(address in topology.SUBNET for address in addresses)
    assert topology.GATEWAY not in addresses


@pytest.mark.parametrize("other", ["10.96.0.0/12", "10.233.0.0/16"])
def test_subnet_does_not_overlap_services_and_pods(other):
    assert not topology.SUBNET.overlaps(ipaddress.ip_network(other))


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
