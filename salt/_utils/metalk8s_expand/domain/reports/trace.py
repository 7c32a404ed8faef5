"""Convert the report of a run to Chrome's trace event format, which Perfetto shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.reports import timeline
from metalk8s_expand.domain.reports.timeline import Span

PROCESS = 1
MICROSECONDS = 1_000_000


def trace(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run as a JSON-ready trace: one thread per node, one complete event per step.

    Thread 0 is the whole run. Times are in microseconds since the start of the run.
    """
    events = [
        _metadata("process_name", 0, f"run {report.get('id')}"),
        _metadata("thread_name", 0, "run"),
        {
            "name": str(report.get("command") or "run"), "cat": "run", "ph": "X", "ts": 0,
            "dur": _microseconds(float(report.get("elapsed") or 0.0)), "pid": PROCESS, "tid": 0,
            "args": {"ok": report.get("ok"), "retcode": report.get("retcode")},
        },
    ]  # fmt: skip
    spans = timeline.spans(report)
    critical = set(timeline.critical_path(spans))
    threads: dict[str, int] = {}
    for node in report.get("nodes") or ():
        thread = threads.setdefault(str(node["name"]), len(threads) + 1)
        events.append(_metadata("thread_name", thread, str(node["name"])))
        events.append(
            {**_metadata("thread_sort_index", thread, ""), "args": {"sort_index": thread}}
        )
    for span in spans:
        events.append(_event(span, threads[span.node], span in critical))
    details = {"id": report.get("id"), "started": report.get("started")}
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": details}


def _event(span: Span, thread: int, critical: bool) -> dict[str, Any]:
    category = f"{span.step} state" if span.step else "step"
    event: dict[str, Any] = {
        "name": span.name, "cat": category, "ph": "X", "ts": _microseconds(span.start),
        "dur": _microseconds(span.elapsed), "pid": PROCESS, "tid": thread,
        "args": {"node": span.node, "ok": span.ok, "detail": span.detail, "critical": critical},
    }  # fmt: skip
    if not span.ok:
        # A reserved color name of the format.
        event["cname"] = "terrible"
    return event


def _metadata(what: str, thread: int, name: str) -> dict[str, Any]:
    args = {"name": name}
    return {"name": what, "ph": "M", "pid": PROCESS, "tid": thread, "args": args}


def _microseconds(seconds: float) -> int:
    return round(seconds * MICROSECONDS)
