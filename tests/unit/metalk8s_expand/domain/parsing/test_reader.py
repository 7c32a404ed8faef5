"""The reader notes every problem with its path and continues."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain.parsing import scalars
from metalk8s_expand.domain.parsing.reader import Problems, Reader, suggestion


def paths(problems: Problems) -> list[str]:
    return [problem.path for problem in problems]


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_value_that_is_no_mapping_is_one_problem(value: Any) -> None:
    problems: Problems = []
    reader = Reader(value, "a", problems)
    assert reader.take("port", scalars.port, 22) == 22
    reader.finish()
    assert paths(problems) == ["a"]


def test_reader_reads_all_keys_and_notes_all_problems() -> None:
    problems: Problems = []
    reader = Reader(
        {"port": 0, "ok": True, "inner": {"x": 1}, "list": [1, "a", 70000], 7: None}, "a", problems
    )
    assert reader.take("port", scalars.port, 22) == 22
    assert reader.take("ok", scalars.boolean, False) is True
    assert reader.take_list("list", scalars.port) == (1,)
    reader.section("inner").finish()
    reader.section("absent").finish()
    reader.finish()
    assert paths(problems) == ["a:port", "a:list:1", "a:list:2", "a:inner:x", "a:7"]


def test_items_without_valid_key_are_left_out() -> None:
    problems: Problems = []
    assert list(Reader({"good": 1, "Bad": 2}, "a", problems).items(scalars.node_name)) == ["good"]
    assert paths(problems) == ["a:Bad"]


@pytest.mark.parametrize(
    ("word", "known", "wanted"),
    [
        ("prot", ["port", "user"], "did you mean port? known: port, user"),
        (3, ["port"], "known: port"),
        ("x", [], "known: none"),
    ],
)
def test_suggestion_names_closest_and_known_words(
    word: object, known: list[str], wanted: str
) -> None:
    assert suggestion(word, known) == wanted
