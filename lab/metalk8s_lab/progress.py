"""Print the progress of the lab to stderr with the time since the command began.

The lines show the user that the command does not hang.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_BEGAN = time.monotonic()
_REPEAT_SECONDS = 15.0


def progress(message: str) -> None:
    """Print one line with the seconds since this command began."""
    print(f"[{time.monotonic() - _BEGAN:6.1f}s] {message}", file=sys.stderr, flush=True)


@contextmanager
def working(message: str) -> Iterator[None]:
    """Print a line when work begins, one every 15 seconds, and its duration at the end."""
    began = time.monotonic()
    done = threading.Event()

    def remind() -> None:
        while not done.wait(_REPEAT_SECONDS):
            progress(f"{message} … still at it after {time.monotonic() - began:.0f} s")

    progress(f"{message} …")
    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        yield
    finally:
        done.set()
    progress(f"{message}: done in {time.monotonic() - began:.1f} s")
