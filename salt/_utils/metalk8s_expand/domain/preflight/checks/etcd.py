"""Checks that a new etcd member and the others can connect to each other before etcd runs there.

They test both ports in both directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metalk8s_expand.domain.etcd.quorum import CLIENT_PORT, PEER_PORT
from metalk8s_expand.domain.parsing.addresses import host_port
from metalk8s_expand.domain.preflight.checks.context import CheckContext, FactUnknown
from metalk8s_expand.domain.preflight.checks.registry import CheckFailure, check

PORTS = (CLIENT_PORT, PEER_PORT)
# Other checks report these: ``ports`` a port in use, ``address`` an address of another host.
TOLD_ELSEWHERE = ("EADDRINUSE", "EADDRNOTAVAIL")

Answer = tuple[str, "str | None"]


@check
def etcd_peers(host: CheckContext) -> CheckFailure | None:
    """Check that the host reaches every current member.

    ``etcd-inbound`` of the other new nodes checks the connections from this host to them.
    """
    if not host.node.is_etcd:
        return None
    members = today(host)
    connections = host.fact("connections")
    answers = []
    for name, address in members.items():
        for port in PORTS:
            place = host_port(address, port)
            answers.append((f"{name} {place}", connections.get(place)))
    return _remark(
        answers,
        "allow TCP 2379 and 2380 from this host to the etcd members",
        "nc -zv on the host",
    )


@check
def etcd_inbound(host: CheckContext) -> CheckFailure | None:
    """Check that every current member and every other new etcd node reaches the host."""
    if not host.node.is_etcd or host.is_resumed:
        return None
    listening = host.fact("listen")
    problems = {}
    for port, listener in listening.items():
        if listener["problem"]:
            problems[port] = listener["problem"]
    strange = [
        f"{port}: {problem}" for port, problem in problems.items() if problem not in TOLD_ELSEWHERE
    ]
    if strange:
        raise FactUnknown(f"the host cannot listen on {', '.join(strange)}")
    ports = [int(port) for port in listening if port not in problems]
    answers = [*_from_members(host, ports), *_from_newcomers(host, ports)]
    return _remark(
        answers,
        "allow TCP 2379 and 2380 from the etcd members to this host",
        "nc -zv from the members, with nc -l here",
    )


def today(host: CheckContext) -> dict[str, str]:
    """Return the addresses of current members by name. Raise FactUnknown if none is known."""
    members = {
        name: address for name, address in host.surroundings.etcd_peers.items() if name != host.name
    }
    if not members:
        raise FactUnknown("no etcd member is known")
    return members


def _from_members(host: CheckContext, ports: Sequence[int]) -> Iterator[Answer]:
    """Yield the result of each connection from a current member to the host.

    If the host received a connection from the member, the connection works. Otherwise the
    member's own report decides; it is None if the member did not answer.
    """
    for name, address in today(host).items():
        for port in ports:
            heard = address in host.facts["listen"][str(port)]["heard"]
            yield f"from {name} to {port}", "" if heard else host.inbound.get(name, {}).get(port)


def _from_newcomers(host: CheckContext, ports: Sequence[int]) -> Iterator[Answer]:
    """Yield the result of each connection from another new etcd node to the host.

    A new node that also fails to reach a current member on the port is left out: its own
    ``etcd-peers`` reports it.
    """
    for name, facts in host.others.items():
        connections: Mapping[str, Any] = facts.get("connections") or {}
        for port in ports:
            place = host_port(host.node.address, port)
            if place not in connections:
                continue
            heard_nowhere = any(
                connections.get(host_port(one, port))
                for one in host.surroundings.etcd_peers.values()
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
            f"it is unknown whether a connection works {', '.join(unknown)}", question
        )
    return None
