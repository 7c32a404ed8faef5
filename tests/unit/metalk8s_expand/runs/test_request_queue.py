"""The request queue: concurrent writers, lost replies, and an unreachable API server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.runs.queue_rules import NAME, NAMESPACE
from metalk8s_expand.errors import UnreachableError
from metalk8s_expand.runs import request_queue
from tests.fakes.clock import FakeClock
from tests.fakes.kube import CONFIG_MAPS, FakeKube, down


@pytest.fixture
def api() -> Any:
    return FakeKube()


def stored(api: FakeKube) -> dict[str, str]:
    """Return the lines of the queue."""
    return dict((api.config_map(NAMESPACE, NAME) or {}).get("data") or {})


def test_hundred_equal_requests_are_one_line_and_one_write(api: Any, clock: FakeClock) -> None:
    changed = [request_queue.request(api, "w-1", clock=clock) for _ in range(100)]
    assert changed == [True] + [False] * 99
    assert len(api.writes) == 1
    assert stored(api) == {"w-1": '{"since":1000.0}'}


def test_oldest_request_comes_first(api: Any, clock: FakeClock) -> None:
    for name in ("w-2", "w-1", "w-3"):
        request_queue.request(api, name, clock=clock)
        clock.sleep(1)
    assert list(request_queue.read(api)) == ["w-2", "w-1", "w-3"]


def test_write_with_lost_reply_is_not_repeated(api: Any, clock: FakeClock) -> None:
    api.after = down(1)
    request_queue.request(api, "w-1", clock=clock)
    assert (list(stored(api)), len(api.writes)) == (["w-1"], 1)


def test_request_waits_for_restarting_api_server(api: Any, clock: FakeClock) -> None:
    api.fail = down(5)
    request_queue.request(api, "w-1", clock=clock)
    assert list(stored(api)) == ["w-1"]


def test_unreachable_api_server_is_reported_in_time(api: Any, clock: FakeClock) -> None:
    api.fail = down(10_000)
    with pytest.raises(UnreachableError):
        request_queue.request(api, "w-1", clock=clock)
    assert clock.time - 1000 < request_queue.PATIENCE_S + 1


def test_queue_deleted_during_write_is_created_again(
    api: Any, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_queue.request(api, "w-1", clock=clock)
    real = api.replace_config_map

    def deleted(*words: Any) -> Any:
        monkeypatch.setattr(api, "replace_config_map", real)
        api.objects[CONFIG_MAPS.format(NAMESPACE)].clear()
        return real(*words)

    monkeypatch.setattr(api, "replace_config_map", deleted)
    assert request_queue.request(api, "w-2", clock=clock)
    assert list(stored(api)) == ["w-2"]


def test_concurrent_requests_are_all_stored(api: Any) -> None:
    names = [f"w-{number % 5}" for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda name: request_queue.request(api, name, clock=Clock()), names))
    assert set(stored(api)) == set(names)
