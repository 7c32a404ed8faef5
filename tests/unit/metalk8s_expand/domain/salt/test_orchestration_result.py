"""Problems in real returns of ``state.orchestrate``, recorded with Salt 3006 to 3008."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from metalk8s_expand.domain.salt import orchestration_result


def state(number: int, name: str, result: bool | None = True, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "changes": {}, "result": result, "comment": "", "__id__": name, "__run_num__": number,
        "__sls__": "metalk8s.orchestrate.deploy_node", "duration": 1500.0, "start_time": "10:00:00.000000", **more,
    }  # fmt: skip


def orchestrated(*states: dict[str, Any], retcode: int = 0) -> dict[str, Any]:
    keyed = {f"salt_|-{item['__id__']}_|-{item['name']}_|-state": item for item in states}
    return {"data": {"bootstrap_master": keyed}, "outputter": "highstate", "retcode": retcode}


INSTALL = state(0, "Install", __jid__="20250101000000000000", comment="States ran successfully.")
INNER_FAILURE = state(
    1, "Run kubelet", False, __jid__="20250101000000000001", comment="Run failed on minions: w-1",
    changes={"out": "highstate", "ret": {"w-1": {
        "file_|-a_|-a_|-managed": {"__id__": "Write a", "result": True, "comment": "ok", "__run_num__": 0},
        "service_|-b_|-b_|-running": {"__id__": "Run b", "result": False, "comment": "Service b\nis dead", "__run_num__": 1},
        "cmd_|-c_|-c_|-run": {"__id__": "Run c", "result": False, "comment": "One or more requisite failed: b",
                              "__run_num__": 2, "__state_ran__": False},
    }}},
)  # fmt: skip
NOT_RUN = state(
    2,
    "Verify",
    False,
    __state_ran__=False,
    comment="One or more requisite failed: Run kubelet",
    duration=None,
)
TRACEBACK = (
    "Exception occurred in runner state.orchestrate: Traceback (most recent call last):\n"
    '  File "/opt/salt/client/mixins.py", line 401, in low\n    data["return"] = func(*args, **kwargs)\n'
    "salt.exceptions.SaltClientError: The master is not running"
)


def test_successful_orchestration_has_no_problems() -> None:
    answer = orchestrated(INSTALL, state(1, "Verify"))
    assert orchestration_result.problems(answer) == []
    assert [
        (item.name, item.ok, item.elapsed, item.job) for item in orchestration_result.states(answer)
    ] == [
        ("Install", True, 1.5, "20250101000000000000"),
        ("Verify", True, 1.5, None),
    ]


def test_states_are_in_order_of_execution() -> None:
    answer = orchestrated(state(10, "c"), state(2, "b"), state(0, "a"))
    assert [item.name for item in orchestration_result.states(answer)] == ["a", "b", "c"]


def test_result_none_under_test_mode_is_no_failure() -> None:
    assert orchestration_result.problems(orchestrated(state(0, "Install", None))) == []


def without_mark(value: Any) -> Any:
    """Return the value as Salt before 3008 returns it."""
    if isinstance(value, dict):
        return {key: without_mark(item) for key, item in value.items() if key != "__state_ran__"}
    return value


@pytest.mark.parametrize("returned", [lambda answer: answer, without_mark], ids=["3008", "before"])
def test_failed_inner_state_is_named_without_its_dependents(
    returned: Callable[[Any], Any],
) -> None:
    answer = returned(orchestrated(INSTALL, INNER_FAILURE, NOT_RUN, retcode=1))
    [problem] = orchestration_result.problems(answer)
    assert "'Run kubelet'" in problem
    assert "on w-1, state 'Run b': Service b is dead" in problem
    assert "20250101000000000001" in problem
    assert "Run c" not in problem
    assert [(item.name, item.ok, item.ran) for item in orchestration_result.states(answer)] == [
        ("Install", True, True), ("Run kubelet", False, True), ("Verify", False, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("failed", "words"),
    [
        pytest.param(state(0, "x", False, comment="The following requisites were not found"), "requisites", id="no requisite"),
        pytest.param(state(0, "x", False, comment="No minions responded"), "No minions responded", id="nobody"),
        pytest.param(state(0, "x", False, comment=TRACEBACK), "The master is not running", id="traceback"),
        pytest.param(state(0, "x", False, changes={"ret": {"w-1": ["Rendering SLS failed"]}}, comment="Run failed"), "on w-1: Rendering SLS failed", id="inner list"),
        pytest.param(state(0, "x", False, changes={"ret": {"w-1": False}}, comment="Run failed"), "on w-1: it did not return", id="inner false"),
        pytest.param(state(0, "x", False, changes={"ret": None}, comment="c"), "c", id="no return"),
        pytest.param(state(0, "x", False, changes="text", comment="c"), "c", id="changes are text"),
        pytest.param({"result": False, "name": "x", "__id__": "x", "comment": "bare"}, "bare", id="nothing else"),
    ],
)  # fmt: skip
def test_failed_state_is_named_with_reason(failed: dict[str, Any], words: str) -> None:
    [problem] = orchestration_result.problems(orchestrated(failed, retcode=1))
    assert problem.startswith("state 'x': ")
    assert words in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param({"data": {"m": ["No matching sls found for 'x' in env 'metalk8s-2'"]}, "retcode": 1}, "No matching sls", id="missing SLS"),
        pytest.param({"data": {"m": ["Rendering SLS 'base:x' failed: Jinja variable 'y' is undefined"]}}, "undefined", id="rendering"),
        pytest.param({"m": ["Pillar failed to render"]}, "Pillar failed", id="not wrapped"),
        pytest.param(TRACEBACK, "SaltClientError: The master is not running", id="traceback"),
        pytest.param("", "no states", id="empty text"),
        pytest.param({}, "no states", id="empty"),
        pytest.param({"data": {"m": {}}, "retcode": 0}, "no states", id="no states at all"),
        pytest.param([], "no states", id="empty list"),
        pytest.param(None, "None", id="None"),
        pytest.param(False, "False", id="False"),
    ],
)  # fmt: skip
def test_return_without_states_is_a_problem(answer: object, words: str) -> None:
    assert orchestration_result.states(answer) == ()
    [problem] = orchestration_result.problems(answer)
    assert words in problem
    assert "Traceback" not in problem


def test_return_code_without_failed_state_is_a_problem() -> None:
    assert orchestration_result.problems(orchestrated(INSTALL, retcode=2)) == [
        "the orchestration ended with the return code 2"
    ]


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [(1500, 1.5), ("12.5 ms", 0.0125), (None, 0.0), ("", 0.0), ("soon", 0.0)],
)
def test_durations_are_in_seconds(duration: object, seconds: float) -> None:
    [found] = orchestration_result.states(orchestrated(state(0, "x", duration=duration)))
    assert found.elapsed == seconds


def test_state_without_id_is_named_by_key() -> None:
    answer = {
        "data": {"m": {"salt_|-Install_|-x_|-state": {"result": True}, "odd": {"result": True}}}
    }
    assert [item.name for item in orchestration_result.states(answer)] == ["Install", "odd"]


def test_lines_of_unrendered_file_are_not_shown() -> None:
    """The lines may contain secrets."""
    said = "Rendering SLS 'x' failed: Jinja variable 'y' is undefined; line 3\n\n---\n[...]\npassword: hunter2    <======\n---"
    failed = state(
        0,
        "x",
        False,
        changes={"ret": {"w-1": [said]}},
        comment=f"Run failed on minions: w-1\n{said}",
    )
    for answer in (
        orchestrated(failed),
        {"data": {"m": [said]}, "retcode": 1},
        {"data": {"m": said}, "retcode": 1},
    ):
        [problem] = orchestration_result.problems(answer)
        assert "hunter2" not in problem
        assert "'y' is undefined; line 3" in problem


def test_long_comments_are_truncated() -> None:
    [problem] = orchestration_result.problems(
        orchestrated(state(0, "x", False, comment="y" * 5000))
    )
    assert len(problem) < 700


def nested(
    returned: Any, result: bool = True, comment: str = "Runner function 'x' executed."
) -> dict[str, Any]:
    """Return the state of a runner as Salt reports it."""
    return state(
        0, "Register etcd", result, changes={"return": returned}, comment=comment, __jid__="42"
    )


INVALID = "\nPassed invalid arguments: wait() got an unexpected keyword argument 'tgt'\n\nUsage:\n\n    Wait for minions."


@pytest.mark.parametrize(
    ("returned", "result", "words"),
    [
        pytest.param(orchestrated(state(0, "Add member", False, comment="no quorum"), NOT_RUN, retcode=1), False, "state 'Add member': no quorum", id="failed state"),
        pytest.param(orchestrated(state(0, "Add member", False, comment="no quorum"), retcode=1), True, "state 'Add member': no quorum", id="called a success"),
        pytest.param(orchestrated(INSTALL, INNER_FAILURE, retcode=1), True, "on w-1, state 'Run b': Service b is dead", id="two levels down"),
        pytest.param({"data": {"m": ["No matching sls found for 'x'"]}, "outputter": "highstate", "retcode": 1}, False, "No matching sls found for 'x'", id="missing SLS"),
        pytest.param(INVALID, True, "Passed invalid arguments: wait() got an unexpected keyword argument 'tgt'", id="TypeError"),
        pytest.param({"retcode": 1, "errors": ["w-1 is not ready", "w-2 neither"]}, True, "w-1 is not ready; w-2 neither", id="retcode in the value"),
        pytest.param({"result": False, "error": "Minion failed to respond"}, True, "Minion failed to respond", id="result in the value"),
        pytest.param("Exception occurred in runner x: Traceback (most recent call last):\n  File\nKeyError: 'a'", False, "KeyError: 'a'", id="raised"),
        pytest.param(None, False, "Runner function 'x' executed", id="nothing"),
    ],
)  # fmt: skip
def test_runner_that_failed_is_a_problem(returned: Any, result: bool, words: str) -> None:
    answer = orchestrated(nested(returned, result))
    [problem] = orchestration_result.problems(answer)
    assert problem.startswith("state 'Register etcd': ")
    assert words in problem
    assert "(job 42)" in problem
    assert "Usage" not in problem
    assert "Traceback" not in problem
    assert [item.ok for item in orchestration_result.states(answer)] == [False]


@pytest.mark.parametrize(
    "returned",
    [
        True, None, [], ["w-1"], "text", {}, {"result": True, "comment": "all responded"}, {"retcode": 0, "errors": []}, {"w-1": False},
        orchestrated(INSTALL), {"data": {"m": {}}, "outputter": "highstate", "retcode": 0}, {"data": "text"},
    ],
)  # fmt: skip
def test_runner_that_succeeded_is_no_problem(returned: Any) -> None:
    assert orchestration_result.problems(orchestrated(nested(returned))) == []


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        pytest.param({"w-1": False}, "on w-1: it did not return, or returned False", id="no return"),
        pytest.param({"w-1": "The minion function caused an exception: Traceback (most recent call last):\nKeyError: 'x'"}, "on w-1: KeyError: 'x'", id="raised"),
        pytest.param({"w-1": "'metalk8s.check_pillar_keys' is not available."}, "is not available", id="no such function"),
        pytest.param({"w-1": True, "w-2": False}, "on w-2: it did not return", id="one of two"),
        pytest.param({"w-1": {"retcode": 1}}, "failed on minions: w-1", id="a mapping"),
    ],
)  # fmt: skip
def test_function_that_failed_is_a_problem(returned: Any, words: str) -> None:
    failed = state(
        0,
        "Check",
        False,
        changes={"ret": returned},
        comment="Running function x failed on minions: w-1",
    )
    [problem] = orchestration_result.problems(orchestrated(failed, retcode=1))
    assert words in problem


def test_tolerated_failure_of_minion_is_no_problem() -> None:
    """Salt reports success for a state that tolerates failures.

    MetalK8s, for example, kills controllers on nodes that may have none.
    """
    tolerated = state(
        0, "Kill", True, changes={"ret": {"cp-1": False}}, comment="Function ran successfully."
    )
    assert orchestration_result.problems(orchestrated(tolerated)) == []


def test_state_without_target_minions_is_a_problem() -> None:
    failed = state(0, "Check", False, comment="No minions responded")
    assert orchestration_result.problems(orchestrated(failed)) == [
        "state 'Check': No minions responded"
    ]
