"""The result of a state is the result of the run; any value that is not a report is a failure."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain.reports import state_result
from tests.fakes.reports import PLAN, REPORT, planned


def reported(name: str, *steps: tuple[str, bool], error: Any = None) -> dict[str, Any]:
    found = [{"name": step, "ok": ok, "elapsed": 1.0} for step, ok in steps]
    return {"name": name, "ok": error is None, "steps": found, "skipped": None, "error": error}


def state(answer: Any) -> tuple[Any, Any, str]:
    found = state_result.state_result("n", answer)
    assert (found["name"], set(found)) == ("n", {"name", "result", "changes", "comment"})
    return found["result"], found["changes"], found["comment"]


def test_run_without_steps_succeeds_without_changes() -> None:
    result, changes, comment = state(REPORT)
    assert (result, changes) == (True, {})
    assert "w-1: nothing to change" in comment


def test_run_lists_finished_steps_as_changes() -> None:
    done = reported(
        "w-1",
        ("check_ssh, preflight", True),
        ("register", True),
        ("deploy: Install", True),
        ("deploy", True),
        ("verify", True),
    )
    assert state({**REPORT, "nodes": [done, reported("w-2")]})[:2] == (
        True,
        {"w-1": ["register", "deploy"]},
    )


def test_failed_run_lists_started_steps_as_changes() -> None:
    error = {"text": "node w-1: it broke", "node": "w-1", "message": "it broke"}
    broken = reported("w-1", ("register", True), ("deploy", False), error=error)
    result, changes, comment = state({**REPORT, "ok": False, "retcode": 8, "nodes": [broken]})
    assert (result, changes) == (False, {"w-1": ["register", "deploy: failed"]})
    assert "w-1: it broke" in comment


def test_dry_run_with_steps_has_no_result_and_lists_changes() -> None:
    result, changes, comment = state(
        {
            **PLAN,
            "workers": [planned("w-2", "check_ssh", "register", "deploy", "verify", "uncordon")],
        }
    )
    assert (result, changes) == (None, {"w-2": ["register", "deploy", "uncordon"]})
    assert "would start" in comment


def test_dry_run_without_steps_succeeds() -> None:
    assert state(PLAN)[:2] == (True, {})


def test_dry_run_with_refusal_fails() -> None:
    refusal = {"text": "not every host can be reached", "retcode": 4}
    answer = {**PLAN, "workers": [planned("w-2", "register")], "refusal": refusal, "retcode": 4}
    result, changes, comment = state(answer)
    assert (result, changes) == (False, {})
    assert comment.startswith(
        "expand would be refused (exit code 4): not every host can be reached"
    )
    assert " ".join(comment.split()).endswith("The run itself would be refused, as above.")


@pytest.mark.parametrize("error", [{"text": "locked", "message": "m"}, "locked"])
def test_error_of_runner_fails_with_its_text(error: Any) -> None:
    assert state({"retcode": 9, "error": error}) == (False, {}, "locked")


@pytest.mark.parametrize(
    "answer",
    [None, True, "Passed invalid arguments", "'metalk8s_expand.expand' is not available.", [], {}, {"text": "run 1 succeeded"},
     {"retcode": 0}, 0],
)  # fmt: skip
def test_answer_that_is_no_report_fails(answer: Any) -> None:
    result, changes, comment = state(answer)
    assert (result, changes) == (False, {})
    assert comment.startswith("the runner returned no report: ")
