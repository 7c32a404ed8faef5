"""Manage the lab's network: a namespace with one bridge and no uplink.

The network of the machine is never changed.
"""

from __future__ import annotations

from pathlib import Path

from metalk8s_lab.command import run, succeeds
from metalk8s_lab.topology import BRIDGE, NAMESPACE, gateways

NAMESPACE_FILE = Path("/run/netns") / NAMESPACE
# `ip netns exec` remounts /sys, and systemd-nspawn fails then: nsenter enters only the network.
ENTER = ["nsenter", f"--net={NAMESPACE_FILE}"]


def exists() -> bool:
    """Return whether the namespace works; a crash can leave its file without a namespace."""
    return NAMESPACE_FILE.exists() and succeeds([*ENTER, "ip", "link", "show", BRIDGE])


def create(family: str) -> None:
    """Create the namespace and its bridge unless they exist.

    ``family`` is a key of ``topology.SUBNETS``.
    """
    if exists():
        return
    delete()
    run(["ip", "netns", "add", NAMESPACE])
    run([*ENTER, "ip", "link", "set", "lo", "up"])
    run([*ENTER, "ip", "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0"])
    for address, length in gateways(family):
        run([*ENTER, "ip", "address", "add", f"{address}/{length}", "dev", BRIDGE])
    run([*ENTER, "ip", "link", "set", BRIDGE, "up"])


def unplug(host: str) -> None:
    """Remove the interface of a stopped host.

    The kernel removes it late, and the host cannot start again before that.
    """
    link = f"vb-{host}"
    if exists() and succeeds([*ENTER, "ip", "link", "show", link]):
        succeeds([*ENTER, "ip", "link", "delete", link])  # the kernel may have deleted it meanwhile


def delete() -> None:
    """Remove the namespace with its bridge, and an empty file that a crash leaves."""
    if NAMESPACE_FILE.exists() and not succeeds(["ip", "netns", "delete", NAMESPACE]):
        NAMESPACE_FILE.unlink(missing_ok=True)
