"""A kubelet is late relative to the newest Lease; only a changed Lease proves that it runs."""

from __future__ import annotations

import pytest

from metalk8s_expand.domain.node import heartbeat
from metalk8s_expand.domain.node.heartbeat import Heartbeat


def beat(seconds: float, duration: float = 40.0) -> Heartbeat:
    return Heartbeat(f"at {seconds}", seconds, duration)


@pytest.mark.parametrize(
    ("age", "duration", "late"),
    [(0, 40, False), (10, 40, False), (15, 40, False), (16, 40, True), (16, 80, False)],
)
def test_kubelet_is_late_after_a_missed_renewal(age: float, duration: float, late: bool) -> None:
    beats = {"a": beat(1000), "b": beat(1000 - age, duration)}
    assert heartbeat.late(beats, ["a", "b"]) == ({"b"} if late else set())


def test_kubelet_without_lease_is_late() -> None:
    assert heartbeat.late({}, ["a"]) == {"a"}
    assert heartbeat.late({"a": beat(1)}, []) == set()


def test_every_changed_lease_is_a_renewal_whatever_its_time() -> None:
    """The clock of a node may be set back."""
    first = {"a": beat(10), "b": beat(10), "c": beat(10)}
    now = {"a": beat(5), "b": beat(10), "d": beat(1)}
    assert heartbeat.unrenewed(first, now, ["a", "b", "c", "d", "e"]) == ["b", "c", "e"]


def test_problem_names_the_node_and_its_last_renewal() -> None:
    assert "Node a is not Ready" in heartbeat.problem("a", {"a": beat(10)})
    assert heartbeat.problem("a", {"a": beat(10)}).endswith("last at at 10")
    assert "no Lease" in heartbeat.problem("a", {})
