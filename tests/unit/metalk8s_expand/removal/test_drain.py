"""Tests that the drain waits for budgets and terminating Pods, and evicts no Pod twice."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.clients.kubernetes import evictions
from metalk8s_expand.domain.removal.drain_rules import Allowed
from metalk8s_expand.domain.runs.lease_rules import LockLostError
from metalk8s_expand.errors import DeadlineError, DeployError
from metalk8s_expand.removal import drain
from tests.fakes.clock import FakeClock
from tests.fakes.kube import PODS, FakeKube
from tests.fakes.pods import CLAIM, EMPTY, pod


class DrainedKube(FakeKube):
    """Pods of w-1 that take ``grace`` seconds to end, behind a budget that opens at a given time."""

    def __init__(self, clock: FakeClock, *pods: dict[str, Any], grace: float = 3.0) -> None:
        super().__init__(clock=clock)
        for item in pods:
            self.put_pod(item, "w-1")
        self.grace = grace
        self.opens = 0.0
        self.status = 201
        self.evicted: list[str] = []
        self.ends: dict[str, float] = {}

    def listed(self, path: str, query: Any = None, slim: Any = None) -> list[dict[str, Any]]:
        pods = self.objects[PODS.format("ns")]
        for name in [name for name, end in self.ends.items() if end <= self.clock.monotonic()]:
            pods.pop(name, None)
        return super().listed(path, query, slim)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, str]:
        name = path.split("/")[-2]
        if self.clock.monotonic() < self.opens:
            return 429, "the budget web needs 1 and has 1"
        if self.status < 300:
            self.evicted.append(name)
            self.objects[PODS.format("ns")][name]["metadata"]["deletionTimestamp"] = "now"
            self.ends[name] = self.clock.monotonic() + self.grace
        return self.status, "told"


def attach(api: FakeKube, volume: str) -> None:
    """Attach a volume to w-1."""
    spec = {"nodeName": "w-1", "source": {"persistentVolumeName": volume}}
    api.put(evictions.ATTACHMENTS, {"metadata": {"name": volume}, "spec": spec})


def emptied(
    api: DrainedKube, allowed: Allowed | None = None, timeout: float = 60.0, **more: Any
) -> int:
    options: dict[str, Any] = {"admit": lambda: None, "tell": lambda what: None, **more}
    return drain.drain_node(api, "w-1", allowed or Allowed(), timeout, clock=api.clock, **options)


def test_every_pod_is_evicted_once_and_awaited(clock: FakeClock) -> None:
    api = DrainedKube(clock, pod("a"), pod("b"), pod("ds", "DaemonSet"))
    started = clock.time
    assert emptied(api) == 2
    assert api.evicted == ["a", "b"]
    assert clock.time - started == 3
    assert emptied(api) == 0


def test_blocking_budget_is_awaited_and_reported(clock: FakeClock) -> None:
    api = DrainedKube(clock, pod("a"))
    api.opens = clock.time + 20
    told: list[str] = []
    emptied(api, tell=told.append)
    assert api.evicted == ["a"]
    assert "ns/a is blocked: the budget web" in told[0]


def test_deadline_names_what_blocks_the_pods(clock: FakeClock) -> None:
    api = DrainedKube(clock, pod("a"))
    api.opens = clock.time + 1000
    with pytest.raises(DeadlineError, match="the budget web") as raised:
        emptied(api, timeout=30)
    assert raised.value.node == "w-1"
    assert "drain_timeout_s" in (raised.value.hint or "")


def test_overlapping_budgets_end_drain_at_once(clock: FakeClock) -> None:
    api = DrainedKube(clock, pod("a"))
    api.status = 500
    started = clock.time
    with pytest.raises(DeployError, match="500"):
        emptied(api)
    assert clock.time == started


@pytest.mark.parametrize(
    "late", [pod("late", ""), pod("late", "ReplicaSet", EMPTY), pod("late", "ReplicaSet", CLAIM)]
)
def test_late_pod_is_not_evicted(clock: FakeClock, late: dict[str, Any]) -> None:
    api = DrainedKube(clock, late)
    claim = {"metadata": {"name": "data"}, "spec": {"volumeName": "pv"}}
    api.put("/api/v1/namespaces/ns/persistentvolumeclaims", claim)
    volume = {"metadata": {"name": "pv"}, "spec": {"local": {"path": "/x"}}}
    api.put("/api/v1/persistentvolumes", volume)
    with pytest.raises(drain.PodsRefusedError, match="may not be evicted"):
        emptied(api)
    assert api.evicted == []
    assert emptied(api, Allowed(True, True, True)) == 1


def test_terminating_pod_is_awaited_despite_its_data(clock: FakeClock) -> None:
    api = DrainedKube(clock, pod("a", "", EMPTY, metadata={"deletionTimestamp": "then"}))
    api.ends["a"] = clock.time + 5
    assert emptied(api) == 1
    assert api.evicted == []


def test_run_that_lost_the_lock_evicts_no_pod(clock: FakeClock) -> None:
    api = DrainedKube(clock, pod("a"))

    def lost() -> None:
        raise LockLostError("lost")

    with pytest.raises(LockLostError):
        emptied(api, admit=lost)
    assert api.evicted == []


def test_attached_volumes_are_awaited_and_then_reported(clock: FakeClock) -> None:
    api = DrainedKube(clock)
    attach(api, "pv-1")
    started = clock.time
    ticks: list[int] = []

    def tick() -> None:
        ticks.append(1)
        if len(ticks) == 10:
            api.objects[evictions.ATTACHMENTS].clear()

    assert drain.wait_for_volume_detach(api, "w-1", tick, clock) == ""
    assert (len(ticks), clock.time - started) == (10, 10)
    attach(api, "pv-1")
    assert "pv-1" in drain.wait_for_volume_detach(api, "w-1", lambda: None, clock)
