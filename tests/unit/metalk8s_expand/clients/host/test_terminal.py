"""Lines are rewritten on an emulated terminal, which other output does not spoil."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator

import pytest

from metalk8s_expand.clients.host.terminal import TerminalBlock, can_rewrite, has_color


class Screen:
    """What a terminal shows: it understands the three sequences that a block uses, and no other."""

    def __init__(self) -> None:
        self.rows: list[str] = [""]
        self.row = 0

    def feed(self, text: str) -> list[str]:
        for part in re.findall(r"\x1b\[\d*[AKJ]|\r\n|\n|\r|[^\x1b\r\n]+|\x1b.*", text):
            if part in ("\n", "\r\n"):
                self.row += 1
                if self.row == len(self.rows):
                    self.rows.append("")
            elif up := re.fullmatch(r"\x1b\[(\d+)A", part):
                self.row -= int(up[1])
                assert self.row >= 0
            elif part == "\x1b[2K":
                self.rows[self.row] = ""
            elif part == "\x1b[J":
                self.rows[self.row :] = [""]
            elif part != "\r":
                assert not part.startswith("\x1b"), part
                self.rows[self.row] += part
        return [row for row in self.rows if row]


class Stream(io.StringIO):
    """A terminal without a file."""

    def isatty(self) -> bool:
        return True

    def taken(self) -> str:
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


def test_lines_are_replaced() -> None:
    stream, screen = Stream(), Screen()
    block = TerminalBlock(stream)
    print("before", file=stream)
    block.draw(["a", "b", "c"])
    assert screen.feed(stream.taken()) == ["before", "a", "b", "c"]
    block.draw(["a2", "b2"])
    assert screen.feed(stream.taken()) == ["before", "a2", "b2"]
    block.draw(["a2", "b2"])
    assert stream.taken() == ""
    block.erase()
    print("line", file=stream)
    block.draw(["a3"])
    assert screen.feed(stream.taken()) == ["before", "line", "a3"]
    block.leave()
    print("after", file=stream)
    assert screen.feed(stream.taken()) == ["before", "line", "a3", "after"]


def test_log_line_does_not_mix_with_lines() -> None:
    stream, screen = Stream(), Screen()
    handler = logging.StreamHandler(stream)
    log = logging.getLogger()
    log.addHandler(handler)
    try:
        block = TerminalBlock(stream)
        block.draw(["a", "b"])
        log.warning("a warning")
        block.draw(["a", "b2"])
        assert screen.feed(stream.taken()) == ["a warning", "a", "b2"]
        block.leave()
        log.warning("another")
        assert handler.filters == []
        assert screen.feed(stream.taken()) == ["a warning", "a", "b2", "another"]
    finally:
        log.removeHandler(handler)


def test_closed_terminal_stops_nothing() -> None:
    stream = Stream()
    block = TerminalBlock(stream)
    stream.close()
    block.draw(["a"])
    block.erase()
    block.leave()


@pytest.fixture
def terminal() -> Iterator[int]:
    ours, theirs = pty.openpty()
    yield theirs
    os.close(ours)
    os.close(theirs)


def test_size_follows_terminal(terminal: int) -> None:
    with open(terminal, "w", closefd=False, encoding="utf-8") as stream:
        block = TerminalBlock(stream)
        for lines, columns in ((10, 50), (30, 120)):
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            assert block.size == (columns, lines)
        # ``kubectl exec`` may report no size at first.
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
        assert block.size == (80, 24)


def test_only_terminal_with_cursor_is_rewritten(terminal: int) -> None:
    with open(terminal, "w", closefd=False, encoding="utf-8") as stream:
        assert can_rewrite(stream, {"TERM": "xterm"})
        assert not can_rewrite(stream, {"TERM": "dumb"})
        assert not can_rewrite(stream, {})
    assert not can_rewrite(io.StringIO(), {"TERM": "xterm"})


def test_no_color() -> None:
    assert has_color({}) and has_color({"NO_COLOR": ""})
    assert not has_color({"NO_COLOR": "1"})
