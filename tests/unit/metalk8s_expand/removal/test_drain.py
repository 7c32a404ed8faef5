"""Tests that the drain waits for budgets and terminating Pods, and evicts no Pod twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from metalk8s_expand.clients.kubernetes import evictions
from metalk8s_expand.domain.removal.drain_rules import Allowed
from metalk8s_expand.domain.runs.lease_rules import LockLostError
from metalk8s_expand.errors import DeadlineError, DeployError
from metalk8s_expand.removal import drain
from tests.fakes.clock import FakeClock
from tests.fakes.pods import CLAIM, EMPTY, pod


class FakeApi:
    """Pods that take ``grace`` seconds to end, behind a budget that opens at a given time."""

    def __init__(self, clock: FakeClock, *pods: dict[str, Any], grace: float = 3.0) -> None:
        self.clock = clock
        self.pods = {item["metadata"]["name"]: item for item in pods}
        self.grace = grace
        self.opens = 0.0
        self.status = 201
        self.evicted: list[str] = []
        self.ends: dict[str, float] = {}
        self.attached: Callable[[], list[str]] = list
        self.volumes: dict[str, Any] = {}

    def listed(self, path: str, query: Any = None) -> list[dict[str, Any]]:
        if path == evictions.ATTACHMENTS:
            return [
                {"spec": {"nodeName": "w-1", "source": {"persistentVolumeName": name}}}
                for name in self.attached()
            ]
        for name in [name for name, end in self.ends.items() if end <= self.clock.time]:
            self.pods.pop(name, None)
        return list(self.pods.values())

    def answer(self, method: str, path: str, body: Any) -> tuple[int, str]:
        name = path.split("/")[-2]
        if self.clock.time < self.opens:
            return 429, "the budget web needs 1 and has 1"
        if self.status < 300:
            self.evicted.append(name)
            self.pods[name]["metadata"]["deletionTimestamp"] = "now"
            self.ends[name] = self.clock.time + self.grace
        return self.status, "told"

    def get(self, path: str) -> Any:
        return self.volumes.get(path)


def emptied(
    api: FakeApi, allowed: Allowed | None = None, timeout: float = 60.0, **more: Any
) -> int:
    options: dict[str, Any] = {"admit": lambda: None, "tell": lambda what: None, **more}
    return drain.drain_node(api, "w-1", allowed or Allowed(), timeout, clock=api.clock, **options)  # type: ignore[arg-type]


def test_every_pod_is_evicted_once_and_awaited(clock: FakeClock) -> None:
    api = FakeApi(clock, pod("a"), pod("b"), pod("ds", "DaemonSet"))
    started = clock.time
    assert emptied(api) == 2
    assert api.evicted == ["a", "b"]
    assert clock.time - started == 3
    assert emptied(api) == 0


def test_blocking_budget_is_awaited_and_reported(clock: FakeClock) -> None:
    api = FakeApi(clock, pod("a"))
    api.opens = clock.time + 20
    told: list[str] = []
    emptied(api, tell=told.append)
    assert api.evicted == ["a"]
    assert "ns/a is blocked: the budget web" in told[0]


def test_deadline_names_what_blocks_the_pods(clock: FakeClock) -> None:
    api = FakeApi(clock, pod("a"))
    api.opens = clock.time + 1000
    with pytest.raises(DeadlineError, match="the budget web") as raised:
        emptied(api, timeout=30)
    assert raised.value.node == "w-1"
    assert "drain_timeout_s" in (raised.value.hint or "")


def test_overlapping_budgets_end_drain_at_once(clock: FakeClock) -> None:
    api = FakeApi(clock, pod("a"))
    api.status = 500
    started = clock.time
    with pytest.raises(DeployError, match="500"):
        emptied(api)
    assert clock.time == started


@pytest.mark.parametrize(
    "late", [pod("late", ""), pod("late", "ReplicaSet", EMPTY), pod("late", "ReplicaSet", CLAIM)]
)
def test_late_pod_is_not_evicted(clock: FakeClock, late: dict[str, Any]) -> None:
    api = FakeApi(clock, late)
    api.volumes = {
        "/api/v1/namespaces/ns/persistentvolumeclaims/data": {"spec": {"volumeName": "pv"}},
        "/api/v1/persistentvolumes/pv": {"spec": {"local": {"path": "/x"}}},
    }
    with pytest.raises(drain.PodsRefusedError, match="may not be evicted"):
        emptied(api)
    assert api.evicted == []
    assert emptied(api, Allowed(True, True, True)) == 1


def test_terminating_pod_is_awaited_despite_its_data(clock: FakeClock) -> None:
    api = FakeApi(clock, pod("a", "", EMPTY, metadata={"deletionTimestamp": "then"}))
    api.ends["a"] = clock.time + 5
    assert emptied(api) == 1
    assert api.evicted == []


def test_run_that_lost_the_lock_evicts_no_pod(clock: FakeClock) -> None:
    api = FakeApi(clock, pod("a"))

    def lost() -> None:
        raise LockLostError("lost")

    with pytest.raises(LockLostError):
        emptied(api, admit=lost)
    assert api.evicted == []


def test_attached_volumes_are_awaited_and_then_reported(clock: FakeClock) -> None:
    api = FakeApi(clock)
    until = clock.time + 10
    api.attached = lambda: ["pv-1"] if clock.time < until else []
    ticks: list[int] = []
    assert drain.wait_for_volume_detach(api, "w-1", lambda: ticks.append(1), clock) == ""  # type: ignore[arg-type]
    assert len(ticks) == 10
    api.attached = lambda: ["pv-1"]
    assert "pv-1" in drain.wait_for_volume_detach(api, "w-1", lambda: None, clock)  # type: ignore[arg-type]
