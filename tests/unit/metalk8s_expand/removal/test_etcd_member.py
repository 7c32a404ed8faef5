"""Tests of a member's removal from an etcd that refuses, loses replies or has it as leader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.runs.lease_rules import LockLostError
from metalk8s_expand.errors import QuorumError, UnreachableError
from metalk8s_expand.removal import etcd_member
from tests.fakes.clock import FakeClock
from tests.fakes.etcd_members import FakeEtcd, voter


@pytest.fixture
def etcd(clock: FakeClock) -> FakeEtcd:
    return FakeEtcd(voter(1), voter(2), voter(3), clock=clock)


def own(members: Sequence[Member]) -> Member | None:
    return next((member for member in members if member.name == "m1"), None)


def moved(etcd: FakeEtcd) -> bool:
    return etcd_member.transfer_leadership(etcd, own, "m1", lambda: None, etcd.clock)  # type: ignore[arg-type]


def removed(etcd: FakeEtcd) -> bool:
    return etcd_member.remove_member(etcd, own, "m1", lambda: None, etcd.clock)  # type: ignore[arg-type]


def test_most_current_voter_becomes_leader(etcd: FakeEtcd) -> None:
    etcd.listed[3] = voter(3, raft_index=6000)
    assert moved(etcd)
    assert (etcd.led_by, etcd.changed) == (3, ["move 3"])
    assert not moved(etcd)


def test_unhealthy_voter_never_becomes_leader(etcd: FakeEtcd) -> None:
    etcd.listed[3] = voter(3, False, raft_index=6000)
    moved(etcd)
    assert etcd.led_by == 2


def test_leadership_without_candidate_is_refused(etcd: FakeEtcd) -> None:
    etcd.listed = {1: voter(1), 2: voter(2, False)}
    with pytest.raises(QuorumError, match="no other voter is healthy"):
        moved(etcd)


def test_missing_leader_is_awaited(etcd: FakeEtcd) -> None:
    etcd.led_by = 9
    with pytest.raises(QuorumError, match="no member leads"):
        moved(etcd)


def test_lost_reply_of_transfer_is_read_again(etcd: FakeEtcd) -> None:
    etcd.lost_replies = ["move"]
    assert moved(etcd)
    assert etcd.changed == ["move 2"]


def test_member_is_removed_once(etcd: FakeEtcd) -> None:
    assert removed(etcd)
    assert etcd.changed == ["remove 1"]
    assert not removed(etcd)


def test_lost_reply_of_removal_is_read_again(etcd: FakeEtcd) -> None:
    etcd.lost_replies = ["remove"]
    assert removed(etcd)
    assert etcd.changed == ["remove 1"]


def test_guard_refuses_removal(etcd: FakeEtcd) -> None:
    etcd.listed[3] = voter(3, False)
    with pytest.raises(QuorumError, match="would have 2 voters"):
        removed(etcd)
    assert etcd.changed == []


def test_single_bad_answer_decides_nothing(etcd: FakeEtcd, clock: FakeClock) -> None:
    etcd.down_until = clock.time + 10
    assert removed(etcd)


def test_dead_member_is_removed_while_others_are_healthy(etcd: FakeEtcd) -> None:
    etcd.listed[1] = replace(voter(1), healthy=None, error="no answer")
    assert removed(etcd)


@pytest.mark.parametrize("change", [etcd_member.transfer_leadership, etcd_member.remove_member])
def test_run_that_lost_the_lock_changes_nothing(
    etcd: FakeEtcd, change: object, clock: FakeClock
) -> None:
    def lost() -> None:
        raise LockLostError("lost")

    with pytest.raises(LockLostError):
        change(etcd, own, "m1", lost, clock)  # type: ignore[operator]
    assert etcd.changed == []


def test_etcd_without_answer_is_an_error(etcd: FakeEtcd, clock: FakeClock) -> None:
    etcd.down_until = clock.time + 1000
    with pytest.raises((QuorumError, UnreachableError)):
        removed(etcd)
