"""The commands and the outputs of the pages, so that what is tested is what an operator types and sees.

A mark above a block of commands says how the block is tested. It is a comment of the page, and holds
for all blocks until the next mark:

``.. run: SITUATION``
    ``tests/lab`` types the block in one of ``SITUATIONS`` and compares the exit code with 0.
``.. run: SITUATION, exit code N``
    The last command of the block ends with this exit code.
``.. tested: tests/lab/test_x.py``
    These tests, separated by commas, run the commands with other names and values.
``.. not tested: REASON``
    No test can run the commands, for this reason.

An output is a file of ``docs/shown``. It belongs to the last command of the block above it:

``.. literalinclude:: /shown/NAME.txt``
    The tests of the lab compare the file with the output. With ``:start-at:`` and ``:end-before:``
    the page shows, and the tests compare, a part of it.
``.. not recorded: REASON``
    The text below this mark is no recorded output, for this reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SHOWN = "shown"
SITUATIONS = (
    "on blank hosts",
    "on the expanded cluster",
    "during a run",
    "with a full disk on worker-1",
    "on the development machine",
)
_TITLE = re.compile(r"([0-9]+)\. .+")
_COMMAND = re.compile(r" +root@([a-z]+) \$ (.+)")
_MARK = re.compile(r" *\.\. (run|tested|not tested): (.+)")
_EXIT_CODE = re.compile(r"(.+), exit code ([0-9]+)")
_BLOCK = re.compile(r"( *)\.\. code-block:: console$")
_TEXT = re.compile(r" *\.\. code-block:: text$")
_NOT_RECORDED = re.compile(r" *\.\. not recorded: (.+)")
_OUTPUT = re.compile(rf"( *)\.\. literalinclude:: /{SHOWN}/(.+)$")
_PROMPT = re.compile(r"(?:root@([a-z0-9-]+) )?[$#] (.+)")
_FUNCTION = re.compile(r"\bmetalk8s_expand\.([a-z_]+)")
_OPTION = re.compile(r" ([a-z_]+)=")


@dataclass(frozen=True)
class Command:
    """A command in one line, and the host in its prompt; without a host it is empty."""

    where: str
    text: str


@dataclass(frozen=True)
class Output:
    """An output that a page shows: its file, and where the part begins and ends."""

    name: str
    start: str = ""
    end: str = ""

    def part(self, text: str) -> str:
        """Return the part of an output that the page shows, by the rules of ``literalinclude``."""
        lines = text.splitlines()
        first = next((n for n, line in enumerate(lines) if self.start in line), len(lines))
        after = range(first + 1, len(lines))
        last = next((n for n in after if self.end and self.end in lines[n]), len(lines))
        return "\n".join(lines[first:last])


@dataclass(frozen=True)
class Mark:
    """What a mark says; without a mark all is empty.

    ``situation`` and ``code`` are those of ``run``, ``tests`` are the paths of ``tested``, and
    ``reason`` is the text of ``not tested``.
    """

    situation: str = ""
    code: int = 0
    tests: tuple[str, ...] = ()
    reason: str = ""

    @classmethod
    def parse(cls, kind: str, text: str) -> Mark:
        """Return the mark of this kind with the text behind its colon."""
        if kind == "tested":
            return cls(tests=tuple(re.split(r",\s*", text)))
        if kind == "not tested":
            return cls(reason=text)
        code = _EXIT_CODE.fullmatch(text)
        return cls(code[1], int(code[2])) if code else cls(text)


@dataclass(frozen=True)
class Block:
    """A block of commands: its page and line, its lines, its mark, and the outputs below it."""

    page: str
    line: int
    lines: tuple[str, ...]
    mark: Mark = field(default_factory=Mark)
    outputs: list[Output] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """Return the runner functions that the commands call, and the names of their arguments."""
        called = [line for line in self.lines if _FUNCTION.search(line)]
        return {
            name for line in called for name in (*_FUNCTION.findall(line), *_OPTION.findall(line))
        }

    @property
    def commands(self) -> list[Command]:
        """Return the commands in one line each, without the lines of output between them."""
        return [
            Command(typed[1] or "", typed[2])
            for line in self._joined()
            if (typed := _PROMPT.fullmatch(line))
        ]

    @property
    def printed(self) -> list[str]:
        """Return the lines that are no command and so claim to be output."""
        return [line for line in self._joined() if not _PROMPT.fullmatch(line)]

    def _joined(self) -> list[str]:
        return re.sub(r" *\\\n", " ", "\n".join(self.lines)).splitlines()

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
    for path in _pages(top):
        yield from _blocks(str(path.relative_to(top)), path.read_text(encoding="utf-8"))


def unrecorded(top: Path = DOCS) -> dict[str, str]:
    """Return the reason of each text that is no recorded output, by page and line."""
    reasons = {}
    for path in _pages(top):
        above = ""
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if _TEXT.fullmatch(line):
                mark = _NOT_RECORDED.fullmatch(above)
                reasons[f"{path.relative_to(top)}:{number}"] = mark[1] if mark else ""
            above = line if line.strip() else above
    return reasons


def _pages(top: Path) -> list[Path]:
    return sorted(top.rglob("*.rst"))


def _blocks(page: str, text: str) -> Iterator[Block]:
    mark = Mark()
    made: list[Block] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        below = lines[number + 1 :]
        if marked := _MARK.fullmatch(line):
            mark = Mark.parse(marked[1], marked[2])
        elif block := _BLOCK.fullmatch(line):
            made.append(Block(page, number + 1, tuple(_inner(below, block[1])), mark))
        elif (output := _OUTPUT.fullmatch(line)) and made:
            options = dict(re.findall(r":([a-z-]+): (.+)", "\n".join(_inner(below, output[1]))))
            part = Output(output[2], options.get("start-at", ""), options.get("end-before", ""))
            made[-1].outputs.append(part)
    yield from made


def _inner(lines: Sequence[str], indent: str) -> Iterator[str]:
    """Yield the stripped lines that belong to a directive with this indent."""
    for line in lines:
        if line.strip() and len(line) - len(line.lstrip()) <= len(indent):
            break
        if line.strip():
            yield line.strip()
