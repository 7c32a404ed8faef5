"""Return the rules and scripts of network faults. Pure functions.

The faults act on the lab's bridge between the hosts, by nftables and traffic control.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

TABLE = "chaos"
PEER, CLIENT = 2380, 2379
# At this rate the harness sees the promotion before the reply arrives: 64 kbit/s are 8 kB/s.
SLOW = "64kbit"

REMOVE = f"add table bridge {TABLE}\ndelete table bridge {TABLE}\n"


def table(rules: Iterable[str]) -> str:
    """Return the commands that replace the whole table in one transaction."""
    chain = ["type filter hook forward priority 0; policy accept;", *rules]
    lines = "".join(f"    {line}\n" for line in chain)
    return f"{REMOVE}table bridge {TABLE} {{\n  chain forward {{\n{lines}  }}\n}}\n"


def one_way(source: str, target: str) -> list[str]:
    """Return the rules that drop all packets from ``source`` to ``target``."""
    return [f"ip saddr {source} ip daddr {target} drop"]


def peers_only(host: str, others: Sequence[str]) -> list[str]:
    """Return the rules that drop etcd's peer traffic in both directions, but no other traffic."""
    rules = []
    for other in others:
        for source, target in ((host, other), (other, host)):
            rules += [
                f"ip saddr {source} ip daddr {target} tcp {port} {PEER} drop"
                for port in ("dport", "sport")
            ]
    return rules


def no_replies(newcomer: str) -> list[str]:
    """Return the rules that drop the replies of etcd members to clients on the host."""
    return [f"ip daddr {newcomer} tcp sport {CLIENT} drop"]


def slow_replies(interface: str) -> str:
    """Return a script that delays only the replies of etcd to clients behind the interface."""
    quantum = "quantum 1514"
    return (
        f"tc qdisc add dev {interface} root handle 1: htb && tc class add dev {interface} parent 1:"
        f" classid 1:3 htb rate {SLOW} burst 1600 {quantum} && tc filter add dev {interface} parent"
        f" 1: protocol ip prio 1 u32 match ip sport {CLIENT} 0xffff flowid 1:3"
    )


def drop_held(interface: str) -> str:
    """Return a script that drops the delayed packets."""
    return f"tc qdisc del dev {interface} root"


def interface(host: str) -> str:
    """Return the name that systemd-nspawn gives to the outer end of the host's link."""
    name = f"vb-{host}"
    if len(name) > 15:
        raise ValueError(
            f"{host}: systemd-nspawn shortens a name as long as {name} in a way of its own"
        )
    return name
