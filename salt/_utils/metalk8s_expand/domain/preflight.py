"""Named checks of what a host said of itself: all run, each can be skipped by its name, and none of them asks anything.

To add a check, write one function and put it into CHECKS.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metalk8s_expand.domain import roles
from metalk8s_expand.domain.nodes import Node

Facts = Mapping[str, Any]

ERROR, WARNING = "error", "warning"

# Salt's minion comes with its own Python; this one only has to run salt-ssh's thin.
MINIMUM_PYTHON = (3, 9)
ARCHITECTURES = ("x86_64", "aarch64")
MAXIMUM_SKEW_S = 5.0
MINIMUM_FREE_MB = 5_000
MINIMUM_MEMORY_MB = {roles.MASTER: 1_700, roles.NODE: 900, roles.INFRA: 900, roles.ETCD: 900}
PORTS: Mapping[str, Sequence[int]] = {
    "": (7443, 10250),
    roles.MASTER: (6443, 10257, 10259),
    roles.ETCD: (2379, 2380, 2381),
}


@dataclass(frozen=True)
class Finding:
    """What one check found on one host, what it wanted, and what to do."""

    node: str
    check: str
    found: str
    wanted: str
    remedy: str
    severity: str = ERROR

    def __str__(self) -> str:
        return f"node {self.node}: {self.check}: found {self.found}, wanted {self.wanted}; {self.remedy}"

    def as_dict(self) -> dict[str, str]:
        """JSON-ready."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Host:
    """A declared node, what its host said, and the other hosts' answers by name; ``now`` is the master's clock."""

    node: Node
    facts: Facts
    others: Mapping[str, Facts]
    now: float

    @property
    def is_resumed(self) -> bool:
        """Whether an earlier run made this very host this very node: what that run left is no leftover."""
        return self.facts.get("minion_id") == self.node.name


Check = Callable[[Host], "Finding | None"]


def findings(hosts: Sequence[Host], skipped: Callable[[str], Collection[str]] = lambda name: ()) -> list[Finding]:
    """Every finding on every host, in the order of hosts and checks. ``skipped`` gives a node's skipped checks."""
    found = []
    for host in hosts:
        for name, check in CHECKS.items():
            if name not in skipped(host.node.name):
                found.append(check(host))
    return [finding for finding in found if finding is not None]


def errors(found: Sequence[Finding]) -> list[Finding]:
    """The findings that stop an expansion."""
    return [finding for finding in found if finding.severity == ERROR]


def python(host: Host) -> Finding | None:
    """The host's Python runs salt-ssh's thin."""
    version = tuple(host.facts["python"])
    if version >= MINIMUM_PYTHON:
        return None
    wanted = ".".join(map(str, MINIMUM_PYTHON))
    return _finding(host, "python", ".".join(map(str, version)), f"{wanted} or newer", "install a newer python3")


def architecture(host: Host) -> Finding | None:
    """There are binaries for this machine."""
    found = host.facts["architecture"]
    if found in ARCHITECTURES:
        return None
    return _finding(host, "architecture", found, " or ".join(ARCHITECTURES), "use another machine")


def privilege(host: Host) -> Finding | None:
    """The user of the roster is root, by sudo or at once."""
    if host.facts["uid"] == 0:
        return None
    return _finding(host, "privilege", f"uid {host.facts['uid']}", "uid 0", "set ssh:sudo to true, or ssh:user to root")


def systemd(host: Host) -> Finding | None:
    """Services can be run."""
    if host.facts["systemd"]:
        return None
    return _finding(host, "systemd", "another init", "systemd", "use a host that runs systemd")


def address(host: Host) -> Finding | None:
    """The declared address is the host's own."""
    found = host.facts["addresses"]
    if not found or host.node.address in found:
        return None
    return _finding(
        host, "address", ", ".join(found), host.node.address, "correct the node's address or ssh:host in the pillar"
    )


def machine_id(host: Host) -> Finding | None:
    """No other host is a clone of this one."""
    own = host.facts.get("machine_id")
    twins = [name for name, facts in host.others.items() if facts.get("machine_id") == own]
    if own and not twins:
        return None
    found = f"{own}, as {', '.join(twins)}" if own else "none"
    return _finding(host, "machine-id", found, "one of its own", "rm /etc/machine-id; systemd-machine-id-setup; reboot")


def clock(host: Host) -> Finding | None:
    """Certificates made on one host are valid on the other."""
    skew = host.facts["time"] - host.now
    if abs(skew) <= MAXIMUM_SKEW_S:
        return None
    return _finding(
        host, "clock", f"{skew:+.0f} s from the master", f"at most {MAXIMUM_SKEW_S:.0f} s", "set up time synchronisation"
    )


def swap(host: Host) -> Finding | None:
    """Memory limits hold."""
    if not host.facts["swap"]:
        return None
    return _finding(host, "swap", "on", "off", "swapoff --all, and take it out of /etc/fstab", WARNING)


def memory(host: Host) -> Finding | None:
    """There is memory for the node's roles."""
    wanted = max([MINIMUM_MEMORY_MB.get(role, 0) for role in host.node.roles], default=0)
    found = host.facts["memory_mb"]
    if found is None or found >= wanted:
        return None
    return _finding(host, "memory", f"{found} MB", f"{wanted} MB", "use a larger host")


def disk(host: Host) -> Finding | None:
    """There is room for images, logs and etcd."""
    if host.facts["free_mb"] >= MINIMUM_FREE_MB:
        return None
    return _finding(host, "disk", f"{host.facts['free_mb']} MB free", f"{MINIMUM_FREE_MB} MB", "make room below /var/lib")


def ports(host: Host) -> Finding | None:
    """Nothing else serves the ports of the node's roles."""
    wanted = {port for role in ("", *host.node.roles) for port in PORTS.get(role, ())}
    taken = sorted(wanted.intersection(host.facts["ports"]))
    if not taken or host.is_resumed:
        return None
    return _finding(host, "ports", f"in use: {', '.join(map(str, taken))}", "free", "ss --listening --tcp --processes")


def leftovers(host: Host) -> Finding | None:
    """Nothing of an earlier cluster is on the disk."""
    if not host.facts["leftovers"] or host.is_resumed:
        return None
    return _finding(host, "leftovers", ", ".join(host.facts["leftovers"]), "none", "remove what the earlier cluster left")


CHECKS: Mapping[str, Check] = {
    "python": python,
    "architecture": architecture,
    "privilege": privilege,
    "systemd": systemd,
    "address": address,
    "machine-id": machine_id,
    "clock": clock,
    "swap": swap,
    "memory": memory,
    "disk": disk,
    "ports": ports,
    "leftovers": leftovers,
}


def _finding(host: Host, check: str, found: str, wanted: str, remedy: str, severity: str = ERROR) -> Finding:
    return Finding(host.node.name, check, found, wanted, remedy, severity)
