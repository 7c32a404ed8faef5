"""Test that runs that passed with the same code are skipped, and that all others run again."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from chaos import cases as schedule
from chaos import paths, results
from chaos.results import BAD, GOOD, MISSED, Results

CASES = schedule.drawn(1, 3)


def result(name: str, outcome: str = GOOD, code: str = "c", **more: Any) -> dict[str, Any]:
    case = next(schedule.named([name]))
    return {
        **{
            "name": name,
            "code": code,
            "outcome": outcome,
            "seed": case.seed,
            "took": 60.0,
            "manual": 0,
        },
        "case": case.as_dict(),
        **more,
    }


def left(found: Results, code: str = "c") -> list[str]:
    return [case.name for case in results.remaining(CASES, found.of(code))]


def test_run_is_done_only_if_its_last_result_for_the_code_is_good(tmp_path: Path) -> None:
    found = Results(tmp_path / "deep" / "results.jsonl")
    assert left(found) == ["seed-1", "seed-2", "seed-3"]
    found.add(result("seed-1"))
    found.add(result("seed-2", BAD))
    found.add(result("seed-3", MISSED))
    assert left(found) == ["seed-2", "seed-3"]
    assert left(found, "other") == ["seed-1", "seed-2", "seed-3"]
    found.add(result("seed-2"))
    found.add(result("seed-1", BAD))
    assert left(found) == ["seed-1", "seed-3"], "the last result counts"


def test_result_of_a_different_case_with_the_same_name_is_ignored(tmp_path: Path) -> None:
    found = Results(tmp_path / "results.jsonl")
    for case in CASES[:2]:
        found.add(result(case.name))
    found.add(result("seed-2", case={**CASES[1].as_dict(), "hold": 1234.5}))
    assert left(found) == ["seed-2", "seed-3"]


def test_boundaries_far_from_each_other_share_a_run() -> None:
    cases = [*schedule.enumerated(), *CASES]
    rows = results.chains(cases, {}, lambda kind: 4 if kind == schedule.MASTER_KILLED else 6)
    assert sorted(case.name for row in rows for case in row) == sorted(case.name for case in cases)
    assert max(len(row) for row in rows if row[0].kind == schedule.MASTER_KILLED) == 4
    assert max(len(row) for row in rows if row[0].kind == schedule.RUNNER_KILLED) == 6
    assert rows[-3:] == [[case] for case in CASES]
    order = list(schedule.boundaries("cp-2"))
    for row in rows:
        places = [order.index(case.name.partition("+")[0]) for case in row if case.seed is None]
        assert places == sorted(places)
        assert len({case.kind for case in row}) == 1
        assert all(later - earlier > 1 for earlier, later in pairwise(places))


def test_failed_case_of_a_shared_run_gets_its_own_run() -> None:
    cases = [case for case in schedule.enumerated() if case.kind == schedule.RUNNER_KILLED][:12]
    name = cases[3].name
    rows = results.chains(cases, {name: result(name, BAD)}, lambda _: 6)
    assert [case.name for case in rows[-1]] == [name]
    assert sorted(map(len, rows)) == [1, 5, 6]
    assert results.chains(cases, {}, lambda _: 1) == [[case] for case in cases]


def test_truncated_line_does_not_affect_other_results(tmp_path: Path) -> None:
    found = Results(tmp_path / "results.jsonl")
    found.add(result("seed-1"))
    with found.path.open("a") as file:
        file.write('{"name": "seed-2", "code": "c", "outc')
    found.add(result("seed-3"))
    assert left(found) == ["seed-2"]


def test_summary_contains_results_and_totals(tmp_path: Path) -> None:
    known = {
        "seed-1": result("seed-1", writes=100, pause=3.25, attempts=[{"code": -9}, {"code": 0}]),
        "seed-2": result(
            "seed-2", BAD, lost=2, split=1, manual=1, problems=["LOST: it\nmore"], evidence="/there"
        ),
    }
    text = results.summary(CASES, known)
    assert "3 runs: 1 good, 1 not, 1 not made" in text
    assert "lost writes: 2; split clusters: 1; manual steps: 1" in text
    assert "longest pause between two acknowledged writes: 3.2 s" in text
    assert "exit codes -9,0" in text
    assert "    LOST: it\n    /there" in text
    assert text.endswith("seeds that failed: 2")
    assert not results.all_good(CASES, known)
    assert results.all_good(CASES[:1], known)
    assert not results.all_good([], known)


def test_result_of_a_shared_run_names_that_run() -> None:
    known = {name: result(name, within="seed-9") for name in ("seed-1",)}
    assert "good    in the run of seed-9" in results.summary(CASES[:1], known)


def test_fingerprint_depends_on_the_content_of_files_only(tmp_path: Path) -> None:
    for name, text in {
        "a/x": "1",
        "b/y": "2",
        "a/__pycache__/z": "3",
        "a/.mypy_cache/z": "3",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    first = paths.fingerprint(("a",), tmp_path)
    (tmp_path / "b/y").write_text("5")
    (tmp_path / "a/__pycache__/z").write_text("6")
    (tmp_path / "a/.mypy_cache/z").unlink()
    assert paths.fingerprint(("a",), tmp_path) == first
    assert paths.fingerprint(("a", "b/y"), tmp_path) != paths.fingerprint(("a", "b/z"), tmp_path)
    (tmp_path / "a/x").write_text("7")
    assert paths.fingerprint(("a",), tmp_path) != first
