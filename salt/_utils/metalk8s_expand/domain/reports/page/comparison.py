"""Compare the run with earlier runs of the same command."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.domain.reports.page import outcome, values
from metalk8s_expand.domain.reports.page.markup import Child, Markup, element, join

Object = Mapping[str, Any]

# A smaller change of a duration, in percent, is noise.
NOISE = 5.0


def render_comparison(current: Object, earlier: Sequence[Object]) -> Markup | None:
    """Return the earlier runs with their durations, and the medians of their steps.

    ``current`` and ``earlier`` are values of ``earlier_runs.digest_of``, the oldest first.
    """
    if not earlier:
        return None
    function = outcome.function_of(current) or "command"
    return element(
        "section",
        element("h2", "Earlier runs"),
        element(
            "p",
            f"The last {values.counted(len(earlier), 'run')} of ",
            element("code", function),
            " with a saved report, and this one.",
            class_="soft",
        ),
        _runs(current, earlier),
        _steps(current, earlier),
        id="comparison",
    )


def _runs(current: Object, earlier: Sequence[Object]) -> Markup:
    longest = max(values.seconds_of(run.get("elapsed")) for run in (*earlier, current)) or 1.0
    rows: list[list[Child]] = []
    for run in (*earlier, current):
        seconds = values.seconds_of(run.get("elapsed"))
        ok = bool(run.get("ok"))
        meter = element(
            "span",
            class_="meter" if ok else "meter failed",
            style=f"width:{max(2, round(160 * seconds / longest))}px",
            aria_hidden="true",
        )
        started: Child = element("span", values.date(run.get("id")), class_="d")
        if run is current:
            started = join(started, " ", element("span", "this run", class_="tag"))
        result = outcome.verdict(run)
        words = f"{'✓' if ok else outcome.SIGNS.get(result, '')} {result}"
        if not ok:
            words += f" ({run.get('retcode')})"
        nodes = f"{run['nodes'] - run['failed']:,} of {run['nodes']:,}" if run["nodes"] else "none"
        per_node = seconds / run["nodes"] if run["nodes"] else None
        rows.append(
            [
                started,
                words,
                nodes,
                values.duration(seconds),
                "–" if per_node is None else values.duration(per_node),
                meter,
            ]
        )
    heads = ("Started", "Result", "Nodes done", "Duration", "Per node", "Length")
    return values.table("Runs, the oldest first", heads, rows, (2, 3, 4))


def _steps(current: Object, earlier: Sequence[Object]) -> Markup | None:
    rows: list[list[Child]] = []
    for name, seconds in current["steps"].items():
        before = [run["steps"][name] for run in earlier if name in run["steps"]]
        if not before:
            continue
        median = statistics.median(before)
        rows.append(
            [name, values.duration(seconds), values.duration(median), _difference(seconds, median)]
        )
    if not rows:
        return None
    heads = ("Step", "This run", "Earlier runs", "Difference")
    caption = "Median duration of each step of a node"
    return join(element("h3", "Steps"), values.table(caption, heads, rows, (1, 2, 3)))


def _difference(seconds: float, median: float) -> str:
    """Return the change with its direction in words; a tenth of a second is noise as well."""
    change = 100 * (seconds - median) / median if median else 0.0
    if abs(change) < NOISE or abs(seconds - median) < 0.1:
        return "about the same"
    return f"{abs(change):.0f} % {'longer' if change > 0 else 'shorter'}"
