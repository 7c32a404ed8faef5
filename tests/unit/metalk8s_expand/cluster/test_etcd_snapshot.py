"""Tests of when a snapshot is taken and what stops a run.

Real members test the files and streams.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from metalk8s_expand.clients.etcd.api import Etcd
from metalk8s_expand.cluster import etcd_snapshot
from metalk8s_expand.domain.declaration.settings import Settings, parse
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.etcd.snapshot_policy import SnapshotSettings
from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.errors import QuorumError, UnreachableError
from tests.fakes.clock import FakeClock

NODES = {
    "cp-1": {"profile": "control-plane", "address": "10.0.0.1"},
    "w-1": {"profile": "worker", "address": "10.0.0.2"},
}
DECLARED = parse({"defaults": {"version": "1"}, "nodes": NODES})


class World:
    """A context with an etcd, or without; ``asked`` counts the accesses."""

    def __init__(self, etcd: object | None) -> None:
        self.etcd, self.asked = etcd, 0

    def access(self) -> Any:
        self.asked += 1
        return self


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []

    def take(etcd: Etcd, settings: SnapshotSettings, run: str, *_: Any) -> etcd_snapshot.Snapshot:
        calls.append((etcd, settings, run))
        return etcd_snapshot.Snapshot("/s/etcd.db", 4096, "0" * 64, 7, "cp-1")

    monkeypatch.setattr(etcd_snapshot, "take", take)
    return calls


def before(world: World, declared: Settings, *names: str) -> dict[str, Any] | None:
    if not etcd_snapshot.adds_member(plan.build_plan(declared, {}, names)):
        return None
    return etcd_snapshot.take_etcd_snapshot(world, declared, "r1", FakeClock())  # type: ignore[arg-type]


def test_snapshot_is_taken_before_member_is_added(taken: list[tuple[Any, ...]]) -> None:
    found = before(World("etcd"), DECLARED, "cp-1", "w-1")
    assert taken == [("etcd", SnapshotSettings(), "r1")]
    assert found == {
        "path": "/s/etcd.db",
        "bytes": 4096,
        "sha256": "0" * 64,
        "revision": 7,
        "member": "cp-1",
        "copied_to": None,
    }


def test_workers_need_no_snapshot(taken: list[tuple[Any, ...]]) -> None:
    world = World("etcd")
    assert before(world, DECLARED, "w-1") is None
    assert (taken, world.asked) == ([], 0)


def test_cluster_without_etcd_gives_no_snapshot(taken: list[tuple[Any, ...]]) -> None:
    assert before(World(None), DECLARED, "cp-1") is None
    assert taken == []


def test_snapshot_can_be_disabled(taken: list[tuple[Any, ...]]) -> None:
    world = World("etcd")
    assert (
        before(world, replace(DECLARED, etcd_snapshot=SnapshotSettings(enabled=False)), "cp-1")
        is None
    )
    assert (taken, world.asked) == ([], 0)


class Listed(Etcd):
    """A cluster of these members."""

    def __init__(self, *members: Member) -> None:
        super().__init__(["https://127.0.0.1:2379"])
        self._members = list(members)

    def members(self) -> list[Member]:
        return self._members


def voter(number: int, **changes: Any) -> Member:
    fields = {
        "healthy": True,
        "cluster_id": 1,
        "client_url": "https://127.0.0.1:1",
        "db_size": 4096,
        **changes,
    }
    return Member(number, f"cp-{number}", (f"https://cp-{number}:2380",), **fields)


def test_members_of_two_clusters_are_refused() -> None:
    with pytest.raises(QuorumError, match="cannot take a snapshot of etcd"):
        etcd_snapshot.take(
            Listed(voter(1), voter(2, cluster_id=2)), SnapshotSettings(), "r1", FakeClock()
        )


def test_unhealthy_members_are_named_when_none_can_answer() -> None:
    with pytest.raises(UnreachableError, match="no voting etcd member is healthy") as caught:
        etcd_snapshot.take(
            Listed(voter(1, healthy=None, error="no answer from it")),
            SnapshotSettings(),
            "r1",
            FakeClock(),
        )
    assert "no answer from it" in str(caught.value)
    assert caught.value.log


def test_every_failed_voter_is_named_with_remedy(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_snapshot.snapshot_policy, "SPARE_BYTES", 0)

    def fail(self: Etcd, url: str) -> None:
        raise UnreachableError("it has no leader")

    monkeypatch.setattr(Etcd, "catch_up", fail)
    with pytest.raises(
        UnreachableError, match="no etcd member delivers a valid snapshot"
    ) as caught:
        etcd_snapshot.take(
            Listed(voter(1), voter(2)),
            SnapshotSettings(directory=str(tmp_path / "s")),
            "r1",
            FakeClock(),
        )
    assert [str(item).split(" ")[0] for item in caught.value.problems] == ["cp-1", "cp-2"]
    assert "metalk8s_expand:etcd_snapshot:enabled" in (caught.value.hint or "")


def test_snapshot_of_unknown_size_is_refused(tmp_path: Any) -> None:
    with pytest.raises(UnreachableError, match="the free space for a snapshot cannot be checked"):
        etcd_snapshot.take(
            Listed(voter(1, db_size=None)),
            SnapshotSettings(directory=str(tmp_path / "s")),
            "r1",
            FakeClock(),
        )
