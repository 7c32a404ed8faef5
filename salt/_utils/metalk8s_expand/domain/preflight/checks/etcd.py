"""Whether a new etcd member and the others will hear each other: both ports, both directions, before there is an etcd."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metalk8s_expand.domain.preflight.checks.context import CheckContext, FactUnknown
from metalk8s_expand.domain.preflight.checks.registry import CheckFailure, check

CLIENT, PEER = 2379, 2380
PORTS = (CLIENT, PEER)
# Other checks tell these: the port is taken (ports), the address is not the host's (address).
TOLD_ELSEWHERE = ("EADDRINUSE", "EADDRNOTAVAIL")

Answer = tuple[str, "str | None"]


@check
def etcd_peers(host: CheckContext) -> CheckFailure | None:
    """The host reaches every member of today. Other new nodes are asked about it by ``etcd-inbound``, on their side."""
    if not host.node.is_etcd:
        return None
    members = today(host)
    connections = host.fact("connections")
    answers = [
        (f"{name} {address}:{port}", connections.get(f"{address}:{port}"))
        for name, address in members.items()
        for port in PORTS
    ]
    return _remark(
        answers,
        "open the way from this host to the members, TCP 2379 and 2380",
        "nc -zv on the host",
    )


@check
def etcd_inbound(host: CheckContext) -> CheckFailure | None:
    """Every member of today, and every other new one, reaches the host."""
    if not host.node.is_etcd or host.is_resumed:
        return None
    listening = host.fact("listen")
    problems = {port: found["problem"] for port, found in listening.items() if found["problem"]}
    strange = [
        f"{port}: {problem}" for port, problem in problems.items() if problem not in TOLD_ELSEWHERE
    ]
    if strange:
        raise FactUnknown(f"the host cannot listen on {', '.join(strange)}")
    ports = [int(port) for port in listening if port not in problems]
    answers = [*_from_members(host, ports), *_from_newcomers(host, ports)]
    return _remark(
        answers,
        "open this host's TCP 2379 and 2380 to the members",
        "nc -zv from the members, with nc -l here",
    )


def today(host: CheckContext) -> dict[str, str]:
    """Addresses of today's members by name; Untold when none is known."""
    members = {
        name: address for name, address in host.surroundings.etcd_peers.items() if name != host.name
    }
    if not members:
        raise FactUnknown("no member of etcd is known")
    return members


def _from_members(host: CheckContext, ports: Sequence[int]) -> Iterator[Answer]:
    """What they said of it, or whether the host heard them when they could not be asked."""
    for name, address in today(host).items():
        for port in ports:
            heard = address in host.facts["listen"][str(port)]["heard"]
            yield f"from {name} to {port}", "" if heard else host.inbound.get(name, {}).get(port)


def _from_newcomers(host: CheckContext, ports: Sequence[int]) -> Iterator[Answer]:
    """One that reaches no member of today on this port either has itself to blame, and ``etcd-peers`` does."""
    for name, facts in host.others.items():
        connections: Mapping[str, Any] = facts.get("connections") or {}
        for port in ports:
            place = f"{host.node.address}:{port}"
            if place not in connections:
                continue
            heard_nowhere = any(
                connections.get(f"{one}:{port}") for one in host.surroundings.etcd_peers.values()
            )
            if not (connections[place] and heard_nowhere):
                yield f"from {name} to {port}", connections[place]


def _remark(answers: Sequence[Answer], remedy: str, question: str) -> CheckFailure | None:
    failed = [f"{title}: {reason}" for title, reason in answers if reason]
    if failed:
        return CheckFailure("; ".join(failed), "connections", remedy)
    unknown = [title for title, reason in answers if reason is None]
    if unknown:
        raise FactUnknown(
            f"nobody tells whether there is a connection {', '.join(unknown)}", question
        )
    return None
