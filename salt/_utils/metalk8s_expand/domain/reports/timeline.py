"""Compute the timeline of a run from its report: when each step ran, and the critical path."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]

# The scheduler looks at each node at this interval or later, so a step that another one releases
# starts some time after its end. In seconds.
HANDOVER_S = 1.0
# Reports round durations, so a step may seem to start just before the end of the previous one.
ROUNDING_S = 0.001
# A state of an orchestration has the name of its step before its own.
SEPARATOR = ": "


@dataclass(frozen=True)
class Span:
    """One step of a node, or one state of the step's orchestration.

    ``start`` is in seconds since the start of the run, ``elapsed`` in seconds. ``step`` is the step
    that a state belongs to, and empty for a step.
    """

    node: str
    name: str
    start: float
    elapsed: float
    ok: bool
    detail: str = ""
    step: str = ""

    @property
    def end(self) -> float:
        return self.start + self.elapsed


def spans(report: Object) -> list[Span]:
    """Return the steps and states of all nodes, in the order of the report.

    A report has the duration of a state, not its start. States run one after another and the last
    one ends with its step, so their starts are computed from there.
    """
    placed: list[Span] = []
    for node in report.get("nodes") or ():
        placed += _node_spans(str(node["name"]), node.get("steps") or (), _origin(report))
    return placed


def steps_only(all_spans: Iterable[Span]) -> list[Span]:
    """Return the spans of steps, without those of states."""
    return [span for span in all_spans if not span.step]


def state_title(span: Span) -> str:
    """Return the title of a step or state without the name of its node, to compare nodes."""
    return span.name.replace(span.node, "NODE") if span.step else span.name


def critical_path(all_spans: Iterable[Span]) -> list[Span]:
    """Return the chain of steps that the end of the run waited for, the first step first.

    The chain is found from the step that ends last. The step before another is the previous one of
    the same node, unless the node waited: then it is the step of any node that ended last before.
    """
    everything = _Ends(steps_only(all_spans))
    if not everything.spans:
        return []
    by_node: dict[str, list[Span]] = {}
    for span in everything.spans:
        by_node.setdefault(span.node, []).append(span)
    of_nodes = {node: _Ends(spans) for node, spans in by_node.items()}
    path = [everything.spans[-1]]
    while True:
        current = path[-1]
        before = of_nodes[current.node].last_before(current)
        other = everything.last_before(current)
        waited = before is None or current.start - before.end > HANDOVER_S
        if waited and other is not None and (before is None or other.end > before.end + ROUNDING_S):
            before = other
        if before is None:
            return list(reversed(path))
        path.append(before)


class _Ends:
    """Spans in the order of their ends."""

    def __init__(self, all_spans: Iterable[Span]) -> None:
        self.spans = sorted(all_spans, key=lambda span: span.end)
        self._ends = [span.end for span in self.spans]

    def last_before(self, current: Span) -> Span | None:
        """Return the last span that ended before this one started."""
        index = bisect.bisect_right(self._ends, current.start + ROUNDING_S)
        for span in reversed(self.spans[:index]):
            if span.start < current.start:
                return span
        return None


def _origin(report: Object) -> float:
    started = report.get("started")
    if isinstance(started, (int, float)):
        return float(started)
    starts = [step["started"] for node in report.get("nodes") or () for step in node["steps"]]
    return float(min(starts, default=0.0))


def _node_spans(node: str, steps: Sequence[Object], origin: float) -> list[Span]:
    names = [str(step["name"]) for step in steps]
    placed: list[Span] = []
    states: list[Span] = []
    for step, name in zip(steps, names, strict=True):
        start = max(0.0, float(step["started"]) - origin)
        parent, separator, title = name.partition(SEPARATOR)
        is_state = bool(separator) and parent in names
        span = Span(
            node,
            title if is_state else name,
            start,
            max(0.0, float(step["elapsed"])),
            bool(step["ok"]),
            str(step.get("detail") or ""),
            parent if is_state else "",
        )
        if is_state:
            states.append(span)
            continue
        # The report lists the states of a step before the step itself.
        placed += _in_sequence([item for item in states if item.step == name], span)
        states = [item for item in states if item.step != name]
        placed.append(span)
    return placed + states


def _in_sequence(states: Sequence[Span], step: Span) -> list[Span]:
    """Return the states one after another, the last one ending with the step."""
    total = sum(state.elapsed for state in states)
    scale = min(1.0, step.elapsed / total) if total else 1.0
    start = step.end - total * scale
    placed = []
    for state in states:
        elapsed = state.elapsed * scale
        placed.append(
            Span(state.node, state.name, start, elapsed, state.ok, state.detail, state.step)
        )
        start += elapsed
    return placed
