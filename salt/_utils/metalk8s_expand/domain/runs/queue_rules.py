"""Rules of the queue: stored requests to add nodes, and when the queue worker tries each of them.

An event can request a node that the pillar declares, and nothing else. The queue stores no other
data of the event. A request is one line of a ConfigMap under the node's name, so a thousand equal
events are one request. The request stays until its node is in the cluster.
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
# After these attempts, an operator must act. The pauses between them are 1, 2, 4 and 8 minutes,
# because a host may still be starting.
ATTEMPTS = 5
PAUSE_S = 60.0
# Limits of an error and of a refused name. They keep a line near 400 bytes, so a ConfigMap has room
# for 2,500 failed requests.
LONGEST = 200
SHOWN = 80
MAX_BYTES = 1000 * 1000
# The error of an attempt that has started but not ended.
BEGUN = "the attempt has started and not ended: it is running, or it was interrupted"


@dataclass(frozen=True)
class Request:
    """A request to add one node.

    ``since`` is the time of the request, ``last`` the start of the last attempt, both in seconds
    since the epoch.
    """

    node: str
    since: float
    attempts: int = 0
    last: float = 0.0
    error: str = ""

    @property
    def parked(self) -> bool:
        """Whether the worker no longer tries the request until an operator retries it."""
        return self.attempts >= ATTEMPTS

    @property
    def due_at(self) -> float:
        """The time before which the worker does not try the request again."""
        return self.last + PAUSE_S * 2 ** (self.attempts - 1) if self.attempts else self.since

    def is_due(self, now: float) -> bool:
        """Return whether the worker tries the request now.

        A clock that was set back does not delay the request.
        """
        return not self.parked and (self.attempts == 0 or now >= self.due_at or now < self.last)

    def begun(self, now: float) -> Request:
        """Record the start of an attempt.

        The worker saves this first. So attempts that kill the worker each time also reach the
        limit.
        """
        return replace(self, attempts=self.attempts + 1, last=now, error=BEGUN)

    def failed(self, error: str) -> Request:
        """Record that the attempt has failed."""
        return replace(self, error=_bounded(error))

    def refused(self, error: str, now: float) -> Request:
        """Record an attempt that failed before it could start."""
        return self.begun(now).failed(error)

    def again(self) -> Request:
        """Return the request as if the worker had never tried it."""
        return replace(self, attempts=0, last=0.0, error="")

    def as_dict(self) -> dict[str, Any]:
        """Return the request as a JSON-ready mapping for ``status``."""
        return {
            **asdict(self),
            "last": self.last or None,
            "error": self.error or None,
            "parked": self.parked,
        }


def name(value: object) -> str:
    """Return the node name of a request.

    SettingsError if it is not a valid name. The message shows only a short ASCII part of the value.
    """
    try:
        # Salt parses a name that has only digits as a number.
        return scalars.node_name(str(value) if type(value) is int else value)
    except (Invalid, ValueError) as error:
        raise refusal(value, f"it {getattr(error, 'message', 'is not a name')}") from None


def refusal(value: object, reason: str) -> SettingsError:
    """Return the error for a request that the queue does not store."""
    shown = ascii(value[:SHOWN]) if isinstance(value, str) else f"of type {type(value).__name__}"
    return SettingsError(
        f"the request to add the node {shown} is refused: {reason}",
        hint="a request names one node of the pillar, metalk8s_expand:nodes, and nothing else",
    )


def with_request(
    requests: Mapping[str, Request], node: str, now: float, retry: bool = False
) -> dict[str, Request]:
    """Return the requests with one for this node.

    An existing request stays as it is. With ``retry``, its attempts start again.
    """
    known = requests.get(node)
    if known is None:
        return {**requests, node: Request(node, now)}
    return {**requests, node: known.again() if retry else known}


def declared_only(requests: Mapping[str, Request], declared: Iterable[str]) -> dict[str, Request]:
    """Return the requests without those whose node the pillar no longer declares."""
    known = set(declared)
    return {node: request for node, request in requests.items() if node in known}


def line(request: Request) -> str:
    """Return the request as it is stored under the node's name."""
    fields = {key: value for key, value in asdict(request).items() if key != "node" and value}
    return json.dumps(fields, separators=(",", ":"), sort_keys=True)


def parse(node: str, stored: str) -> Request:
    """Return the request from its stored line.

    A damaged line still is a request, as if the worker had never tried it.
    """
    try:
        fields = json.loads(stored)
        since = _moment(fields.get("since", 0))
        last = _moment(fields.get("last", 0))
        attempts = min(int(_moment(fields.get("attempts", 0))), ATTEMPTS)
        error = _bounded(str(fields.get("error", "")))
        return Request(node, since, attempts, last, error)
    except (ValueError, TypeError, AttributeError, OverflowError):
        return Request(node, 0.0)


def lines(requests: Mapping[str, Request]) -> dict[str, str]:
    """Return all requests as they are stored.

    SettingsError if they are larger than the API server accepts.
    """
    stored = {node: line(request) for node, request in requests.items()}
    size = sum(len(node) + len(text) for node, text in stored.items())
    if size > MAX_BYTES:
        raise SettingsError(
            f"ConfigMap {NAMESPACE}/{NAME} is full: {len(stored)} requests",
            hint="fix what failed; salt-run metalk8s_expand.status shows the errors",
        )
    return stored


def text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the requests as text for people; empty if there are none."""
    shown = [_row(row) for row in rows]
    return "\n".join(["Requests of events:", *shown]) if shown else ""


def _row(row: Mapping[str, Any]) -> str:
    if not row["attempts"]:
        return f"- {row['node']}: waiting{': ' + row['error'] if row['error'] else ''}"
    tried = f"attempt {row['attempts']} of {ATTEMPTS}: {row['error']}"
    if row["parked"]:
        return (
            f"- {row['node']}: {tried}; to retry: salt-run metalk8s_expand.request {row['node']}"
            " retry=True"
        )
    return f"- {row['node']}: {tried}; the worker will retry it"


def _moment(value: Any) -> float:
    number = float(value)
    if not 0 <= number < 1e12:
        raise ValueError(value)
    return number


def _bounded(text: str) -> str:
    """Return the text as one short line of ASCII."""
    return " ".join(text.split()).encode("ascii", "replace").decode()[:LONGEST]
