"""The lab's own network: a namespace with one bridge and no way out, so that the machine is never touched."""

from __future__ import annotations

from pathlib import Path

from metalk8s_lab.command import run, succeeds
from metalk8s_lab.topology import BRIDGE, GATEWAY, NAMESPACE, SUBNET

NAMESPACE_FILE = Path("/run/netns") / NAMESPACE
# `ip netns exec` would remount /sys, which systemd-nspawn cannot cope with: only the network is entered.
ENTER = ["nsenter", f"--net={NAMESPACE_FILE}"]


def exists() -> bool:
    """Whether the namespace is there and whole (a crash leaves the file without a namespace behind it)."""
    return NAMESPACE_FILE.exists() and succeeds([*ENTER, "ip", "link", "show", BRIDGE])


def create() -> None:
    """Make the namespace and its bridge, unless they are there."""
    if exists():
        return
    delete()
    run(["ip", "netns", "add", NAMESPACE])
    run([*ENTER, "ip", "link", "set", "lo", "up"])
    run([*ENTER, "ip", "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0"])
    run([*ENTER, "ip", "address", "add", f"{GATEWAY}/{SUBNET.prefixlen}", "dev", BRIDGE])
    run([*ENTER, "ip", "link", "set", BRIDGE, "up"])


def unplug(host: str) -> None:
    """Remove a dead host's interface: the kernel takes its time for that, and the host could not start again before."""
    link = f"vb-{host}"
    if exists() and succeeds([*ENTER, "ip", "link", "show", link]):
        succeeds([*ENTER, "ip", "link", "delete", link])  # it may be gone meanwhile


def delete() -> None:
    """Remove the namespace, the bridge with it, and the empty file that a crash may have left."""
    if NAMESPACE_FILE.exists() and not succeeds(["ip", "netns", "delete", NAMESPACE]):
        NAMESPACE_FILE.unlink(missing_ok=True)
