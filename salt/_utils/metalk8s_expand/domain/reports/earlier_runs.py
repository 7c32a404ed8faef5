"""Reduce reports to what a comparison of runs needs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.reports import timeline

Object = Mapping[str, Any]


def digest_of(report: Object) -> dict[str, Any]:
    """Return what a comparison needs of a report.

    ``nodes`` is the number of its nodes and ``failed`` of those that are not done. ``elapsed`` is
    in seconds. ``steps`` has the median duration of each step in seconds.
    """
    nodes = report.get("nodes") or ()
    times: dict[str, list[float]] = {}
    for span in timeline.steps_only(timeline.spans(report)):
        times.setdefault(span.name, []).append(span.elapsed)
    return {
        "id": report.get("id"),
        "command": report.get("command"),
        "ok": bool(report.get("ok")),
        "retcode": report.get("retcode"),
        "elapsed": report.get("elapsed"),
        "nodes": len(nodes),
        "failed": sum(1 for node in nodes if not node.get("ok")),
        "steps": {name: statistics.median(seconds) for name, seconds in times.items()},
    }
