"""Rules of the queue: what is stored of any request, and when the worker tries it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalk8s_expand.domain.runs import queue_rules
from metalk8s_expand.domain.runs.queue_rules import ATTEMPTS, Request
from metalk8s_expand.errors import SettingsError

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def test_hundred_equal_requests_are_one_request() -> None:
    requests: dict[str, Request] = {}
    for moment in range(100):
        requests = queue_rules.with_request(requests, "w-1", 1000.0 + moment)
    assert requests == {"w-1": Request("w-1", 1000.0)}


@given(ANYTHING)
def test_name_is_valid_or_refused_in_short_ascii_message(value: Any) -> None:
    try:
        found = queue_rules.name(value)
    except SettingsError as error:
        assert len(error.message) < 300 + 5 * queue_rules.SHOWN
        assert error.message.isascii() and error.message.isprintable()
    else:
        assert (
            found == str(value)
            and len(found) <= 63
            and set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
        )


@pytest.mark.parametrize(
    "value",
    [10**5000, "a" * 10**6, "w-1\nw-2", "W-1", "localhost", "", True, b"w-1", "w-1 "],
    ids=lambda value: type(value).__name__,
)
def test_invalid_name_is_refused(value: Any) -> None:
    with pytest.raises(SettingsError, match="is refused"):
        queue_rules.name(value)


@given(
    st.text()
    | st.dictionaries(
        st.sampled_from(["since", "attempts", "last", "error", "node"]), ANYTHING
    ).map(str)
)
def test_damaged_line_is_still_a_request(stored: str) -> None:
    found = queue_rules.parse("w-1", stored)
    assert found.node == "w-1"
    assert found.attempts <= ATTEMPTS
    found.is_due(1e9)


@pytest.mark.parametrize(
    "stored",
    ['{"since":NaN}', '{"last":1e999}', '{"attempts":-1}', '{"attempts":Infinity}', "[]", "7"],
)
def test_invalid_numbers_reset_request(stored: str) -> None:
    assert queue_rules.parse("w-1", stored) == Request("w-1", 0.0)


@given(
    st.floats(0, 1e11), st.integers(0, ATTEMPTS), st.floats(0, 1e11),
    st.text("abc .:", max_size=queue_rules.LONGEST).map(lambda text: " ".join(text.split())),
)  # fmt: skip
def test_request_survives_serialization(
    since: float, attempts: int, last: float, error: str
) -> None:
    request = Request("w-1", since, attempts, last, error)
    assert queue_rules.parse("w-1", queue_rules.line(request)) == request


def test_pauses_grow_until_request_is_parked() -> None:
    request, now, waited = Request("w-1", 1000.0), 1000.0, []
    while not request.parked:
        assert request.is_due(now)
        request = request.begun(now).failed("it broke")
        assert not request.is_due(now)
        if not request.parked:
            waited.append(request.due_at - now)
            assert not request.is_due(request.due_at - 1)
        now = request.due_at
    assert waited == [60, 120, 240, 480]
    assert not request.is_due(now + 1e9)
    assert queue_rules.with_request({"w-1": request}, "w-1", now)["w-1"] is request, (
        "an event does not try again what has failed"
    )
    assert queue_rules.with_request({"w-1": request}, "w-1", now, retry=True)["w-1"].is_due(now)


def test_clock_set_back_does_not_delay_request() -> None:
    assert Request("w-1", 9000.0, 1, 9000.0, "it broke").is_due(100.0)


def test_error_is_stored_short_and_in_ascii() -> None:
    found = Request("w-1", 0.0).failed("line 1\nline 2 \x1b[2J é" + "x" * 1000)
    assert len(found.error) == queue_rules.LONGEST
    assert found.error.isascii() and "\n" not in found.error
    thousand = {
        f"{number:063d}": Request(f"{number:063d}", 1e9, 5, 1e9, found.error)
        for number in range(2500)
    }
    assert len(queue_rules.lines(thousand)) == 2500
    with pytest.raises(SettingsError, match="is full"):
        queue_rules.lines({f"{number:063d}": found for number in range(10_000)})


def test_request_for_undeclared_node_is_dropped() -> None:
    requests = {name: Request(name, 0.0) for name in ("w-1", "gone")}
    assert list(queue_rules.declared_only(requests, ["w-1", "w-2"])) == ["w-1"]


def test_text_shows_state_of_each_request() -> None:
    waiting = Request("w-1", 0.0)
    failing = Request("w-2", 0.0, 2, 5.0, "it broke")
    parked = Request("w-3", 0.0, ATTEMPTS, 5.0, "it broke")
    text = queue_rules.text(request.as_dict() for request in (waiting, failing, parked))
    assert "w-1: waiting\n" in text
    assert "w-2: attempt 2 of 5: it broke; the worker will retry it" in text
    assert "salt-run metalk8s_expand.request w-3 retry=True" in text
    assert queue_rules.text([]) == ""
    assert waiting.failed("the API is away").as_dict()["error"] == "the API is away"
    assert queue_rules.text([waiting.failed("the API is away").as_dict()]).endswith(
        "w-1: waiting: the API is away"
    )
