"""What etcd's metrics say about the start of a learner."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalk8s_expand.domain.etcd.metrics import MemberStart, member_start
from tests.fakes.etcd_metrics import WAITING


def test_learner_with_a_snapshot_and_a_proposal_waits_for_a_lost_answer() -> None:
    assert member_start(WAITING) == MemberStart(starting=True, lost=True)


@pytest.mark.parametrize(
    ("line", "other", "starting"),
    [
        # A learner before its first entries.
        ("is_learner 1", "is_learner 0", True),
        ("has_leader 1", "has_leader 0", True),
        ("has_leader 1", "has_leader one", True),
        ("pending 1", "pending 0", False),
        ("in_progress_total 0", "in_progress_total 1", True),
        ('{From="8663b7a704ab6a6e"} 1\netcd_network_snapshot_receive_total', "{} 0\netcd_x", True),
        ("etcd_server_is_learner 1\n", "", True),
        ("etcd_server_snapshot_apply_in_progress_total 0\n", "", True),
    ],
)
def test_answer_of_any_other_member_is_not_lost(line: str, other: str, starting: bool) -> None:
    assert line in WAITING
    assert member_start(WAITING.replace(line, other)) == MemberStart(starting=starting)


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert not member_start(text).lost


def test_text_without_metrics_tells_nothing() -> None:
    assert member_start("<html>") == MemberStart()
