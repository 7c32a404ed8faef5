"""Events of a run have the tags and payloads that the documentation promises."""

from __future__ import annotations

import json

from metalk8s_expand.domain.runs import events
from metalk8s_expand.domain.runs.events import NodeStep, RunEnd
from metalk8s_expand.errors import DeployError


def test_step_event_has_tag_and_payload() -> None:
    tag, payload = events.step(NodeStep("20260101000000", "w-1", "deploy"), events.STARTED)
    assert tag == "metalk8s_expand/20260101000000/w-1/deploy"
    assert payload == {
        "expansion": "20260101000000", "node": "w-1", "step": "deploy", "state": "started", "elapsed_s": 0.0, "job": None,
        "error": None,
    }  # fmt: skip


def test_failed_step_event_has_short_error_without_problems() -> None:
    error = DeployError("it broke" + "x" * 10_000, problems=["a secret of a state"], hint="h")
    deploy = NodeStep("1", "w-1", "deploy")
    _, payload = events.step(deploy, events.FAILED, 1.23456, "2", error)
    assert (payload["elapsed_s"], payload["job"]) == (1.235, "2")
    assert {**payload["error"], "message": ""} == {
        "type": "DeployError",
        "retcode": 8,
        "message": "",
    }
    assert len(payload["error"]["message"]) == events.LONGEST
    assert "secret" not in json.dumps(payload)


def test_unexpected_error_event_hides_its_values() -> None:
    verify = NodeStep("1", "w-1", "verify")
    _, payload = events.step(verify, events.FAILED, error=ValueError("-----BEGIN PRIVATE KEY"))
    assert payload["error"] == {
        "type": "ValueError", "retcode": 1, "message": "unexpected; the traceback is in the master's log"
    }  # fmt: skip


def test_run_events_have_tags_and_payloads() -> None:
    tag, payload = events.started("1", "expand " + "w-1, " * 1000, "boot")
    assert tag == "metalk8s_expand/1/started"
    assert len(payload["doing"]) == events.LONGEST
    tag, payload = events.ended("1", "expand w-1", RunEnd("ended", 12.0, 8))
    assert tag == "metalk8s_expand/1/ended"
    assert payload == {
        "expansion": "1", "doing": "expand w-1", "outcome": "ended", "elapsed_s": 12.0, "retcode": 8, "error": None
    }  # fmt: skip
