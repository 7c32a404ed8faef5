"""The result of a runner function and the context always agree."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from salt.exceptions import CommandExecutionError, SaltClientError
from salt.utils.args import get_function_argspec

from metalk8s_expand.boundary import is_for_people, roster_boundary, runner_boundary
from metalk8s_expand.errors import QuorumError, SettingsError


def _raise(error: BaseException) -> Any:
    raise error


@pytest.fixture
def context() -> dict[str, Any]:
    return {"retcode": 77}


@pytest.mark.parametrize(
    ("body", "retcode"),
    [
        (lambda: _raise(QuorumError("m")), 6),
        (lambda: _raise(TypeError("t")), 1),
        (lambda: len(5), 1),  # type: ignore[arg-type]
        (lambda: _raise(KeyError("k")), 1),
        (lambda: _raise(CommandExecutionError("c")), 1),
    ],
)
def test_failures_set_result_and_context(context: dict[str, Any], body: Any, retcode: int) -> None:
    result = runner_boundary(lambda: context)(body)()
    assert result["retcode"] == context["retcode"] == retcode
    assert result["error"]["message"]


@pytest.mark.parametrize(
    ("result", "retcode"),
    [
        ({"a": 1}, 0),
        ("text", 0),
        (None, 0),
        ({"retcode": 0}, 0),
        ({"retcode": 3}, 3),
        ({"retcode": "x"}, 0),
    ],
)
def test_results_are_returned_and_set_context(
    context: dict[str, Any], result: Any, retcode: int
) -> None:
    assert runner_boundary(lambda: context)(lambda: result)() is result
    assert context["retcode"] == retcode


@pytest.mark.parametrize(("cli", "frozen"), [("salt-run", 1), ("salt-master", 0), (None, 0)])
def test_loaded_objects_are_kept_from_garbage_collection_in_a_short_process(
    context: dict[str, Any], monkeypatch: pytest.MonkeyPatch, cli: str | None, frozen: int
) -> None:
    """A process that serves many calls would keep the garbage of each."""
    calls: list[str] = []
    monkeypatch.setattr(gc, "freeze", lambda: calls.append("frozen"))
    opts = {"__cli": cli, "output": "json"}
    runner_boundary(lambda: context, lambda: opts)(lambda: None)()
    assert len(calls) == frozen


def test_wrong_arguments_are_distinguished_from_defect(context: dict[str, Any]) -> None:
    @runner_boundary(lambda: context)
    def add_node(name: str) -> None: ...

    found = add_node(nome="x")  # type: ignore[call-arg]
    assert found is not None
    assert found["retcode"] == context["retcode"] == 2
    assert found["error"]["message"].startswith("add_node: invalid arguments")
    assert [(item["path"], item["message"], item["remedy"]) for item in found["error"]["problems"]] == [
        ("nome", "is an unknown argument", "did you mean name? known: name"),
    ]  # fmt: skip


def test_defect_logs_its_traceback(
    context: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    runner_boundary(lambda: context)(lambda: {}["absent"])()
    assert "Traceback" in caplog.text


def test_process_exit_exceptions_are_not_caught(context: dict[str, Any]) -> None:
    with pytest.raises(KeyboardInterrupt):
        runner_boundary(lambda: context)(lambda: _raise(KeyboardInterrupt()))()


def test_signature_of_function_is_visible_to_salt(context: dict[str, Any]) -> None:
    @runner_boundary(lambda: context)
    def expand(names: Any = None, skip_failed: bool = False, **kwargs: Any) -> None:
        """Doc."""

    spec = get_function_argspec(expand)
    assert (spec.args, spec.defaults, spec.keywords) == (
        ["names", "skip_failed"],
        (None, False),
        "kwargs",
    )
    assert (expand.__name__, expand.__doc__) == ("expand", "Doc.")


def test_unknown_arguments_are_left_to_boundary_by_salt(context: dict[str, Any]) -> None:
    @runner_boundary(lambda: context)
    def expand(names: Any = None) -> None: ...

    assert get_function_argspec(expand).keywords == "kwargs"


@pytest.mark.parametrize("error", [SettingsError("m"), OSError("m")])
def test_roster_error_becomes_salt_client_error(error: Exception) -> None:
    with pytest.raises(SaltClientError, match="m"):
        roster_boundary(lambda: _raise(error))()


@pytest.mark.parametrize(
    ("opts", "direct"),
    [
        ({"__cli": "salt-run"}, True),
        ({"__cli": "salt-run", "fun": "metalk8s_expand.expand"}, True),
        ({"__cli": "salt-run", "fun": "metalk8s_expand.expand", "output": "json"}, False),
        ({"__cli": "salt-run", "fun": "state.orchestrate"}, False),
        ({"__cli": "salt-master", "fun": "metalk8s_expand.expand"}, False),
        ({}, False),
    ],
)
def test_output_for_people_is_detected(opts: dict[str, Any], direct: bool) -> None:
    assert is_for_people(opts) is direct
