"""Every error has an exit code, and its text states action, node, finding and remedy."""

from __future__ import annotations

import json
import pickle

import pytest

from metalk8s_expand import errors


@pytest.mark.parametrize(
    ("name", "retcode", "retry"),
    [
        ("ExpandError", 1, False),
        ("SettingsError", 2, False),
        ("PreflightError", 3, False),
        ("UnreachableError", 4, True),
        ("ConflictError", 5, True),
        ("QuorumError", 6, True),
        ("DeadlineError", 7, True),
        ("DeployError", 8, False),
        ("LockedError", 9, True),
    ],
)
def test_errors_have_retcode_and_retry(name: str, retcode: int, retry: bool) -> None:
    error = getattr(errors, name)("m")
    assert (error.retcode, error.retry) == (retcode, retry)
    assert isinstance(error, errors.ExpandError)
    assert error.as_dict()["type"] == name


def test_text_contains_all_fields() -> None:
    problem = errors.Problem("a:b", 0, "is not a port", "write one")
    error = errors.DeployError(
        "state x failed",
        node="w-1",
        hint="mend it",
        log="/var/log/x",
        job="42",
        problems=[problem, "p2"],
    )
    assert str(error).splitlines() == [
        "node w-1: state x failed",
        "  - a:b: is not a port (found 0); write one",
        "  - p2",
        "  do next: mend it",
        "  job: 42",
        "  log: /var/log/x",
    ]


def test_text_of_bare_message_is_message() -> None:
    assert str(errors.ExpandError("m")) == "m"


def test_dict_with_odd_values_is_json() -> None:
    error = errors.SettingsError("m", problems=[errors.Problem("a", {1, 2}, "is odd"), "text"])
    found = json.loads(json.dumps(error.as_dict()))
    assert found["problems"][0]["value"] == "{1, 2}"
    assert found["problems"][1] == "text"
    assert found["text"] == str(error)


def test_errors_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(errors.QuorumError("m", node="n", problems=["p"])))
    assert (error.message, error.node, error.problems) == ("m", "n", ("p",))


def test_error_is_one_line_as_a_problem_of_another() -> None:
    """Lines inside of a problem would be printed as escapes."""
    inner = errors.UnreachableError(
        "no route", node="w-1", hint="check the address", log="sshd's log"
    )
    assert inner.as_problem == "node w-1: no route; do next: check the address; log: sshd's log"
    assert "\\n" not in str(errors.UnreachableError("not every host", problems=[inner.as_problem]))
    assert errors.UnreachableError("no route", problems=["a", "b"]).as_problem == "no route: a; b"
