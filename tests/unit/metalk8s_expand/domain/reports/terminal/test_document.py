"""A document fits into its width and height, and its styles are places of its text."""

from __future__ import annotations

import random
from typing import Any

import pytest

from metalk8s_expand.domain.reports.terminal import document
from metalk8s_expand.domain.reports.terminal.document import (
    BAD,
    GOOD,
    TITLE,
    Block,
    Paragraph,
    Segment,
    fitted,
    list_block,
    paragraph,
    plain,
    styles_of,
    text_of,
)

ALPHABET = "abcdefghij     -./:é\x1b\u202e\n\t漢"
STYLES = ("", GOOD, BAD, TITLE)
SEEDS = pytest.mark.parametrize("seed", range(60))


class Source:
    """A source of random documents. Hypothesis draws them a thousand times slower."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def segment(self) -> Segment:
        length = self.random.choice((0, 3, 20, 150))
        text = "".join(self.random.choice(ALPHABET) for _ in range(length))
        return Segment(text, self.random.choice(STYLES))

    def paragraph(self) -> Paragraph:
        parts = [self.segment() for _ in range(self.random.randrange(4))]
        return paragraph(*parts, indent=self.random.randrange(8))

    def block(self) -> Block:
        if self.random.random() < 0.5:
            entries = [
                tuple(self.paragraph() for _ in range(self.random.randint(1, 4)))
                for _ in range(self.random.choice((0, 1, 5, 80)))
            ]
            return Block(self.paragraph(), entries=tuple(entries))
        columns = self.random.randint(1, 6)
        rows = [
            tuple(self.segment() for _ in range(columns))
            for _ in range(self.random.choice((1, 5, 80)))
        ]
        return Block(header=("head",) * columns, rows=tuple(rows))

    def document(self) -> list[Block]:
        return [self.block() for _ in range(self.random.randrange(5))]


@SEEDS
def test_lines_are_at_most_as_wide_as_terminal(seed: int) -> None:
    blocks = Source(seed).document()
    for width in (1, 40, 80, 133):
        lines = text_of(blocks, width, None).split("\n")
        assert max(map(len, lines)) <= max(width, document.NARROWEST)


@SEEDS
def test_document_is_at_most_as_high_as_its_limit(seed: int) -> None:
    blocks = Source(seed).document()
    heads = [Block(block.title, block.header, block.rows[:1]) for block in blocks]
    # Each block shows its first entry, of at most this many lines, and the number of the others.
    least = len(fitted(heads, height=None)) + len(blocks) * (document.LONGEST_ENTRY + 2)
    assert len(fitted(blocks)) <= max(document.HEIGHT, least)


@SEEDS
def test_styles_are_places_of_text(seed: int) -> None:
    lines = fitted(Source(seed).document())
    text = plain(lines).split("\n")
    assert all(line.isprintable() for line in text)
    for number, start, end, style in styles_of(lines):
        assert 0 <= start < end <= len(text[number])
        assert style in STYLES[1:]


def test_paragraph_wraps_at_spaces_and_keeps_styles() -> None:
    part = paragraph(Segment("Error: ", BAD), "node w-1: the host ", Segment("refuses", BAD), " it")
    lines = fitted([Block(part)], 40)
    assert plain(lines).split("\n") == ["Error: node w-1: the host refuses it"]
    assert styles_of(lines) == [(0, 0, 6, BAD), (0, 26, 33, BAD)]
    narrow = text_of([Block(paragraph("word " * 12, indent=2))], 40).split("\n")
    assert narrow == ["  word word word word word word word", "    word word word word word"]


def test_word_that_is_wider_than_terminal_is_broken() -> None:
    assert text_of([Block(paragraph("x" * 90))], 40).split("\n") == [
        "x" * 40, "  " + "x" * 38, "  " + "x" * 12,
    ]  # fmt: skip


def test_parts_without_space_between_them_stay_together() -> None:
    assert text_of([Block(paragraph("run", Segment("x", BAD), ": y"))]) == "runx: y"


def test_columns_shrink_until_table_fits() -> None:
    rows = (("w-1", Segment("a word " * 12, BAD)), ("w-2", "short"))
    table = Block(header=("node", "problem"), rows=rows)
    assert text_of([table], 40).split("\n") == [
        "node  problem",
        "w-1   a word a word a word a word a word",
        "      a word a word a word a word a word",
        "      a word a word",
        "w-2   short",
    ]


def test_entries_beyond_height_are_counted() -> None:
    items = [f"w-{number}: no answer" for number in range(100)]
    blocks = [list_block(paragraph("Problems:"), items, "problems"), Block(paragraph("the end"))]
    lines = text_of(blocks, height=10).split("\n")
    assert len(lines) == 10
    assert lines[:2] == ["Problems:", "- w-0: no answer"]
    assert lines[-3:] == ["  … and 94 more problems: see --out=json", "", "the end"]


def test_text_of_a_host_cannot_forge_a_line() -> None:
    found: Any = text_of([list_block(None, ["w-1: a\x1b[2J\u2028b"])])
    assert found == r"- w-1: a\x1b[2J b"
