"""Signals that a run heeds between two steps: Ctrl-C and an orderly end, but not the loss of its terminal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

HEEDED = (signal.SIGINT, signal.SIGTERM)
# Whoever is cut off from a run can follow it from elsewhere; half of it is no reason to end.
IGNORED = (signal.SIGHUP,)


class SignalFlag:
    """The first signal that asked for an end; nothing before."""

    name = ""

    def note(self, number: int, frame: FrameType | None) -> None:
        """The second one is meant: it ends the process at once."""
        if self.name:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name


@contextmanager
def handle_signals() -> Iterator[SignalFlag]:
    """As long as this lasts; in a thread there are no signals, and nothing is heard."""
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
            # None is a handler that was not set from Python, and cannot be.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
