"""Describe text for a terminal as values, and fit it into its width and height.

A document is a sequence of blocks, a block is a title with entries or rows of a table, and every
part of a line has a style. A style says what the part means; the words of the text say it too. The
outputter turns styles into colors.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from metalk8s_expand.errors import visible

# The columns of an output that is no terminal, and the most lines of a document.
WIDTH, HEIGHT = 80, 60
# The least width of a document. Narrower terminals wrap the lines themselves.
NARROWEST = 40
GAP = "  "
# A path or an identity of at most this length is wrapped only if no other column can shrink.
LONG_WORD = 40
# The most lines of one entry of a document that is too long.
LONGEST_ENTRY = 12

GOOD, BAD, WARN = "good", "bad", "warn"
ADD, CHANGE, REMOVE = "add", "change", "remove"
TITLE = "title"


class Segment(NamedTuple):
    """A part of a line. ``style`` is one of the constants, or empty."""

    text: str
    style: str = ""


Part = str | Segment
Line = tuple[Segment, ...]
Row = Sequence[Part]


@dataclass(frozen=True)
class Paragraph:
    """Text that is wrapped: ``indent`` columns, and ``hang`` more for its further lines."""

    segments: Line
    indent: int = 0
    hang: int = 2


# What belongs together: it is shown as a whole or counted.
Entry = tuple[Paragraph, ...]


@dataclass(frozen=True)
class Block:
    """A title, then a table or entries; the most important entry comes first.

    If the document is too long, the last entries are counted as so many ``noun``. A block that is
    ``joined`` has no empty line before it.
    """

    title: Paragraph | None = None
    header: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    entries: tuple[Entry, ...] = ()
    noun: str = "entries"
    joined: bool = False


Document = Sequence[Block]


def paragraph(*parts: Part, indent: int = 0, hang: int = 2) -> Paragraph:
    """Return a paragraph of these parts. A part without style is a string."""
    return Paragraph(tuple(_segment(part) for part in parts), indent, hang)


def text_block(*parts: Part, joined: bool = False) -> Block:
    """Return a block of one paragraph."""
    return Block(paragraph(*parts), joined=joined)


def list_block(title: Paragraph | None, items: Iterable[str], noun: str = "entries") -> Block:
    """Return a block with one entry, behind a dash, for each of these texts.

    Each further line of a text is a paragraph below its first one.
    """
    entries = []
    for item in items:
        first, *others = item.split("\n")
        below = [paragraph(line.strip(), indent=4) for line in others if line.strip()]
        entries.append((paragraph(f"- {first.strip()}"), *below))
    return Block(title, entries=tuple(entries), noun=noun)


def fitted(document: Document, width: int = WIDTH, height: int | None = HEIGHT) -> list[Line]:
    """Return the lines of a document, each at most ``width`` columns wide.

    They are at most ``height`` lines, if the titles alone are fewer. Entries beyond this number are
    counted.
    """
    laid_out = [_LaidOut.of(block, max(width, NARROWEST)) for block in document]
    if height is not None:
        _shrink(laid_out, height)
    lines: list[Line] = []
    for block in laid_out:
        if lines and not block.joined:
            lines.append(())
        lines += block.lines()
    return lines


def plain(lines: Iterable[Line]) -> str:
    """Return the text of these lines without styles."""
    return "\n".join("".join(segment.text for segment in line) for line in lines)


def text_of(document: Document, width: int = WIDTH, height: int | None = HEIGHT) -> str:
    """Return the text of a document without styles."""
    return plain(fitted(document, width, height))


def styles_of(lines: Iterable[Line]) -> list[tuple[int, int, int, str]]:
    """Return where the text of ``plain`` has a style: line, first column, end column and style."""
    places = []
    for number, line in enumerate(lines):
        column = 0
        for segment in line:
            if segment.style:
                places.append((number, column, column + len(segment.text), segment.style))
            column += len(segment.text)
    return places


@dataclass
class _LaidOut:
    """The lines of a block at some width: those of the title and the header, and of each entry."""

    head: list[Line]
    entries: list[list[Line]]
    noun: str
    joined: bool
    hidden: int = 0

    @classmethod
    def of(cls, block: Block, width: int) -> _LaidOut:
        head = [] if block.title is None else _wrapped(block.title, width)
        entries = []
        if block.rows:
            header, *rows = _table_lines(block.header, block.rows, width)
            head += header
            entries += rows
        for entry in block.entries:
            lines = []
            for part in entry:
                lines += _wrapped(part, width)
            entries.append(lines)
        return cls(head, entries, block.noun, block.joined)

    @property
    def length(self) -> int:
        return len(self.head) + sum(map(len, self.entries)) + bool(self.hidden)

    def lines(self) -> list[Line]:
        lines = [*self.head, *itertools.chain.from_iterable(self.entries)]
        if self.hidden:
            lines.append((Segment(f"  … and {self.hidden} more {self.noun}: see --out=json"),))
        return lines


def _shrink(blocks: Sequence[_LaidOut], height: int) -> None:
    """Shorten the entries, then hide the last entry of the longest block, until the document fits.

    Of two blocks of the same length the later one yields.
    """
    gaps = sum(not block.joined for block in blocks[1:])
    if gaps + sum(block.length for block in blocks) <= height:
        return
    for block in blocks:
        block.entries = [_shortened(entry) for entry in block.entries]
    while gaps + sum(block.length for block in blocks) > height:
        full = [block for block in blocks if len(block.entries) > (0 if block.hidden else 1)]
        if not full:
            return
        longest = max(reversed(full), key=lambda block: block.length)
        longest.entries.pop()
        longest.hidden += 1


def _shortened(lines: list[Line]) -> list[Line]:
    if len(lines) <= LONGEST_ENTRY:
        return lines
    return [*lines[: LONGEST_ENTRY - 1], (Segment("    …"),)]


def _segment(part: Part) -> Segment:
    return part if isinstance(part, Segment) else Segment(part)


def _wrapped(part: Paragraph, width: int) -> list[Line]:
    """Wrap a paragraph at spaces, and keep the style of each word."""
    lines: list[Line] = []
    current: list[Segment] = [Segment(" " * part.indent)] if part.indent else []
    used = part.indent
    empty = True
    for word, style, glued in _words(part.segments):
        gap = 0 if empty or glued else 1
        rest = word
        if not empty and used + gap + len(word) > width:
            lines.append(_joined(current))
            used = part.indent + part.hang
            current, gap = [Segment(" " * used)], 0
        while used + len(rest) > width:
            room = width - used
            current.append(Segment(rest[:room], style))
            lines.append(_joined(current))
            rest, used = rest[room:], part.indent + part.hang
            current, gap = [Segment(" " * used)], 0
        if gap:
            current.append(Segment(" ", style if current[-1].style == style else ""))
        current.append(Segment(rest, style))
        used += gap + len(rest)
        empty = False
    lines.append(_joined(current))
    return lines


def _words(segments: Iterable[Segment]) -> Iterable[tuple[str, str, bool]]:
    """Yield each word with its style, and whether it follows the word before it without a space."""
    follows = False
    for segment in segments:
        text = visible(" ".join(segment.text.split()))
        if not text:
            follows = follows and not segment.text
            continue
        glued = follows and not segment.text[0].isspace()
        for word in text.split(" "):
            yield word, segment.style, glued
            glued = False
        follows = not segment.text[-1].isspace()


def _joined(segments: Iterable[Segment]) -> Line:
    """Return the segments with equal neighbors as one, and without trailing spaces."""
    merged: list[Segment] = []
    for segment in segments:
        if merged and merged[-1].style == segment.style:
            merged[-1] = Segment(merged[-1].text + segment.text, segment.style)
        elif segment.text:
            merged.append(segment)
    while merged and not merged[-1].text.rstrip():
        merged.pop()
    if merged:
        merged[-1] = Segment(merged[-1].text.rstrip(), merged[-1].style)
    return tuple(merged)


def _table_lines(header: Sequence[str], rows: Sequence[Row], width: int) -> list[list[Line]]:
    """Return the lines of the header and of each row; the widest columns shrink to fit."""
    cells = [[Segment(name, TITLE) for name in header]] if header else []
    for row in rows:
        cells.append([_clean(_segment(cell)) for cell in row])
    columns = list(zip(*cells, strict=True))
    natural = [max(len(cell.text) for cell in column) for column in columns]
    least = []
    for column in columns:
        words = [word for cell in column for word in cell.text.split()]
        least.append(min(max(map(len, words), default=1), LONG_WORD))
    widths = _column_widths(natural, least, width - len(GAP) * (len(columns) - 1))
    printed = [_row_lines(row, widths) for row in cells]
    return printed if header else [[], *printed]


def _column_widths(natural: Sequence[int], words: Sequence[int], available: int) -> list[int]:
    """Return column widths that fit into the available width; the widest columns shrink first.

    A column becomes narrower than its longest word only if no other column can shrink.
    """
    widths = list(natural)
    for least in (words, [1] * len(widths)):
        while sum(widths) > available:
            wide = [i for i, size in enumerate(widths) if size > least[i]]
            if not wide:
                break
            widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _row_lines(row: Sequence[Segment], widths: Sequence[int]) -> list[Line]:
    cells = []
    for cell, width in zip(row, widths, strict=True):
        cells.append(textwrap.wrap(cell.text, width, break_on_hyphens=False) or [""])
    lines = []
    for parts in itertools.zip_longest(*cells, fillvalue=""):
        segments = []
        for part, cell, width in zip(parts, row, widths, strict=True):
            segments += [Segment(part, cell.style), Segment(" " * (width - len(part)) + GAP)]
        lines.append(_joined(segments))
    return lines


def _clean(segment: Segment) -> Segment:
    return Segment(visible(" ".join(segment.text.split())), segment.style)


def counted(count: int, one: str, many: str = "") -> str:
    """Return the number with its noun, such as ``1 node`` and ``2 nodes``."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def described(values: Mapping[str, object]) -> str:
    """Return the values that are not empty as ``name value`` behind commas."""
    return ", ".join(f"{name} {value}" for name, value in values.items() if value)
