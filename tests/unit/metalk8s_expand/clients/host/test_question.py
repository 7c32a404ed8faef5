"""A question is asked on a pseudo-terminal, whose other end is the operator."""

from __future__ import annotations

import io
import os
import pty
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from metalk8s_expand.clients.host.question import OperatorTerminal

QUESTION = "Really? "


class Operator:
    """The operator's end of a terminal, and the end of the process."""

    def __init__(self, typed: bytes, typed_early: bytes = b"") -> None:
        self.end, self.process = pty.openpty()
        self.typed = typed
        self.seen = b""
        os.write(self.end, typed_early)
        self.thread = threading.Thread(target=self._answer, daemon=True)
        self.thread.start()

    def _answer(self) -> None:
        # The read fails when the process's end is closed.
        with suppress(OSError):
            while QUESTION.encode() not in self.seen:
                self.seen += os.read(self.end, 1000)
            os.write(self.end, self.typed)

    def rest(self) -> str:
        os.set_blocking(self.end, False)
        with suppress(OSError):
            self.seen += os.read(self.end, 1000)
        return self.seen.decode().replace("\r\n", "\n")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Operator]]:
    """Return a function that makes a terminal the standard streams of this process."""
    opened: list[Operator] = []

    def made(typed: bytes, typed_early: bytes = b"") -> Operator:
        operator = Operator(typed, typed_early)
        opened.append(operator)
        monkeypatch.setattr(sys, "stdin", os.fdopen(operator.process, closefd=False))
        monkeypatch.setattr(sys, "stderr", os.fdopen(operator.process, "w", closefd=False))
        return operator

    yield made  # type: ignore[misc]
    for operator in opened:
        os.close(operator.process)
        operator.thread.join(5)
        os.close(operator.end)


@pytest.mark.parametrize(
    ("typed", "answer"), [(b"yes\n", "yes"), (b" no \n", "no"), (b"\n", ""), (b"\x04", "")]
)
def test_answer_is_the_typed_line(terminal: type[Operator], typed: bytes, answer: str) -> None:
    operator = terminal(typed)
    assert OperatorTerminal().missing() == ""
    assert OperatorTerminal().ask("the plan", QUESTION) == answer
    assert operator.rest().startswith(f"the plan\n\n{QUESTION}")


def test_line_typed_before_the_question_is_no_answer(terminal: type[Operator]) -> None:
    terminal(b"no\n", typed_early=b"yes\n")
    # The line discipline has the early line only after a moment.
    time.sleep(0.05)
    assert OperatorTerminal().ask("the plan", QUESTION) == "no"


def test_bytes_that_are_no_text_are_no_answer(
    terminal: type[Operator], monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = terminal(b"yes\xff\n")
    monkeypatch.setattr(sys, "stdin", os.fdopen(operator.process, encoding="utf-8", closefd=False))
    assert OperatorTerminal().ask("the plan", QUESTION) == ""


def test_interrupt_is_no_answer_and_the_handler_returns(
    terminal: type[Operator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler of salt-run would end the process with exit code 0."""
    terminal(b"yes\n")
    monkeypatch.setattr(
        sys.stdin, "readline", lambda: signal.raise_signal(signal.SIGINT), raising=False
    )
    before = signal.signal(signal.SIGINT, lambda *_: pytest.fail("the handler of salt-run"))
    try:
        assert OperatorTerminal().ask("the plan", QUESTION) == ""
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("stream", "title"), [("stdin", "standard input"), ("stderr", "standard error")]
)
def test_stream_that_is_no_terminal_is_named(
    terminal: type[Operator], monkeypatch: pytest.MonkeyPatch, stream: str, title: str
) -> None:
    terminal(b"")
    closed = io.StringIO()
    closed.close()
    for other in (io.StringIO(), closed, None):
        monkeypatch.setattr(sys, stream, other)
        assert OperatorTerminal().missing() == f"{title} is no terminal"
