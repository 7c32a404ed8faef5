"""The lines of a running run for a terminal: active nodes, finished nodes above, the overall count.

A terminal rewrites these lines, so they are never more than it has. What has no room is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# More lines than this are not read while they change.
MOST_LINES = 60
SMALLEST_WIDTH, SMALLEST_HEIGHT = 40, 6
# What a step waits for, if it reports nothing else.
WAITS = {
    "check_ssh": "waits for the host to answer over SSH",
    "preflight": "waits for the facts of the host",
    "health": "waits for a healthy control plane",
    "reconnect": "waits for the minion to answer",
    "prepare": "waits for the orchestration",
    "deploy": "waits for the orchestration",
    "verify": "waits for the node to be as declared",
    "drain": "waits for the Pods to leave",
}
GREEN, RED, BOLD, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[1m", "\x1b[0m"


@dataclass(frozen=True)
class ActiveNode:
    """A node in work: its step, the seconds of the step, and what it reported last."""

    name: str
    step: str
    seconds: float
    detail: str = ""


@dataclass(frozen=True)
class FinishedNode:
    """A node whose work has ended: ``failure`` is the reason, empty after a success."""

    name: str
    seconds: float
    failure: str = ""


@dataclass(frozen=True)
class LiveView:
    """A run at one moment. ``total`` is the number of its nodes, 0 if it is unknown.

    ``finished`` counts all nodes whose work has ended, also those that ``ended`` does not name.
    ``elapsed`` and ``left`` are in seconds; ``left`` is None without an estimate.
    """

    active: Sequence[ActiveNode] = ()
    ended: Sequence[FinishedNode] = ()
    finished: int = 0
    failed: int = 0
    total: int = 0
    elapsed: float = 0.0
    left: float | None = None


def render_live_view(view: LiveView, width: int, height: int, color: bool) -> list[str]:
    """Return the lines for a terminal of this size; a line is narrower than the terminal."""
    room = max(1, min(height - 1, MOST_LINES) - 1)
    active = list(view.active)
    # Each active node has a line if that is possible, and finished nodes have the rest.
    shown_active = active if len(active) <= room else active[: room - 1]
    ended = _most_important(view.ended, room - len(shown_active) - 2)
    names = [item.name for item in shown_active] + [item.name for item in ended]
    name_width = min(max(map(len, names), default=0), width // 3)
    lines = [_ended_line(item, name_width) for item in ended]
    hidden = view.finished - len(ended)
    if ended and hidden > 0:
        lines.insert(0, (f"{hidden} more nodes are finished", ""))
    lines += [(_active_line(item, name_width), "") for item in shown_active]
    if len(active) > len(shown_active):
        lines.append((f"{len(active) - len(shown_active)} more nodes are in work", ""))
    lines.append((_total_line(view), BOLD))
    return [_fit(text, width, style if color else "") for text, style in lines]


def duration(seconds: float) -> str:
    """Return seconds for people: ``9 s``, ``1 min 30 s``, ``2 h 5 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _most_important(ended: Sequence[FinishedNode], room: int) -> list[FinishedNode]:
    """Return the finished nodes that have room: failed nodes first, then the newest."""
    if room <= 0:
        return []
    failed = [item for item in ended if item.failure]
    others = [item for item in ended if not item.failure]
    chosen = [*failed[-room:], *others[max(0, len(others) - max(0, room - len(failed))) :]]
    names = {item.name for item in chosen[:room]}
    return [item for item in ended if item.name in names]


def _ended_line(item: FinishedNode, width: int) -> tuple[str, str]:
    name = _cut(item.name, width).ljust(width)
    if item.failure:
        return f"{name}  FAILED: {item.failure}", RED
    return f"{name}  done in {duration(item.seconds)}", GREEN


def _active_line(item: ActiveNode, width: int) -> str:
    detail = item.detail or WAITS.get(item.step, "")
    name = _cut(item.name, width).ljust(width)
    line = f"{name}  {item.step} {duration(item.seconds)}"
    return f"{line}: {detail}" if detail else line


def _total_line(view: LiveView) -> str:
    of = f" of {view.total}" if view.total else ""
    words = [f"{view.finished}{of} nodes finished"]
    if view.failed:
        words.append(f"{view.failed} FAILED")
    if view.active:
        words.append(f"{len(view.active)} in work")
    waiting = view.total - view.finished - len(view.active)
    if view.total and waiting > 0:
        words.append(f"{waiting} waiting")
    words.append(duration(view.elapsed))
    if view.left is not None:
        words.append(f"about {duration(view.left)} left")
    return ", ".join(words)


def _fit(text: str, width: int, style: str) -> str:
    """Return a line that leaves the last column free, so that no terminal wraps it."""
    text = _cut(text, width - 1)
    return f"{style}{text}{PLAIN}" if style else text


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def seconds_left(
    remaining: Mapping[str, Sequence[str]],
    serial: Sequence[str],
    parallel: int,
    medians: Mapping[str, float],
    spent: Mapping[str, float],
) -> float | None:
    """Return an estimate of the seconds until all nodes are done, or None if a step has no median.

    ``remaining`` are the steps that each node has still to end, its current step first. ``serial``
    are the nodes that run one after another; ``parallel`` others run at a time. ``medians`` are
    seconds by step, ``spent`` the seconds of the current step by node.
    """
    serial_s = parallel_s = longest = 0.0
    for name, steps in remaining.items():
        node_s = 0.0
        for position, step in enumerate(steps):
            if step not in medians:
                return None
            used = spent.get(name, 0.0) if position == 0 else 0.0
            node_s += max(0.0, medians[step] - used)
        if name in serial:
            serial_s += node_s
        else:
            parallel_s += node_s
            longest = max(longest, node_s)
    return max(serial_s, longest, parallel_s / max(1, parallel))


def median_seconds(reports: Sequence[object]) -> dict[str, float]:
    """Return the median seconds of each step that succeeded, from the reports of earlier runs."""
    seconds: dict[str, list[float]] = {}
    for report in reports:
        for step in _steps(report):
            name, elapsed = step.get("name"), step.get("elapsed")
            if step.get("ok") and isinstance(name, str) and isinstance(elapsed, (int, float)):
                seconds.setdefault(name, []).append(float(elapsed))
    return {name: _median(values) for name, values in seconds.items()}


def _steps(report: object) -> list[Mapping[str, object]]:
    steps: list[Mapping[str, object]] = []
    for node in _items(report, "nodes"):
        steps += _items(node, "steps")
    return steps


def _items(of: object, key: str) -> list[Mapping[str, object]]:
    value = of.get(key) if isinstance(of, Mapping) else None
    if not isinstance(value, (list, tuple)):
        return []
    return [item for item in value if isinstance(item, Mapping)]


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
