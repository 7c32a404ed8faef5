"""Faults of the network, outside of the nodes: on the lab's bridge between the hosts, by nftables and traffic control. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

TABLE = "chaos"
PEER, CLIENT = 2380, 2379
# Slow enough that a reply is still on its way when it is seen what it will say; 64 kbit/s are 8 kB a second.
SLOW = "64kbit"

REMOVE = f"add table bridge {TABLE}\ndelete table bridge {TABLE}\n"


def table(rules: Iterable[str]) -> str:
    """A whole table in place of the one before, in one transaction."""
    chain = ["type filter hook forward priority 0; policy accept;", *rules]
    lines = "".join(f"    {line}\n" for line in chain)
    return f"{REMOVE}table bridge {TABLE} {{\n  chain forward {{\n{lines}  }}\n}}\n"


def one_way(source: str, target: str) -> list[str]:
    """Nothing gets from one host to the other; the other way all does."""
    return [f"ip saddr {source} ip daddr {target} drop"]


def peers_only(host: str, others: Sequence[str]) -> list[str]:
    """etcd's peers do not hear each other, in neither direction; clients, API and SSH do."""
    rules = []
    for other in others:
        for source, target in ((host, other), (other, host)):
            rules += [
                f"ip saddr {source} ip daddr {target} tcp {port} {PEER} drop"
                for port in ("dport", "sport")
            ]
    return rules


def no_replies(newcomer: str) -> list[str]:
    """What etcd's members answer to clients on the host does not reach it."""
    return [f"ip daddr {newcomer} tcp sport {CLIENT} drop"]


def slow_replies(interface: str) -> str:
    """A script that holds up what etcd's members answer to clients behind the interface, and nothing else."""
    quantum = "quantum 1514"
    return (
        f"tc qdisc add dev {interface} root handle 1: htb && "
        f"tc class add dev {interface} parent 1: classid 1:3 htb rate {SLOW} burst 1600 {quantum} && "
        f"tc filter add dev {interface} parent 1: protocol ip prio 1 u32 match ip sport {CLIENT} 0xffff flowid 1:3"
    )


def drop_held(interface: str) -> str:
    """A script that throws away what is held up."""
    return f"tc qdisc del dev {interface} root"


def interface(host: str) -> str:
    """The outer end of the host's link, as systemd-nspawn names it."""
    name = f"vb-{host}"
    if len(name) > 15:
        raise ValueError(
            f"{host}: systemd-nspawn shortens a name as long as {name} in a way of its own"
        )
    return name
