"""The verdict on real shapes of what ``state.orchestrate`` returns, taken from Salt 3006 to 3008."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain import verdict


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
NOT_RUN = state(2, "Verify", False, __state_ran__=False, comment="One or more requisite failed: Run kubelet", duration=None)
TRACEBACK = (
    "Exception occurred in runner state.orchestrate: Traceback (most recent call last):\n"
    '  File "/opt/salt/client/mixins.py", line 401, in low\n    data["return"] = func(*args, **kwargs)\n'
    "salt.exceptions.SaltClientError: The master is not running"
)


def test_success() -> None:
    answer = orchestrated(INSTALL, state(1, "Verify"))
    assert verdict.problems(answer) == []
    assert [(item.name, item.ok, item.elapsed, item.job) for item in verdict.states(answer)] == [
        ("Install", True, 1.5, "20250101000000000000"),
        ("Verify", True, 1.5, None),
    ]


def test_states_come_in_the_order_they_ran() -> None:
    answer = orchestrated(state(10, "c"), state(2, "b"), state(0, "a"))
    assert [item.name for item in verdict.states(answer)] == ["a", "b", "c"]


def test_under_test_true_nothing_failed() -> None:
    assert verdict.problems(orchestrated(state(0, "Install", None))) == []


def test_a_failed_inner_state_is_named_and_its_followers_are_not() -> None:
    answer = orchestrated(INSTALL, INNER_FAILURE, NOT_RUN, retcode=1)
    [problem] = verdict.problems(answer)
    assert "'Run kubelet'" in problem
    assert "on w-1, state 'Run b': Service b is dead" in problem
    assert "20250101000000000001" in problem
    assert "Run c" not in problem
    assert [(item.name, item.ok, item.ran) for item in verdict.states(answer)] == [
        ("Install", True, True), ("Run kubelet", False, True), ("Verify", False, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("failed", "words"),
    [
        pytest.param(state(0, "x", False, comment="The following requisites were not found"), "requisites", id="no requisite"),
        pytest.param(state(0, "x", False, comment="No minions responded"), "No minions responded", id="nobody"),
        pytest.param(state(0, "x", False, comment=TRACEBACK), "The master is not running", id="traceback"),
        pytest.param(state(0, "x", False, changes={"ret": {"w-1": ["Rendering SLS failed"]}}, comment="Run failed"), "Run failed", id="inner list"),
        pytest.param(state(0, "x", False, changes={"ret": {"w-1": False}}, comment="Run failed"), "Run failed", id="inner false"),
        pytest.param(state(0, "x", False, changes={"ret": None}, comment="c"), "c", id="no return"),
        pytest.param(state(0, "x", False, changes="text", comment="c"), "c", id="changes are text"),
        pytest.param({"result": False, "name": "x", "__id__": "x", "comment": "bare"}, "bare", id="nothing else"),
    ],
)  # fmt: skip
def test_a_failed_state(failed: dict[str, Any], words: str) -> None:
    [problem] = verdict.problems(orchestrated(failed, retcode=1))
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
def test_what_holds_no_states_is_no_success(answer: object, words: str) -> None:
    assert verdict.states(answer) == ()
    [problem] = verdict.problems(answer)
    assert words in problem
    assert "Traceback" not in problem


def test_a_return_code_without_a_failed_state_is_no_success() -> None:
    assert verdict.problems(orchestrated(INSTALL, retcode=2)) == ["the orchestration ended with the return code 2"]


@pytest.mark.parametrize(("duration", "seconds"), [(1500, 1.5), ("12.5 ms", 0.0125), (None, 0.0), ("", 0.0), ("soon", 0.0)])
def test_durations(duration: object, seconds: float) -> None:
    [found] = verdict.states(orchestrated(state(0, "x", duration=duration)))
    assert found.elapsed == seconds


def test_a_state_without_an_id_is_named_by_its_key() -> None:
    answer = {"data": {"m": {"salt_|-Install_|-x_|-state": {"result": True}, "odd": {"result": True}}}}
    assert [item.name for item in verdict.states(answer)] == ["Install", "odd"]


def test_long_comments_are_cut() -> None:
    [problem] = verdict.problems(orchestrated(state(0, "x", False, comment="y" * 5000)))
    assert len(problem) < 700
