"""The journal record: what it keeps from an interrupted run, and what it drops."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalk8s_expand.domain.runs import journal_record
from metalk8s_expand.domain.runs.journal_record import JournalRecord, StepInProgress

EMPTY = JournalRecord("20260101000000", "expand w-1", "boot", 7, 100.0)


def test_journal_survives_serialization() -> None:
    full = (
        EMPTY.step_started("w-1", "deploy", 101.0)
        .job_started("w-1", "42")
        .node_created("w-1")
        .step_started("w-2", "verify", 102.0)
        .node_finished("w-2", "broken")
    )
    full = full.log_line("a line").closed(110.0, "failed")
    assert journal_record.parse(journal_record.serialize(full)) == full


@given(st.text() | st.dictionaries(st.text(), st.integers()).map(str))
def test_foreign_text_is_no_journal(text: str) -> None:
    assert journal_record.parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "null",
        "[]",
        '{"nodes": 3}',
        '{"nodes": {"a": {"job": "1"}}, "created": [], "lines": []}',
    ],
)
def test_incomplete_record_is_no_journal(text: str) -> None:
    assert journal_record.parse(text) is None


def test_next_run_keeps_steps_and_nodes_of_previous_run() -> None:
    before = (
        EMPTY.node_created("w-1")
        .step_started("w-1", "deploy", 101.0)
        .job_started("w-1", "42")
        .step_started("w-2", "verify", 102.0)
        .node_finished("w-2")
    )
    new = JournalRecord("20260101000100", "expand", "cp-1", 8, 160.0)
    found = journal_record.next_record(before, new)
    assert (found.created, found.jobs, set(found.nodes)) == (("w-1",), {"42"}, {"w-1"})
    assert (found.run, found.epoch, found.finished, found.lines) == ("20260101000100", 8, 0, ())
    assert found.reset().nodes == {}
    assert found.reset().created == ("w-1",), "its Node may still be a phantom"


def test_first_run_starts_with_empty_journal() -> None:
    new = JournalRecord("1", "expand", "boot", 1, 1.0)
    assert journal_record.next_record(None, new).nodes == {}


def test_finished_node_is_counted_and_failed_node_is_named() -> None:
    found = (
        EMPTY.step_started("w-1", "deploy", 1.0)
        .node_finished("w-1")
        .step_started("w-2", "deploy", 2.0)
        .node_finished("w-2", "it broke")
    )
    assert (found.finished, dict(found.failed), dict(found.nodes)) == (1, {"w-2": "it broke"}, {})


def test_next_step_drops_job_of_previous_step() -> None:
    found = (
        EMPTY.step_started("w-1", "deploy", 1.0)
        .job_started("w-1", "42")
        .step_started("w-1", "verify", 2.0)
    )
    assert found.nodes == {"w-1": StepInProgress("verify", 2.0)}


def test_newest_lines_are_kept_and_all_lines_are_counted() -> None:
    found = EMPTY
    for number in range(journal_record.KEPT_LINES + 50):
        found = found.log_line(str(number))
    assert (len(found.lines), found.told) == (
        journal_record.KEPT_LINES,
        journal_record.KEPT_LINES + 50,
    )
    assert found.since(found.told - 2) == (str(found.told - 2), str(found.told - 1))
    assert found.since(found.told) == ()
    assert len(found.since(0)) == journal_record.KEPT_LINES
