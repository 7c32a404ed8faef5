"""Define the moment of a fault: a line in the event log, or seconds after the start.

The functions are pure. The event log holds lines with a source: the runner's progress, the master's
events, the states of etcd members. Therefore a boundary between two steps is a text pattern, and a
new boundary needs no new code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

RUNNER, EVENT, MEMBER, CLOCK = "runner", "event", "member", "clock"


@dataclass(frozen=True)
class Trigger:
    """The moment ``delay`` seconds after a line of a source matches; the clock has no pattern."""

    source: str
    pattern: str = ""
    delay: float = 0.0

    def matches(self, source: str, line: str) -> bool:
        return source == self.source and re.search(self.pattern, line) is not None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        after = f"{self.delay:.1f} s after " if self.delay or self.source == CLOCK else ""
        return (
            f"{after}{'the start' if self.source == CLOCK else f'{self.source} /{self.pattern}/'}"
        )


def progress(node: str, step: str, what: str) -> Trigger:
    """The runner prints a line: ``[  12.3 s] cp-1             register: started``."""
    return Trigger(RUNNER, rf"\] {re.escape(node)} +{re.escape(step)}: {what}")


def member(name: str, state: str) -> Trigger:
    """An etcd member becomes a ``learner``, ``started`` (still a learner) or a ``voter``."""
    return Trigger(MEMBER, rf"^{re.escape(name)} {state}$")


def published(function: str, target: str, argument: str = "") -> Trigger:
    """The master has sent a job to a minion."""
    return Trigger(
        EVENT, rf"^new {re.escape(function)} \S*\b{re.escape(target)}\b.*{re.escape(argument)}"
    )


def returned(function: str, minion: str, argument: str = "") -> Trigger:
    """A minion has returned a job."""
    return Trigger(
        EVENT, rf"^ret {re.escape(function)} {re.escape(minion)} .*{re.escape(argument)}"
    )


def started(minion: str) -> Trigger:
    """A minion reports its start."""
    return Trigger(EVENT, rf"^start {re.escape(minion)}$")


def authenticated(minion: str) -> Trigger:
    """A minion connects with a key that the master has accepted."""
    return Trigger(EVENT, rf"^auth accept {re.escape(minion)}$")


def after(seconds: float) -> Trigger:
    return Trigger(CLOCK, delay=seconds)


def event_line(text: str) -> str | None:
    """Convert a line of ``salt-run state.event`` (tag, tabulator, JSON) to the form for triggers.

    Return None for an event that no trigger uses.
    """
    tag, _, body = text.partition("\t")
    parts = tag.strip().split("/")
    try:
        data = json.loads(body)
    except ValueError:
        return None
    if not isinstance(data, Mapping) or parts[0] != "salt":
        return None
    if parts[1:2] == ["auth"]:
        return f"auth {data.get('act')} {data.get('id')}"
    if parts[1:2] == ["minion"] and parts[-1] == "start":
        return f"start {data.get('id')}"
    if parts[1:2] == ["job"] and len(parts) > 3:
        return _job(parts[3], data)
    return None


def _job(what: str, data: Mapping[str, Any]) -> str | None:
    if what == "new":
        return (
            f"new {data.get('fun')} {','.join(map(str, data.get('minions') or ()))}"
            f" {_compact(data.get('arg'))}"
        )
    if what == "ret":
        return f"ret {data.get('fun')} {data.get('id')} {_compact(data.get('fun_args'))}"
    return None


def _compact(value: object) -> str:
    """Return the arguments as JSON, truncated to 500 characters."""
    return json.dumps(value, default=str, separators=(",", ":"))[:500]
