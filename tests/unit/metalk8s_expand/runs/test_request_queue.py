"""Requests in a ConfigMap with the API's compare-and-swap: many writers, lost answers, an API that is away."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from metalk8s_expand.errors import UnreachableError
from metalk8s_expand.runs import request_queue
from tests.fakes.clock import FakeClock
from tests.fakes.queue import FakeQueue


@pytest.fixture
def api() -> Any:
    return FakeQueue()


def test_a_hundred_equal_requests_are_one_line_and_one_write(api: Any, clock: FakeClock) -> None:
    changed = [request_queue.request(api, "w-1", clock=clock) for _ in range(100)]
    assert changed == [True] + [False] * 99
    assert api.writes == 1
    assert api.lines == {"w-1": '{"since":1000.0}'}


def test_the_oldest_comes_first(api: Any, clock: FakeClock) -> None:
    for name in ("w-2", "w-1", "w-3"):
        request_queue.request(api, name, clock=clock)
        clock.sleep(1)
    assert list(request_queue.read(api)) == ["w-2", "w-1", "w-3"]


def test_a_write_whose_answer_was_lost_is_found(api: Any, clock: FakeClock) -> None:
    api.lost = 1
    request_queue.request(api, "w-1", clock=clock)
    assert (list(api.lines), api.writes) == (["w-1"], 1)


def test_an_api_that_restarts_is_waited_for(api: Any, clock: FakeClock) -> None:
    api.away = 5
    request_queue.request(api, "w-1", clock=clock)
    assert list(api.lines) == ["w-1"]


def test_an_api_that_stays_away_is_told_in_time(api: Any, clock: FakeClock) -> None:
    api.away = 10_000
    with pytest.raises(UnreachableError):
        request_queue.request(api, "w-1", clock=clock)
    assert clock.time - 1000 < request_queue.PATIENCE_S + 1


def test_it_was_deleted_meanwhile(
    api: Any, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_queue.request(api, "w-1", clock=clock)
    real = api.replace_config_map

    def deleted(*words: Any) -> Any:
        monkeypatch.setattr(api, "replace_config_map", real)
        api.stored = None
        return real(*words)

    monkeypatch.setattr(api, "replace_config_map", deleted)
    assert request_queue.request(api, "w-2", clock=clock)
    assert list(api.lines) == ["w-2"]


def test_many_at_once(api: Any) -> None:
    names = [f"w-{number % 5}" for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda name: request_queue.request(api, name), names))
    assert set(api.lines) == set(names)
