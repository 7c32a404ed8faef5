"""Signals that a run handles between two steps: SIGINT and SIGTERM, but not SIGHUP."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

HEEDED = (signal.SIGINT, signal.SIGTERM)
# An operator who loses the terminal can follow the run from another one, so the run does not stop
# halfway.
IGNORED = (signal.SIGHUP,)


class SignalFlag:
    """The name of the first signal that requested an end, empty before it."""

    name = ""

    def note(self, number: int, frame: FrameType | None) -> None:
        """Record the first signal; the second one ends the process at once."""
        if self.name:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name


@contextmanager
def handle_signals() -> Iterator[SignalFlag]:
    """Handle signals inside the block; a thread other than the main thread receives none."""
    heard = SignalFlag()
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    handlers: dict[signal.Signals, Any] = {
        **dict.fromkeys(HEEDED, heard.note),
        **dict.fromkeys(IGNORED, signal.SIG_IGN),
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            # None is a handler that was not set from Python, and Python cannot restore it.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
