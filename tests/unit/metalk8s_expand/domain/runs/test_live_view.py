"""The lines of a running run fit every terminal, and name what is in work and what failed."""

from __future__ import annotations

from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalk8s_expand.domain.runs.live_view import (
    MOST_LINES,
    SMALLEST_HEIGHT,
    SMALLEST_WIDTH,
    ActiveNode,
    FinishedNode,
    LiveView,
    duration,
    median_seconds,
    render_live_view,
    seconds_left,
)

NAME = attrgetter("name")
NAMES = st.text("abcdef-0123456789", min_size=1, max_size=60)
ACTIVE = st.builds(ActiveNode, NAMES, st.sampled_from(["deploy", "verify", "x"]), st.floats(0, 1e6), st.text("abc ", max_size=200))  # fmt: skip
ENDED = st.builds(FinishedNode, NAMES, st.floats(0, 1e6), st.text("abc ", max_size=200))


@given(
    st.lists(ACTIVE, max_size=100, unique_by=NAME),
    st.lists(ENDED, max_size=100, unique_by=NAME),
    st.integers(SMALLEST_WIDTH, 300),
    st.integers(SMALLEST_HEIGHT, 200),
)
def test_lines_fit_terminal(
    active: list[ActiveNode], ended: list[FinishedNode], width: int, height: int
) -> None:
    view = LiveView(active, ended, len(ended), 0, 200, 5.0, 9.0)
    lines = render_live_view(view, width, height, color=False)
    assert len(lines) <= min(height - 1, MOST_LINES)
    assert max(map(len, lines)) < width
    assert f"{len(ended)} of 200 nodes finished"[: width - 2] in lines[-1]


def test_view_of_run() -> None:
    view = LiveView(
        [
            ActiveNode("cp-1", "deploy", 75.2, "state 3 of 7 done in 4.8 s: Sync modules to cp-1"),
            ActiveNode("w-10", "verify", 3),
        ],
        [FinishedNode("w-1", 59.6), FinishedNode("w-2", 0, "it broke")],
        finished=2,
        failed=1,
        total=6,
        elapsed=80,
        left=61,
    )
    assert render_live_view(view, 100, 24, color=False) == [
        "w-1   done in 1 min 0 s",
        "w-2   FAILED: it broke",
        "cp-1  deploy 1 min 15 s: state 3 of 7 done in 4.8 s: Sync modules to cp-1",
        "w-10  verify 3 s: waits for the node to be as declared",
        "2 of 6 nodes finished, 1 FAILED, 2 in work, 2 waiting, 1 min 20 s, about 1 min 1 s left",
    ]


def test_nodes_without_room_are_counted() -> None:
    active = [ActiveNode(f"w-{n}", "deploy", 1) for n in range(20)]
    lines = render_live_view(LiveView(active), 80, 8, color=False)
    assert len(lines) == 7
    assert lines[-2] == "15 more nodes are in work"


def test_failed_nodes_have_room_before_others() -> None:
    ended = [FinishedNode("bad", 1, "x"), *(FinishedNode(f"w-{n}", 1) for n in range(50))]
    lines = render_live_view(LiveView([], ended, 51, 1), 80, 10, color=False)
    assert lines[0] == "45 more nodes are finished"
    assert "FAILED: x" in lines[1]
    assert lines[-2].startswith("w-49")


def test_color_does_not_replace_words() -> None:
    view = LiveView([], [FinishedNode("a", 1, "x"), FinishedNode("b", 1)], 2, 1)
    plain = render_live_view(view, 80, 24, color=False)
    colored = render_live_view(view, 80, 24, color=True)
    assert [line.split("m", 1)[1].removesuffix("\x1b[0m") for line in colored] == plain
    assert not any("\x1b" in line for line in plain)


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (7500, "2 h 5 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_estimate_adds_serial_nodes_and_divides_parallel_nodes() -> None:
    medians = {"deploy": 60.0, "verify": 10.0}
    steps = ["deploy", "verify"]
    remaining = {"cp-1": steps, "cp-2": steps, **{f"w-{n}": steps for n in range(10)}}
    serial = ("cp-1", "cp-2")
    assert seconds_left(remaining, serial, 10, medians, {}) == 140
    assert seconds_left(remaining, serial, 2, medians, {}) == 350
    assert seconds_left(remaining, serial, 10, medians, {"cp-1": 50.0}) == 90
    assert seconds_left({"w-1": steps}, (), 10, medians, {"w-1": 500.0}) == 10
    assert seconds_left({"w-1": ["unknown"]}, (), 10, medians, {}) is None


@given(st.dictionaries(NAMES, st.lists(st.sampled_from(["a", "b"]), max_size=4), max_size=8), st.integers(1, 5))  # fmt: skip
def test_estimate_is_no_shorter_than_each_node(
    remaining: dict[str, list[str]], parallel: int
) -> None:
    medians = {"a": 1.0, "b": 2.5}
    left = seconds_left(remaining, [], parallel, medians, {})
    assert left is not None
    assert all(left >= sum(medians[step] for step in steps) for steps in remaining.values())


def test_medians_are_of_steps_that_succeeded() -> None:
    def report(*seconds: float, ok: bool = True) -> dict[str, object]:
        return {"nodes": [{"steps": [{"name": "deploy", "elapsed": s, "ok": ok}]} for s in seconds]}

    broken = [None, {}, {"nodes": 3}, {"nodes": [{"steps": [{"name": 1}, 2]}]}]
    assert median_seconds([report(1, 9), report(2), report(100, ok=False), *broken]) == {
        "deploy": 2
    }
    assert median_seconds([report(1, 2)]) == {"deploy": 1.5}
    assert median_seconds([]) == {}
