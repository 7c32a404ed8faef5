"""Whether today's etcd members reach the new ones: asked of their minions while the probes listen on the new hosts.

A member whose minion gives no answer is left out: what it would say is unknown.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.preflight.checks.etcd import PORTS
from metalk8s_expand.errors import UnreachableError

log = logging.getLogger(__name__)

FUNCTION = "metalk8s_expand_host.connect"
# For sending the job and fetching its answers; Salt's own time-outs are shorter.
GRACE_S = 30.0
# A member tries again as often as that; so long at least must it have tried while the host listened.
OVERLAP_S = 2.0

# Why a connection failed, or nothing, by member and place.
Answers = Mapping[str, Mapping[str, str]]


class Peers(Protocol):
    """Minions that can be asked; see clients.salt.Minions."""

    def ask(
        self, minions: Iterable[str], function: str, arguments: Sequence[Any]
    ) -> Mapping[str, Any]:
        """The answers of those that gave one."""


@dataclass(frozen=True)
class PeerConnectivity:
    """What the members said, and from when on at the latest until when at least they all tried, by the master's clock."""

    answers: Answers = field(default_factory=dict)
    begun: float = 0.0
    ended: float = 0.0

    def of(self, address: str, since: float, until: float) -> dict[str, dict[int, str]]:
        """What each said of one new host, by port. That it failed counts if they tried while the host listened."""
        together = min(self.ended, until) - max(self.begun, since) >= OVERLAP_S
        return {
            member: {
                port: said[place]
                for port in PORTS
                if (place := f"{address}:{port}") in said and (together or not said[place])
            }
            for member, said in self.answers.items()
        }


def probe_peer_ports(
    peers: Peers | None,
    members: Sequence[str],
    addresses: Sequence[str],
    window: float,
    clock: Clock,
) -> Callable[[], PeerConnectivity]:
    """Let these members try to reach the new ones for ``window`` seconds, from now on; call it for what they say.

    In a thread, so that the new hosts are asked at the same time. It has ended when the answers are there, unless Salt
    hangs: whatever forks comes after that.
    """
    if peers is None or not members or not addresses:
        return PeerConnectivity
    found: list[PeerConnectivity] = []
    places = [[address, port] for address in addresses for port in PORTS]
    started = clock.now()

    def question() -> None:
        answers = _answers(peers, members, places, window)
        # Whoever failed has tried for the whole window, and has ended by now.
        found.append(
            PeerConnectivity(answers, max(started, clock.now() - window), started + window)
        )

    thread = threading.Thread(target=question, daemon=True)
    thread.start()

    def said() -> PeerConnectivity:
        thread.join(window + GRACE_S)
        return found[0] if found else PeerConnectivity()

    return said


def _answers(
    peers: Peers, members: Sequence[str], places: Sequence[Sequence[Any]], window: float
) -> Answers:
    try:
        answers = peers.ask(members, FUNCTION, [places, window])
    except UnreachableError as error:
        log.warning("today's etcd members cannot be asked: %s", error)
        return {}
    except Exception:
        log.exception("today's etcd members cannot be asked")
        return {}
    # Anything else is Salt's own words for a minion that has no answer.
    told = {name: said for name, said in answers.items() if isinstance(said, dict)}
    return {
        name: {str(place): str(why) for place, why in said.items()} for name, said in told.items()
    }
