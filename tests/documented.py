"""The commands of the pages, so that what is tested is what an operator types.

A mark above a block of commands says how the block is tested. It is a comment of the page, and holds
for all blocks until the next mark:

``.. tested: tests/lab/test_x.py``
    These tests, separated by commas, run the commands, some with other names and values.
``.. not tested: REASON``
    No test can run the commands, for this reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
_TITLE = re.compile(r"([0-9]+)\. .+")
_COMMAND = re.compile(r" +root@([a-z]+) \$ (.+)")
_MARK = re.compile(r" *\.\. (tested|not tested): (.+)")
_BLOCK = re.compile(r"( *)\.\. code-block:: console$")
_FUNCTION = re.compile(r"\bmetalk8s_expand\.([a-z_]+)")
_OPTION = re.compile(r" ([a-z_]+)=")


@dataclass(frozen=True)
class Command:
    """A command in one line, and the host in its prompt."""

    where: str
    text: str


@dataclass(frozen=True)
class Block:
    """A block of commands: its page and line, its lines, and what the mark above it says.

    ``tests`` are the paths of a mark ``tested``, ``reason`` is the text of a mark ``not tested``.
    Without a mark both are empty.
    """

    page: str
    line: int
    lines: tuple[str, ...]
    tests: tuple[str, ...] = ()
    reason: str = ""

    @property
    def names(self) -> set[str]:
        """Return the runner functions that the commands call, and the names of their arguments."""
        called = [line for line in self.lines if _FUNCTION.search(line)]
        return {
            name for line in called for name in (*_FUNCTION.findall(line), *_OPTION.findall(line))
        }

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def steps(page: str) -> dict[int, list[Command]]:
    """Return the commands below each numbered title of a page."""
    text = re.sub(r" *\\\n *", " ", (DOCS / page).read_text(encoding="utf-8"))
    found: dict[int, list[Command]] = {}
    for line in text.splitlines():
        if title := _TITLE.fullmatch(line):
            found[int(title[1])] = []
        elif (command := _COMMAND.fullmatch(line)) and found:
            found[max(found)].append(Command(command[1], command[2]))
    return found


def blocks(top: Path = DOCS) -> Iterator[Block]:
    """Yield every block of commands of all pages, in the order of pages and lines."""
    for path in sorted(top.rglob("*.rst")):
        yield from _blocks(str(path.relative_to(top)), path.read_text(encoding="utf-8"))


def _blocks(page: str, text: str) -> Iterator[Block]:
    tests: tuple[str, ...] = ()
    reason = ""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if mark := _MARK.fullmatch(line):
            is_tested = mark[1] == "tested"
            tests = tuple(re.split(r",\s*", mark[2])) if is_tested else ()
            reason = "" if is_tested else mark[2]
        elif block := _BLOCK.fullmatch(line):
            indent = len(block[1])
            held = []
            for following in lines[number + 1 :]:
                if following.strip() and len(following) - len(following.lstrip()) <= indent:
                    break
                held.append(following.strip())
            yield Block(page, number + 1, tuple(filter(None, held)), tests, reason)
