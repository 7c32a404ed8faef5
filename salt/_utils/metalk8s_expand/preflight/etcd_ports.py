"""Test whether existing etcd members reach the new ones.

Their minions connect while the probes listen on the new hosts. A member whose minion gives no
answer is left out: its result is unknown.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.parsing.addresses import host_port
from metalk8s_expand.domain.preflight.checks.etcd import PORTS
from metalk8s_expand.errors import UnreachableError

log = logging.getLogger(__name__)

FUNCTION = "metalk8s_expand_host.connect"
# The time to send the job and fetch its answers; Salt's own time-outs are shorter.
GRACE_S = 30.0
# A member retries at this interval; it must have tried for at least this time while the host
# listened.
OVERLAP_S = 2.0

# The reason why a connection failed, or an empty text, by member and address.
Answers = Mapping[str, Mapping[str, str]]


class Peers(Protocol):
    """Minions that can run the test; see clients.salt.Minions."""

    def ask(
        self, minions: Iterable[str], function: str, arguments: Sequence[Any]
    ) -> Mapping[str, Any]:
        """Return the answers of the minions that gave one."""


@dataclass(frozen=True)
class PeerConnectivity:
    """The members' results, and the interval in which all of them tried.

    The interval begins at the latest possible start and ends at the earliest possible end, by the
    master's clock.
    """

    answers: Answers = field(default_factory=dict)
    begun: float = 0.0
    ended: float = 0.0

    def of(self, address: str, since: float, until: float) -> dict[str, dict[int, str]]:
        """Return the result of each member for one new host, by port.

        A failure counts if the members tried while the host listened.
        """
        together = min(self.ended, until) - max(self.begun, since) >= OVERLAP_S
        results: dict[str, dict[int, str]] = {}
        for member, reasons in self.answers.items():
            results[member] = {}
            for port in PORTS:
                place = host_port(address, port)
                if place in reasons and (together or not reasons[place]):
                    results[member][port] = reasons[place]
        return results


def probe_peer_ports(
    peers: Peers | None,
    members: Sequence[str],
    addresses: Sequence[str],
    window: float,
    clock: Clock,
) -> Callable[[], PeerConnectivity]:
    """Start the test of the new members' ports for ``window`` seconds; the result returns the
    answers.

    It runs in a thread, so that the new hosts can be probed at the same time. The thread has ended
    when the answers are there, unless Salt hangs: fork only after that.
    """
    if peers is None or not members or not addresses:
        return PeerConnectivity
    results: list[PeerConnectivity] = []
    places = [[address, port] for address in addresses for port in PORTS]
    started = clock.now()

    def question() -> None:
        answers = _answers(peers, members, places, window)
        # A member that failed has tried for the whole window, and has ended by now.
        results.append(
            PeerConnectivity(answers, max(started, clock.now() - window), started + window)
        )

    thread = threading.Thread(target=question, daemon=True)
    thread.start()

    def result() -> PeerConnectivity:
        thread.join(window + GRACE_S)
        return results[0] if results else PeerConnectivity()

    return result


def _answers(
    peers: Peers, members: Sequence[str], places: Sequence[Sequence[Any]], window: float
) -> Answers:
    try:
        answers = peers.ask(members, FUNCTION, [places, window])
    except UnreachableError as error:
        log.warning("the current etcd members cannot be asked: %s", error)
        return {}
    except Exception:
        log.exception("the current etcd members cannot be asked")
        return {}
    reasons = {}
    for name, answer in answers.items():
        # Any other value is Salt's text for a minion without an answer.
        if isinstance(answer, dict):
            reasons[name] = {str(place): str(why) for place, why in answer.items()}
    return reasons
