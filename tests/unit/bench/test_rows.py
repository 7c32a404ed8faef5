"""Test that a missed limit is reported and sets the exit code."""

from __future__ import annotations

import types
from collections.abc import Iterator

import pytest

from bench import __main__ as program
from bench import rows
from bench.rows import Figure, Line, Row


@pytest.mark.parametrize(
    ("ours", "peer", "limit", "faster", "ratio", "ok"),
    [
        (3.0, 2.0, 1.5, False, 1.5, True),
        (3.1, 2.0, 1.5, False, 1.55, False),
        (1.0, 4.0, 4.0, True, 4.0, True),
        (1.0, 3.9, 4.0, True, 3.9, False),
        (0.0, 1.0, 0.0, False, 0.0, True),
        (1.0, 1.0, 0.0, False, 1.0, False),
    ],
)
def test_row_reports_whether_its_ratio_keeps_the_limit(
    ours: float, peer: float, limit: float, faster: bool, ratio: float, ok: bool
) -> None:
    row = Row("it", ours, "the peer", peer, limit, faster)
    assert row.ratio == pytest.approx(ratio)
    assert row.ok is ok
    assert ("MISSED" not in str(row)) is ok


@pytest.mark.parametrize(
    ("ours", "faster", "said"),
    [
        (1.0, False, "; aim <= 0.5 reached"),
        (1.5, False, "; aim <= 0.5 not reached"),
        (4.0, True, "; aim >= 0.5 reached"),
    ],
)
def test_missed_aim_is_reported_and_is_no_failure(ours: float, faster: bool, said: str) -> None:
    row = Row("it", ours, "the peer", 2, 0.5 if faster else 1, faster, aim=0.5)
    assert str(row).endswith(said)
    assert row.ok


def test_works_alternate_and_reverse_every_other_round() -> None:
    taken: list[str] = []
    rows.in_turns(3, lambda: taken.append("a"), lambda: taken.append("b"))
    assert "".join(taken) == "abbaab"


def test_table_contains_all_lines() -> None:
    head, *lines = rows.table(
        [Row("it", 1, "the peer", 2, 3), Figure("that", 4, "MB")]
    ).splitlines()
    assert [line.split()[0] for line in (head, *lines)] == ["what", "it", "that"]


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([Row("it", 1, "the peer", 2, 3), Figure("that", 4)], 0),
        ([Row("it", 9, "the peer", 2, 3), Figure("that", 4)], 1),
        ([], 1),
    ],
)
def test_exit_code_is_one_for_missed_limit_or_no_rows(
    lines: list[Line], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured() -> Iterator[Line]:
        yield from lines

    monkeypatch.setattr(
        program.importlib, "import_module", lambda name: types.SimpleNamespace(rows=measured)
    )
    assert program.main(["api"]) == code


def test_unknown_part_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["kube"])
    assert "kube" in capsys.readouterr().err


def test_part_on_real_hosts_runs_on_request_alone() -> None:
    assert not {*program.ON_REQUEST} & {*program.PARTS}
