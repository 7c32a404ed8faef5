"""Define the names and addresses of the hosts.

The functions are pure: the result is the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from metalk8s_lab.errors import LabError
from metalk8s_lab.settings import LAB_NAME

NAMESPACE = LAB_NAME
BRIDGE = "br-lab"
SUBNET = IPv4Network("10.200.0.0/24")
GATEWAY = SUBNET[1]
BOOTSTRAP = "bootstrap"
DEFAULT_NODES = 5
MAX_NODES = 100
_FIRST_HOST = 10
_LEADING = ("cp-1", "cp-2", "infra-1")


@dataclass(frozen=True)
class Host:
    """A host of the lab: its name and its permanent address."""

    name: str
    address: IPv4Address

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
    workers = [f"worker-{number}" for number in range(1, count - len(_LEADING) + 1)]
    return [*_LEADING, *workers][:count]


def hosts(count: int) -> list[Host]:
    """Return the bootstrap host and ``count`` blank hosts with their addresses."""
    names = [BOOTSTRAP, *node_names(count)]
    return [Host(name, SUBNET[_FIRST_HOST + index]) for index, name in enumerate(names)]


def is_host_name(name: str) -> bool:
    """Return whether a host of any lab can have this name."""
    return name in (BOOTSTRAP, *_LEADING) or (
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
