"""Every wait is bounded, and its error carries the last reason."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from metalk8s_expand.clients.host.clock import Clock, Wait, wait_until
from metalk8s_expand.errors import (
    ConflictError,
    DeadlineError,
    DeployError,
    SettingsError,
    UnreachableError,
)
from tests.fakes.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def raising(error: Exception) -> Callable[[], list[str]]:
    def ask() -> list[str]:
        raise error

    return ask


def test_at_once(clock: FakeClock) -> None:
    assert wait_until(Wait("x", 10), list, clock) == 0
    assert clock.time == 1000


def test_after_a_while(clock: FakeClock) -> None:
    left = [["a"], ["b"], []]
    assert wait_until(Wait("x", 10, interval=2), lambda: left.pop(0), clock) == 4


def test_the_last_reason_is_told(clock: FakeClock) -> None:
    reasons = iter([["first"], *([["last", "and least"]] * 100)])
    with pytest.raises(
        DeadlineError, match="waited 5 s for the thing\n  - last\n  - and least"
    ) as error:
        wait_until(Wait("the thing", 5, node="n", hint="h", log="l"), lambda: next(reasons), clock)
    assert (error.value.node, error.value.hint, error.value.log) == ("n", "h", "l")
    assert error.value.problems == ("last", "and least")
    assert clock.time == 1005


def test_wait_without_time_asks_once(clock: FakeClock) -> None:
    assert wait_until(Wait("x", 0), list, clock) == 0
    with pytest.raises(DeadlineError):
        wait_until(Wait("x", 0), lambda: ["no"], clock)


def test_an_error_that_may_pass_is_a_reason(clock: FakeClock) -> None:
    found: list[Exception] = [UnreachableError("down"), ConflictError("busy")]

    def ask() -> list[str]:
        if found:
            raise found.pop(0)
        return []

    assert wait_until(Wait("x", 10, interval=1), ask, clock) == 2


def test_such_an_error_is_told_at_the_end(clock: FakeClock) -> None:
    with pytest.raises(DeployError, match="waited 3 s for x\n  - down"):
        wait_until(Wait("x", 3, error=DeployError), raising(UnreachableError("down")), clock)


@pytest.mark.parametrize("error", [SettingsError("never"), ZeroDivisionError("defect")])
def test_an_error_that_cannot_pass_ends_the_wait(clock: FakeClock, error: Exception) -> None:
    with pytest.raises(type(error)):
        wait_until(Wait("x", 10), raising(error), clock)
    assert clock.time == 1000


def test_a_slow_question_counts(clock: FakeClock) -> None:
    def slow() -> list[str]:
        clock.sleep(4)
        return ["no"]

    with pytest.raises(DeadlineError):
        wait_until(Wait("x", 10, interval=5), slow, clock)
    assert clock.time - 1000 <= 10 + 4


def test_the_real_clock() -> None:
    clock = Clock()
    assert abs(clock.now() - time.time()) < 5
    before = clock.monotonic()
    clock.sleep(0.01)
    assert clock.monotonic() > before
    with pytest.raises(DeadlineError):
        wait_until(Wait("x", 0.05, interval=0.01), lambda: ["no"], Clock())
