"""A recorded output equals that of another run that did the same, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documented import Output
from tests.recorded import problems, words


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("run 20261122195023 succeeded after 0.5 s", "run 20261129090824 succeeded after 12.1 s"),
        ("plan=4459131087e3", "plan=8f330a9b9a02"),
        ("lookup_jid 20261123015443123456", "lookup_jid 20261129015443000000"),
        ("bootstrap_4711_9f3c2a10   12m", "bootstrap_18_00000000    3m5s"),
        ("since 2026-11-22T19:47:00.120931Z,", "since 2026-11-29T01:00:00.5Z,"),
        ("leader\n   cp-1; database 24.3 MiB", "leader bootstrap; database 9.1 MiB"),
        ("a  b\n   c", "a b c\n"),
        (
            "b-1  admin  2027-11-23T01:24:53Z  364.98",
            "cp  kubelet-client  2027-12-01T00:00:00Z  365.00",
        ),
        ("4 services, 20 paths, 13 containers", "5 services, 21 paths, 9 containers"),
        (
            "cordon  a b\nleadership  it leads\napi_server  it runs",
            "cordon a b\napi_server it runs",
        ),
        ("https://10.200.0.11:2379 is healthy", "https://10.200.0.10:2379 is healthy"),
    ],
)
def test_words_of_two_runs_are_the_same(one: str, two: str) -> None:
    assert words(one) == words(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("3 voters, 3 healthy", "3 voters, 2 healthy"),
        ("address 10.200.0.11", "address 10.200.0.12"),
        ("version 134.0.0", "version 135.0.0"),
        ("succeeded", "FAILED"),
        ("holder bootstrap_1_9f3c2a10", "holder cp-1_1_9f3c2a10"),
    ],
)
def test_words_of_other_results_differ(one: str, two: str) -> None:
    assert words(one) != words(two)


def test_changed_output_is_a_problem_until_it_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UPDATE_GOLDEN", raising=False)
    output = Output("x.txt", start="b")
    assert problems(output, "a\nb 1.5 s\n", tmp_path)
    monkeypatch.setenv("UPDATE_GOLDEN", "1")
    assert problems(output, "\na\nb 1.5 s  \n", tmp_path) == []
    monkeypatch.delenv("UPDATE_GOLDEN")
    recorded = tmp_path / "shown" / "x.txt"
    assert recorded.read_text() == "a\nb 1.5 s\n"
    assert problems(output, "other\nb 2.5 s\n", tmp_path) == []
    assert problems(output, "a\nb 2.5 s too many\n", tmp_path)
    assert problems(output, "a\n", tmp_path)


def test_recorded_output_stays_while_its_words_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPDATE_GOLDEN", "1")
    assert problems(Output("x.txt"), "1.5 s", tmp_path) == []
    assert problems(Output("x.txt"), "2.5 s", tmp_path) == []
    assert (tmp_path / "shown" / "x.txt").read_text() == "1.5 s\n"


def test_part_that_is_not_printed_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "x.txt").write_text("a\n")
    assert problems(Output("x.txt", start="b"), "a\n", tmp_path)


def test_removal_of_the_leader_has_the_words_of_any_other() -> None:
    text = "cordon its Pods {}api_server its API server runs"
    assert words(text.format("leadership its member is etcd's leader ")) == words(text.format(""))
