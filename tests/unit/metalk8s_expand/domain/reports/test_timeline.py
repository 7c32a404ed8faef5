"""The timeline of a run, its critical path, and the trace."""

from __future__ import annotations

import itertools
import json

import pytest

from metalk8s_expand.domain.reports import timeline
from metalk8s_expand.domain.reports.trace import trace
from tests.fakes import run_reports
from tests.fakes.run_reports import reported, step


def test_states_follow_one_another_and_end_with_their_step() -> None:
    spans = timeline.spans(run_reports.expansion())
    deploy = next(span for span in spans if (span.node, span.name) == ("worker-1", "deploy"))
    states = [span for span in spans if span.node == "worker-1" and span.step == "deploy"]
    assert [state.name for state in states] == ["Let worker-1 join the cluster", "Verify worker-1"]
    assert timeline.state_title(states[0]) == "Let NODE join the cluster"
    assert states[-1].end == pytest.approx(deploy.end)
    assert states[0].start == pytest.approx(deploy.start + 0.4)
    for earlier, later in itertools.pairwise(states):
        assert earlier.end == pytest.approx(later.start)


def test_states_longer_than_their_step_are_scaled() -> None:
    steps = [step("deploy: a", 0.0, 30.0), step("deploy: b", 0.0, 10.0), step("deploy", 0.0, 20.0)]
    first, second, whole = timeline.spans(
        {"started": run_reports.STARTED, "nodes": [reported("w", steps)]}
    )
    assert (first.start, first.elapsed, second.start, second.end) == pytest.approx((0, 15, 15, 20))
    assert whole.elapsed == 20


def test_critical_path_follows_control_plane_nodes() -> None:
    path = timeline.critical_path(timeline.spans(run_reports.expansion()))
    assert [f"{span.node} {span.name}" for span in path] == [
        *(f"cp-1 {name}" for name in ("check_ssh, preflight", "register", "prepare")),
        *(f"{node} {name}" for node in ("cp-1", "cp-2")
          for name in ("health", "deploy", "verify", "uncordon")),
    ]  # fmt: skip


def test_critical_path_of_a_fleet_has_no_loop() -> None:
    spans = timeline.spans(run_reports.fleet(200))
    path = timeline.critical_path(spans)
    starts = [span.start for span in path]
    assert starts == sorted(set(starts))
    assert path[-1].end == max(span.end for span in timeline.steps_only(spans))
    assert path[0].start == 0


def test_run_without_steps_has_no_path() -> None:
    assert timeline.critical_path(timeline.spans({"nodes": []})) == []


def test_trace_is_a_document_of_complete_events() -> None:
    report = run_reports.failed()
    found = json.loads(json.dumps(trace(report)))
    assert found["otherData"] == {"id": "20261129101500", "started": run_reports.STARTED}
    threads = {
        item["tid"]: item["args"]["name"]
        for item in found["traceEvents"]
        if item["name"] == "thread_name"
    }
    assert list(threads.values()) == ["run", "cp-1", "cp-2", "infra-1", "worker-1", "cp-3"]
    events = [item for item in found["traceEvents"] if item["ph"] == "X"]
    assert len(events) == 1 + sum(len(node["steps"]) for node in report["nodes"])
    assert all(
        isinstance(item[key], int) and item[key] >= 0 for item in events for key in ("ts", "dur")
    )
    failed = [item for item in events if item.get("cname") == "terrible"]
    assert [(threads[item["tid"]], item["cat"]) for item in failed] == [
        ("cp-2", "deploy state"),
        ("cp-2", "step"),
    ]
    steps = [item for item in events if item["cat"] == "step"]
    last = max(steps, key=lambda item: item["ts"] + item["dur"])
    assert last["args"]["critical"] is True
