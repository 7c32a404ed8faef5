"""Tests of the notes of a run on its hosts."""

from __future__ import annotations

from metalk8s_expand.domain.preflight.findings import ERROR, UNKNOWN, WARNING, Finding
from metalk8s_expand.domain.preflight.result import PreflightResult
from metalk8s_expand.expansion.workflow import warnings_of


def unknown(node: str, check: str = "product-uuid") -> Finding:
    return Finding(node, check, "the host does not report it", "a known value", "look", UNKNOWN)


def test_unknown_facts_are_one_note_for_each_check() -> None:
    nodes = [f"w-{number}" for number in range(1, 8)]
    result = PreflightResult(
        findings=(*(unknown(node) for node in nodes), unknown("w-1", "dns")),
    )
    assert warnings_of(result) == [
        "product-uuid is unknown on 7 nodes (w-1, w-2, w-3, w-4, w-5, …): the host does not report"
        " it; look",
        "dns is unknown on node w-1: the host does not report it; look",
    ]


def test_warnings_are_notes_and_errors_are_not() -> None:
    warning = Finding("w-1", "fsync", "20 ms", "10 ms", "use a faster disk", WARNING)
    error = Finding("w-2", "cpus", "1", "2", "add one", ERROR)
    assert warnings_of(PreflightResult(findings=(warning, error))) == [str(warning)]
