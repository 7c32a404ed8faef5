"""Ranges stand for exactly the names that they were made from."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalk8s_expand.domain.node.name_ranges import listed, ranges

NAMES = st.lists(st.text("ab01.-", min_size=1, max_size=6), max_size=20)
NUMBERED = st.lists(
    st.builds("{}{}{}".format, st.sampled_from(["w-", "cp-", "r1n", ""]),
              st.one_of(st.integers(0, 130).map(str), st.integers(0, 130).map("{:03}".format)),
              st.sampled_from(["", ".example"])),
    max_size=20,
)  # fmt: skip


def expanded(text: str) -> list[str]:
    """Return the names that a range stands for."""
    match = re.fullmatch(r"(.*)\[([0-9,-]+)\](.*)", text)
    if match is None:
        return [text]
    before, body, after = match.groups()
    names = []
    for part in body.split(","):
        first, _, last = part.partition("-")
        width = len(first) if first.startswith("0") else 0
        for number in range(int(first), int(last or first) + 1):
            names.append(f"{before}{str(number).zfill(width)}{after}")
    return names


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ([], []),
        (["w-1"], ["w-1"]),
        (["bootstrap"], ["bootstrap"]),
        (["w-1", "w-2", "w-3", "w-7"], ["w-[1-3,7]"]),
        (["w-3", "w-1", "w-2"], ["w-[1-3]"]),
        ([f"w-{n:02}" for n in range(8, 12)], ["w-[08-11]"]),
        ([f"w-{n:03}" for n in range(1, 301)], ["w-[001-300]"]),
        (["w-1", "w-01"], ["w-1", "w-01"]),
        (["r1-n2", "r1-n3", "r2-n2"], ["r1-n[2-3]", "r2-n2"]),
        (["w-1.example", "w-2.example"], ["w-[1-2].example"]),
        (["10.0.0.9", "10.0.0.10", "10.0.1.10"], ["10.0.0.[9-10]", "10.0.1.10"]),
        (["w-2", "infra", "w-1", "w-2"], ["w-[1-2]", "infra"]),
    ],
)
def test_ranges_of_names(names: list[str], wanted: list[str]) -> None:
    assert ranges(names) == wanted


@given(st.one_of(NAMES, NUMBERED))
def test_every_name_is_in_one_range(names: list[str]) -> None:
    found = [name for text in ranges(names) for name in expanded(text)]
    assert sorted(found) == sorted(set(names))


def test_few_names_are_a_list_and_many_are_ranges() -> None:
    assert listed([]) == ""
    assert listed([f"w-{n}" for n in range(5)]) == "w-0, w-1, w-2, w-3, w-4"
    assert listed([f"w-{n}" for n in range(6)]) == "w-[0-5]"


@given(st.one_of(NAMES, NUMBERED), st.integers(40, 200))
def test_list_of_many_names_is_bounded(names: list[str], longest: int) -> None:
    if len(names) > 5:
        assert len(listed(names, longest)) <= longest + len(" and 20 more")


def test_list_of_unrelated_names_counts_the_others() -> None:
    names = [f"{letter}host" for letter in "abcdefghijklmnop"]
    assert listed(names, 30) == "ahost, bhost, chost, dhost and 12 more"
