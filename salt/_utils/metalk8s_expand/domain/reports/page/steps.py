"""Draw the timeline of nodes and steps, list the critical path, and repeat both as tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.domain.reports import timeline
from metalk8s_expand.domain.reports.page import outcome, values
from metalk8s_expand.domain.reports.page.markup import Child, Markup, element, join
from metalk8s_expand.domain.reports.timeline import Span

Object = Mapping[str, Any]

HOST_CHECKS = plan.HOST_CHECKS
# The color of each step. Steps of an expansion and of a removal that are of a kind share one.
COLORS = {
    HOST_CHECKS: "check",
    "health": "amber",
    "register": "blue",
    "reconnect": "pink",
    "prepare": "teal",
    "deploy": "violet",
    "verify": "green",
    "uncordon": "pink",
    "guard": "check",
    "cordon": "pink",
    "drain": "amber",
    "leadership": "teal",
    "api_server": "blue",
    "member": "violet",
    "retire": "green",
    "key": "blue",
    "node": "violet",
}
OTHER_COLOR = "check"
# Up to this many nodes have a lane each; of more, only those to look at.
LANES, FAILED_LANES, LONGEST_LANES = 40, 8, 6
# Up to this many nodes have a lane with the states of their steps, and a row for each step.
DETAILED = 16
CRITICAL_ROWS = 20
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200)
# The number of samples in the chart of nodes at work, and its height.
SAMPLES, HEIGHT = 160, 100


def render_steps(report: Object) -> Markup | None:
    """Return the section with the timeline, the critical path and the tables of steps."""
    spans = timeline.spans(report)
    steps = timeline.steps_only(spans)
    if not steps:
        return None
    critical = timeline.critical_path(spans)
    end = max(values.seconds_of(report.get("elapsed")), *(span.end for span in steps)) or 1.0
    by_node: dict[str, list[Span]] = {}
    for span in spans:
        by_node.setdefault(span.node, []).append(span)
    shown = _lanes_to_show(by_node, critical)
    results = outcome.outcomes(report)
    blocks: list[Child] = [_key(steps, bool(critical))]
    if len(shown) < len(by_node):
        blocks += [_density(steps, end), _axis(end)]
        text = (
            f"{len(shown)} of {len(by_node):,} nodes have a lane below: those that failed, that the"
            " end of the run waited for, or that took longest."
        )
        blocks.append(element("p", text, class_="soft small"))
    lanes = _node_lanes({name: by_node[name] for name in shown}, results)
    if len(by_node) == 1:
        lanes = _step_lanes(spans)
    marked = set(critical)
    drawn = [_drawn(lane, marked, end) for lane in lanes]
    blocks.append(element("ul", drawn, class_="lanes"))
    blocks.append(_axis(end))
    blocks.append(_critical(critical, end, len(by_node)))
    blocks.append(_statistics(spans) if len(by_node) > 1 else None)
    blocks.append(_rows(by_node, results, critical))
    return element("section", element("h2", "Timeline"), blocks, id="timeline")


def color(step: str) -> str:
    """Return the name of a step's color."""
    return COLORS.get(step, OTHER_COLOR)


def _lanes_to_show(by_node: Mapping[str, Sequence[Span]], critical: Sequence[Span]) -> list[str]:
    if len(by_node) <= LANES:
        return list(by_node)
    chosen = dict.fromkeys(span.node for span in critical[-LANES // 3 :])
    failed = [name for name, spans in by_node.items() if not all(span.ok for span in spans)]
    chosen.update(dict.fromkeys(failed[:FAILED_LANES]))
    longest = sorted(by_node, key=lambda name: _worked(by_node[name]), reverse=True)
    chosen.update(dict.fromkeys(longest[:LONGEST_LANES]))
    return [name for name in by_node if name in chosen][:LANES]


def _worked(spans: Iterable[Span]) -> float:
    return sum(span.elapsed for span in timeline.steps_only(spans))


@dataclass(frozen=True)
class Lane:
    """One row of the timeline: its label, its name for screen readers, its spans and seconds."""

    label: Child
    name: str
    spans: Sequence[Span]
    seconds: float


def _node_lanes(by_node: Mapping[str, Sequence[Span]], results: Mapping[str, str]) -> list[Lane]:
    lanes = []
    for name, spans in by_node.items():
        result = results.get(name, "")
        tone = outcome.TONES.get(result, "")
        tag = element("span", f"{outcome.SIGNS.get(result, '')} {result}", class_=f"tag {tone}")
        last = max(span.end for span in spans)
        lanes.append(Lane(join(name, " ", tag), name, spans, last))
    return lanes


def _step_lanes(spans: Sequence[Span]) -> list[Lane]:
    """Return one lane for each step of the only node."""
    lanes = []
    for step in timeline.steps_only(spans):
        own = [span for span in spans if span is step or span.step == step.name]
        lanes.append(Lane(step.name, step.name, own, step.elapsed))
    return lanes


def _drawn(lane: Lane, critical: set[Span], end: float) -> Markup:
    bars, words, states = [], [], False
    for span in lane.spans:
        place = f"left:{_percent(span.start, end)}%;width:{_percent(span.elapsed, end)}%"
        took = f"{values.duration(span.elapsed)}{'' if span.ok else ' failed'}"
        if span.step:
            states = True
            kind = "sub" if span.ok else "sub failed"
            bars.append(element("i", class_=kind, style=place, title=f"{span.name}: {took}"))
            continue
        words.append(f"{span.name} {took}")
        bars.append(_bar(span, span in critical, place, f"{span.name}: {took}"))
    track = element(
        "div",
        bars,
        class_="track states" if states else "track",
        role="img",
        aria_label=f"{lane.name}: {', '.join(words)}",
    )
    seconds = element("div", values.duration(lane.seconds), class_="took")
    return element("li", element("div", lane.label, class_="who"), track, seconds, class_="lane")


def _bar(span: Span, is_critical: bool, place: str, hover: str) -> Markup:
    kinds = ["bar", f"c-{color(span.name)}" if span.ok else "failed"]
    if is_critical:
        kinds.append("critical")
    shown = element("span", f"{'' if span.ok else '✕ '}{span.name}")
    return element("div", shown, class_=" ".join(kinds), style=place, title=hover)


def _percent(seconds: float, end: float) -> str:
    return f"{max(0.0, min(100.0, 100 * seconds / end)):.2f}".rstrip("0").rstrip(".")


def _axis(end: float) -> Markup:
    ticks = next((tick for tick in TICKS if end / tick <= 6), TICKS[-1])
    marks, at = [], 0.0
    while at < end * 0.94:
        style = f"left:{_percent(at, end)}%"
        marks.append(element("span", values.tick(at), style=style))
        at += ticks
    return element(
        "div",
        element("div"),
        element("div", marks),
        element("div"),
        class_="axis",
        aria_hidden="true",
    )


def _key(steps: Sequence[Span], has_path: bool) -> Markup:
    items = []
    for name in dict.fromkeys(span.name for span in steps):
        mark = element("span", class_=f"s c-{color(name)}", aria_hidden="true")
        items.append(element("li", mark, name))
    if not all(span.ok for span in steps):
        items.append(
            element("li", element("span", class_="s failed", aria_hidden="true"), "✕ failed")
        )
    if has_path:
        mark = element("span", class_="s critical", aria_hidden="true")
        items.append(element("li", mark, "critical path"))
    return element("ul", items, class_="key")


def _density(steps: Sequence[Span], end: float) -> Markup:
    """Return a chart of how many nodes are at each step over time."""
    # The checks of all hosts run at the same time, and would hide what follows.
    steps = [span for span in steps if span.name != HOST_CHECKS] or steps
    kinds = list(dict.fromkeys(span.name for span in steps))
    changes = {kind: [0] * (SAMPLES + 1) for kind in kinds}
    for span in steps:
        changes[span.name][min(SAMPLES, math.ceil(span.start / end * SAMPLES))] += 1
        changes[span.name][min(SAMPLES, math.ceil(span.end / end * SAMPLES))] -= 1
    layers = []
    for kind in kinds:
        at_work, active = [], 0
        for change in changes[kind][: SAMPLES + 1]:
            active += change
            at_work.append(active)
        layers.append(at_work)
    totals = [sum(column) for column in zip(*layers, strict=True)]
    top = max(totals) or 1
    base = [0] * (SAMPLES + 1)
    drawn = []
    for kind, layer in zip(kinds, layers, strict=True):
        upper = [low + high for low, high in zip(base, layer, strict=True)]
        drawn.append(_area(base, upper, top, color(kind)))
        base = upper
    busiest = totals.index(top)
    described = (
        f"At most {values.counted(top, 'node')} at work at the same time,"
        f" {values.duration(busiest / SAMPLES * end)} after the start."
    )
    picture = element(
        "svg",
        element("title", "Nodes at work over time, by step"),
        element("desc", described),
        drawn,
        viewBox=f"0 0 {SAMPLES} {HEIGHT}",
        preserveAspectRatio="none",
        class_="density",
        role="img",
    )
    label = element("div", "nodes at work", element("div", f"at most {top:,}", class_="soft"))
    return element(
        "div",
        element("div", label, class_="who"),
        element("div", picture),
        element("div"),
        class_="lane",
    )


def _area(lower: Sequence[int], upper: Sequence[int], top: int, name: str) -> Markup:
    points = []
    for index, value in enumerate(upper):
        points.append(f"{index},{HEIGHT - value / top * (HEIGHT - 4):.1f}")
    for index in range(len(lower) - 1, -1, -1):
        points.append(f"{index},{HEIGHT - lower[index] / top * (HEIGHT - 4):.1f}")
    return element("polygon", points=" ".join(points), class_=f"f-{name}")


def _critical(critical: Sequence[Span], end: float, nodes: int) -> Markup | None:
    """Return the steps that the end of the run waited for."""
    if not critical:
        return None
    rows: list[list[Child]] = []
    for number, span in enumerate(critical, 1):
        share = f"{100 * span.elapsed / end:.0f} %"
        meter = element(
            "span", class_="meter" if span.ok else "meter failed",
            style=f"width:{max(1, round(120 * span.elapsed / end))}px", aria_hidden="true",
        )  # fmt: skip
        named = span.name if span.ok else f"✕ {span.name}"
        rows.append(
            [str(number), span.node, named, values.tick(span.start),
             values.duration(span.elapsed), join(f"{share} ", meter)]
        )  # fmt: skip
    on_path = sum(span.elapsed for span in critical)
    after = max(0.0, end - critical[-1].end)
    sentence = (
        f"The end of the run waited for these {values.counted(len(critical), 'step')} in this"
        f" order: {values.duration(on_path)} of {values.duration(end)}."
    )
    if after >= 0.1:
        sentence += f" The checks at the end took {values.duration(after)}."
    if nodes > 1:
        sentence += " A shorter step outside of this path would not end the run earlier."
    heads = ("#", "Node", "Step", "Starts at", "Takes", "Share of the run")
    first = values.table(
        "Steps in the order in which they ran", heads, rows[:CRITICAL_ROWS], (3, 4)
    )
    more = None
    if len(rows) > CRITICAL_ROWS:
        rest = values.table("Rest of the critical path", heads, rows[CRITICAL_ROWS:], (3, 4))
        title = values.counted(len(rows) - CRITICAL_ROWS, "more step")
        more = element("div", values.fold(title, rest), class_="long")
    return join(element("h3", "Critical path"), element("p", sentence, class_="soft"), first, more)


def _statistics(spans: Sequence[Span]) -> Markup:
    """Return each step, and each state of the orchestrations, over all nodes."""
    groups: dict[tuple[str, str], list[Span]] = {}
    for span in spans:
        key = (span.step or span.name, timeline.state_title(span) if span.step else "")
        groups.setdefault(key, []).append(span)
    rows: list[list[Child]] = []
    for (step, state), members in groups.items():
        times = sorted(span.elapsed for span in members)
        longest = max(members, key=lambda span: span.elapsed)
        failed = sum(1 for span in members if not span.ok)
        rows.append(
            [f"{step}: {state}" if state else step, f"{len(members):,}", str(failed or "none"),
             values.duration(times[0]), values.duration(statistics.median(times)),
             values.duration(times[-1]), longest.node]
        )  # fmt: skip
    heads = ("Step", "Nodes", "Failed", "Shortest", "Median", "Longest", "Longest on")
    made = values.table("Durations of steps over all nodes", heads, rows, (1, 2, 3, 4, 5))
    return values.fold("Durations of each step over all nodes", made)


def _rows(
    by_node: Mapping[str, Sequence[Span]], results: Mapping[str, str], critical: Sequence[Span]
) -> Markup:
    marked = set(critical)
    if len(by_node) <= DETAILED:
        return values.fold("Every step as a table", _all_steps(by_node, marked))
    names = list(
        dict.fromkeys(step.name for spans in by_node.values() for step in spans if not step.step)
    )
    rows: list[list[Child]] = []
    for node, spans in by_node.items():
        steps = {span.name: span for span in timeline.steps_only(spans)}
        cells = [_seconds(steps.get(name)) for name in names]
        ends = max(span.end for span in spans)
        result = results.get(node, "")
        sign = outcome.SIGNS.get(result, "")
        rows.append([node, f"{sign} {result}", *cells, values.tick(ends)])
    heads = ("Node", "Result", *names, "Ends at")
    numbers = range(2, len(names) + 3)
    made = values.table("Seconds of each step, by node", heads, rows, numbers)
    folded = values.fold("Every node as a table", made)
    return element("div", folded, class_="long")


def _seconds(span: Span | None) -> str:
    if span is None:
        return "–"
    return f"{'' if span.ok else '✕ '}{span.elapsed:.1f}"


def _all_steps(by_node: Mapping[str, Sequence[Span]], critical: set[Span]) -> Markup:
    rows: list[list[Child]] = []
    for node, spans in by_node.items():
        for span in spans:
            named = f"{span.step}: {span.name}" if span.step else span.name
            rows.append(
                [node, named, "ok" if span.ok else "✕ failed", values.tick(span.start),
                 values.duration(span.elapsed), "yes" if span in critical else "", span.detail]
            )  # fmt: skip
    heads = ("Node", "Step", "Result", "Starts at", "Takes", "On critical path", "Detail")
    return values.table("Every step of every node", heads, rows, (3, 4))
