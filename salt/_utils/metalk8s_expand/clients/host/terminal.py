"""Lines of a terminal that are rewritten in place, without a mode that could stay set.

The block moves the cursor up and overwrites its own lines. It hides no cursor and uses no alternate
screen, so a process that is killed leaves the terminal usable.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TextIO

UP, CLEAR_LINE, CLEAR_BELOW = "\x1b[{}A", "\x1b[2K", "\x1b[J"
FALLBACK_SIZE = os.terminal_size((80, 24))


def can_rewrite(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether the stream is a terminal that can move its cursor."""
    try:
        return stream.isatty() and environment.get("TERM", "") not in ("", "dumb", "unknown")
    except (AttributeError, ValueError):
        return False


def has_color(environment: Mapping[str, str]) -> bool:
    """Return whether colors are permitted: NO_COLOR is not set, https://no-color.org."""
    return not environment.get("NO_COLOR")


class TerminalBlock:
    """The lines at the end of a terminal that the next ``draw`` replaces."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn: list[str] = []
        self._handlers: list[logging.Handler] = []

    @property
    def size(self) -> os.terminal_size:
        """The columns and lines of the terminal now: the operator may change its size."""
        with suppress(OSError, ValueError, AttributeError):
            size = os.get_terminal_size(self._stream.fileno())
            if size.columns > 0 and size.lines > 0:
                return size
        return FALLBACK_SIZE

    def draw(self, lines: Sequence[str]) -> None:
        """Replace the block by these lines, if they differ."""
        if list(lines) == self._drawn:
            return
        self._watch_log()
        text = self._to_start()
        for line in lines:
            text += f"{CLEAR_LINE}{line}\n"
        self._write(text + CLEAR_BELOW)
        self._drawn = list(lines)

    def erase(self) -> None:
        """Remove the block, so that other text can follow; the next ``draw`` shows it again."""
        if self._drawn:
            self._write(self._to_start() + CLEAR_BELOW)
            self._drawn = []

    def leave(self) -> None:
        """Keep the lines on the terminal as ordinary text."""
        self._drawn = []
        for handler in self._handlers:
            handler.removeFilter(self._before_log)
        self._handlers = []

    def _to_start(self) -> str:
        # A terminal that became smaller has scrolled the first lines away.
        lines = min(len(self._drawn), self.size.lines - 1)
        return "\r" + (UP.format(lines) if lines else "")

    def _write(self, text: str) -> None:
        # The run continues if the terminal is closed.
        with suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()

    def _watch_log(self) -> None:
        """Erase the block before a log handler prints a line on the same terminal."""
        if self._handlers:
            return
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream in (
                sys.stderr,
                sys.stdout,
                self._stream,
            ):
                handler.addFilter(self._before_log)
                self._handlers.append(handler)

    def _before_log(self, record: logging.LogRecord) -> bool:
        self.erase()
        return True
