"""Requests to add nodes that nobody has worked off yet: what is kept of them, and when each one's turn is.

An event can ask for a node that the pillar declares, and for nothing else: no other word of it is kept. A request is one
line of a ConfigMap, under the node's name, so a thousand equal events are one request. It stays until its node is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from metalk8s_expand.domain.parsing import scalars
from metalk8s_expand.domain.parsing.scalars import Invalid
from metalk8s_expand.errors import SettingsError

NAMESPACE = "kube-system"
NAME = "metalk8s-expand-queue"
# After these a person is needed. The pauses between them are 1, 2, 4 and 8 minutes: a host may still be starting.
ATTEMPTS = 5
PAUSE_S = 60.0
# Of an error and of a refused name. With it a line has some 400 bytes, and a ConfigMap room for 2,500 that failed.
LONGEST = 200
SHOWN = 80
MAX_BYTES = 1000 * 1000
# The error of an attempt that has begun, until it has ended.
BEGUN = "it has begun and not ended: it goes on, or was cut off"


@dataclass(frozen=True)
class Request:
    """One node that was asked for; ``since`` and ``last``, the begin of the last attempt, in seconds since the epoch."""

    node: str
    since: float
    attempts: int = 0
    last: float = 0.0
    error: str = ""

    @property
    def parked(self) -> bool:
        """Whether it is not tried any more until somebody says so."""
        return self.attempts >= ATTEMPTS

    @property
    def due_at(self) -> float:
        """Before this moment it is not tried again."""
        return self.last + PAUSE_S * 2 ** (self.attempts - 1) if self.attempts else self.since

    def is_due(self, now: float) -> bool:
        """Whether it is tried now. A clock that was set back keeps nobody waiting."""
        return not self.parked and (self.attempts == 0 or now >= self.due_at or now < self.last)

    def begun(self, now: float) -> Request:
        """An attempt begins: written down first, so that one that kills its worker each time comes to an end too."""
        return replace(self, attempts=self.attempts + 1, last=now, error=BEGUN)

    def failed(self, error: str) -> Request:
        """The attempt has failed."""
        return replace(self, error=_bounded(error))

    def refused(self, error: str, now: float) -> Request:
        """It has failed before it could begin."""
        return self.begun(now).failed(error)

    def again(self) -> Request:
        """As if it had never been tried."""
        return replace(self, attempts=0, last=0.0, error="")

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, for ``status``."""
        return {
            **asdict(self),
            "last": self.last or None,
            "error": self.error or None,
            "parked": self.parked,
        }


def name(value: object) -> str:
    """The name that a request gives, if it can be one. SettingsError otherwise, with little and harmless of the value."""
    try:
        # Salt makes a number of a name of digits only.
        return scalars.node_name(str(value) if type(value) is int else value)
    except (Invalid, ValueError) as error:
        raise refusal(value, f"it {getattr(error, 'message', 'is no name')}") from None


def refusal(value: object, reason: str) -> SettingsError:
    """Why nothing is kept of a request."""
    shown = ascii(value[:SHOWN]) if isinstance(value, str) else f"of type {type(value).__name__}"
    return SettingsError(
        f"the request to add the node {shown} is refused: {reason}",
        hint="a request names one node of the pillar, metalk8s_expand:nodes, and nothing else",
    )


def with_request(
    requests: Mapping[str, Request], node: str, now: float, retry: bool = False
) -> dict[str, Request]:
    """With one for this node; one that is there stays as it is, unless it is to be tried again."""
    known = requests.get(node)
    if known is None:
        return {**requests, node: Request(node, now)}
    return {**requests, node: known.again() if retry else known}


def declared_only(requests: Mapping[str, Request], declared: Iterable[str]) -> dict[str, Request]:
    """Without those that the pillar does not declare any more."""
    known = set(declared)
    return {node: request for node, request in requests.items() if node in known}


def line(request: Request) -> str:
    """As it is stored under the node's name."""
    fields = {key: value for key, value in asdict(request).items() if key != "node" and value}
    return json.dumps(fields, separators=(",", ":"), sort_keys=True)


def parse(node: str, stored: str) -> Request:
    """The other way round; what was damaged by hand is a request still, as if it had never been tried."""
    try:
        fields = json.loads(stored)
        since, last, attempts = (
            _moment(fields.get(key, 0)) for key in ("since", "last", "attempts")
        )
        return Request(
            node, since, min(int(attempts), ATTEMPTS), last, _bounded(str(fields.get("error", "")))
        )
    except (ValueError, TypeError, AttributeError, OverflowError):
        return Request(node, 0.0)


def lines(requests: Mapping[str, Request]) -> dict[str, str]:
    """All of them as they are stored. SettingsError when the API would refuse it."""
    found = {node: line(request) for node, request in requests.items()}
    size = sum(len(node) + len(text) for node, text in found.items())
    if size > MAX_BYTES:
        raise SettingsError(
            f"ConfigMap {NAMESPACE}/{NAME} is full: {len(found)} requests",
            hint="mend what failed; salt-run metalk8s_expand.status shows it",
        )
    return found


def text(rows: Iterable[Mapping[str, Any]]) -> str:
    """For people; nothing when nobody asked for anything."""
    found = [_row(row) for row in rows]
    return "\n".join(["Requests of events:", *found]) if found else ""


def _row(row: Mapping[str, Any]) -> str:
    if not row["attempts"]:
        return f"- {row['node']}: waits for its turn{': ' + row['error'] if row['error'] else ''}"
    tried = f"attempt {row['attempts']} of {ATTEMPTS}: {row['error']}"
    if row["parked"]:
        return f"- {row['node']}: {tried}; once more: salt-run metalk8s_expand.request {row['node']} retry=True"
    return f"- {row['node']}: {tried}; it is tried again"


def _moment(value: Any) -> float:
    found = float(value)
    if not 0 <= found < 1e12:
        raise ValueError(value)
    return found


def _bounded(text: str) -> str:
    """One short line of printable ASCII."""
    return " ".join(text.split()).encode("ascii", "replace").decode()[:LONGEST]
