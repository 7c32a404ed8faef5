"""The answer of a host becomes readable parts, and text for people."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalk8s_expand.domain.node.node_logs import LONGEST, readable_parts, render_node_logs
from metalk8s_expand.errors import visible


def part(*lines: str, **more: Any) -> dict[str, Any]:
    return {"part": "kubelet", "source": "journalctl", "lines": list(lines), "cut": False, "problem": None, **more}  # fmt: skip


def test_controls_are_visible_and_secrets_left_out() -> None:
    [shown] = readable_parts([part("a\x1b[2Jb\tc\r", "password: x", "z" * 5000)], 50) or []
    assert shown["lines"][:2] == ["a\\x1b[2Jb  c", "password: [left out]"]
    assert len(shown["lines"][2]) == LONGEST + 1
    assert (shown["cut"], shown["problem"]) == (False, None)


def test_host_that_sends_more_lines_is_bounded() -> None:
    [shown] = readable_parts([part("1", "2", "3")], 2) or []
    assert (shown["lines"], shown["cut"]) == (["2", "3"], True)


@pytest.mark.parametrize("answer", [None, "'x' is not available.", {"a": 1}, [1], [{"lines": 3}], [{}]])  # fmt: skip
def test_answer_of_other_form_has_no_parts(answer: object) -> None:
    assert readable_parts(answer, 50) is None


@given(st.lists(st.text(), max_size=5))
def test_every_shown_line_is_printable(lines: list[str]) -> None:
    [shown] = readable_parts([part(*lines, problem="a\nb")], 50) or []
    assert all(visible(line) == line for line in [*shown["lines"], shown["problem"]])


def test_text_names_source_of_each_part() -> None:
    data = {"node": "w-1", "over": "ssh", "lines": 2, "notes": ["not over Salt: silent"],
            "parts": [part("x", cut=True), part(problem="empty")]}  # fmt: skip
    assert render_node_logs(data) == (
        "Logs of w-1, over SSH, at most 2 lines each\n\n- not over Salt: silent\n\n"
        "== kubelet: journalctl (its end)\nx\n\n== kubelet: journalctl\n(empty)"
    )
