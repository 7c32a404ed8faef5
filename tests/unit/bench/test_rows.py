"""A limit that is missed is told, and is the exit code."""

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
def test_limits(
    ours: float, peer: float, limit: float, faster: bool, ratio: float, ok: bool
) -> None:
    row = Row("it", ours, "the peer", peer, limit, faster)
    assert row.ratio == pytest.approx(ratio)
    assert row.ok is ok
    assert ("MISSED" not in str(row)) is ok


def test_all_take_turns_on_the_same_machine() -> None:
    taken: list[str] = []
    rows.in_turns(3, lambda: taken.append("a"), lambda: taken.append("b"))
    assert "".join(taken) == "abbaab"


def test_the_table_holds_all_lines() -> None:
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
def test_the_exit_code(lines: list[Line], code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured() -> Iterator[Line]:
        yield from lines

    monkeypatch.setattr(
        program.importlib, "import_module", lambda name: types.SimpleNamespace(rows=measured)
    )
    assert program.main(["api"]) == code


def test_an_unknown_part_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["kube"])
    assert "kube" in capsys.readouterr().err
