"""Define the names and addresses of the hosts.

The functions are pure: the result is the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from metalk8s_lab.errors import LabError
from metalk8s_lab.settings import LAB_NAME

NAMESPACE = LAB_NAME
BRIDGE = "br-lab"
Address: TypeAlias = IPv4Address | IPv6Address
SUBNET = IPv4Network("10.200.0.0/24")
SUBNET_6 = IPv6Network("fd00:200::/64")
# The subnets of the hosts. The first one is the network of the cluster.
SUBNETS: dict[str, tuple[IPv4Network | IPv6Network, ...]] = {
    "ipv4": (SUBNET,),
    "ipv6": (SUBNET_6,),
    "dual": (SUBNET_6, SUBNET),
}
BOOTSTRAP = "bootstrap"
DEFAULT_NODES = 5
MAX_NODES = 100
_FIRST_HOST = 10
_GATEWAY = 1
LEADING = ("cp-1", "cp-2", "infra-1")


@dataclass(frozen=True)
class ClusterNetworks:
    """The networks of Pods and Services, and the address of the DNS Service."""

    pod: str
    service: str
    dns: str


NETWORKS = {
    4: ClusterNetworks("10.233.0.0/16", "10.96.0.0/12", "10.96.0.10"),
    6: ClusterNetworks("fd00:233::/48", "fd00:96::/112", "fd00:96::a"),
}


@dataclass(frozen=True)
class Host:
    """A host of the lab: its name, its permanent address and those of the other subnets."""

    name: str
    address: Address
    others: tuple[Address, ...] = ()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All addresses, the one in the network of the cluster first."""
        return (self.address, *self.others)

    @property
    def is_bootstrap(self) -> bool:
        """Whether this is the bootstrap node of the cluster."""
        return self.name == BOOTSTRAP


def node_names(count: int) -> list[str]:
    """Return the names of the first ``count`` blank hosts.

    The hosts for the documented roles come first, then only workers.
    """
    if not 0 <= count <= MAX_NODES:
        raise LabError(f"{count} nodes: the lab holds from 0 to {MAX_NODES}")
    workers = [f"worker-{number}" for number in range(1, count - len(LEADING) + 1)]
    return [*LEADING, *workers][:count]


def hosts(count: int, family: str = "ipv4") -> list[Host]:
    """Return the bootstrap host and ``count`` blank hosts with their addresses.

    ``family`` is a key of ``SUBNETS``. The addresses of a host end with the same digits.
    """
    found = []
    for number, name in enumerate([BOOTSTRAP, *node_names(count)], _FIRST_HOST):
        address, *others = (address_in(subnet, number) for subnet in SUBNETS[family])
        found.append(Host(name, address, tuple(others)))
    return found


def address_in(subnet: IPv4Network | IPv6Network, number: int) -> Address:
    """Return the address of a subnet that ends with these decimal digits."""
    return subnet[int(str(number), 16) if subnet.version == 6 else number]


def gateways(family: str) -> list[tuple[Address, int]]:
    """Return the addresses of the bridge, each with the length of its prefix."""
    return [(address_in(subnet, _GATEWAY), subnet.prefixlen) for subnet in SUBNETS[family]]


def is_host_name(name: str) -> bool:
    """Return whether a host of any lab can have this name."""
    return name in (BOOTSTRAP, *LEADING) or (
        name.startswith("worker-") and name.removeprefix("worker-").isdigit()
    )


def find(all_hosts: list[Host], name: str) -> Host:
    """Return the host of that name; raise ``LabError`` with all names if it does not exist."""
    for host in all_hosts:
        if host.name == name:
            return host
    raise LabError(
        f"there is no host {name!r} in this lab; its hosts are:"
        f" {', '.join(h.name for h in all_hosts)}"
    )
