"""A question to the operator at the terminal of this process.

The question goes to standard error, so that standard output stays the result of the command.
"""

from __future__ import annotations

import signal
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from metalk8s_expand.clients.host.terminal import TerminalBlock


class OperatorTerminal:
    """The terminal that an operator reads on standard error, and types at on standard input."""

    @property
    def columns(self) -> int:
        """The width of the terminal in columns."""
        return TerminalBlock(sys.stderr).size.columns

    def missing(self) -> str:
        """Return which of the two streams is no terminal; empty if an operator can answer."""
        for stream, title in ((sys.stdin, "standard input"), (sys.stderr, "standard error")):
            if not _is_terminal(stream):
                return f"{title} is no terminal"
        return ""

    def ask(self, shown: str, question: str) -> str:
        """Print a text and a question, and return the line that the operator then types.

        The answer is empty after Ctrl-C, at the end of the input, and if the terminal is lost.
        """
        answer = ""
        with _interruptible(), suppress(KeyboardInterrupt, OSError, ValueError):
            print(f"{shown}\n", file=sys.stderr)
            # What was typed before the question is no answer to it.
            with suppress(termios.error):
                termios.tcflush(sys.stdin, termios.TCIFLUSH)
            print(question, end="", file=sys.stderr, flush=True)
            answer = sys.stdin.readline()
        if not answer.endswith("\n"):
            with suppress(OSError, ValueError):
                print(file=sys.stderr, flush=True)
        return answer.strip()


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the question: the handler of ``salt-run`` would exit with code 0."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        # None is a handler that was not set from Python, and Python cannot restore it.
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
