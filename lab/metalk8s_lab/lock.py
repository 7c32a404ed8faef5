"""Lock the lab so that one command at a time changes it; read-only commands do not wait."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metalk8s_lab.errors import LabError
from metalk8s_lab.progress import progress

_WAIT_SECONDS = 1800.0


@contextmanager
def locked(directory: Path, wait: float = _WAIT_SECONDS) -> Iterator[None]:
    """Hold the lab's lock; the kernel releases it when this process ends, even by SIGKILL."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    with (directory / "lock").open("a+") as file:
        _acquire(file.fileno(), directory / "lock", wait)
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _acquire(descriptor: int, path: Path, wait: float) -> None:
    deadline = time.monotonic() + wait
    told = False
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text().strip() or "unknown"
        if time.monotonic() > deadline:
            raise LabError(
                f"another lab command (process {holder}) still holds {path} after {wait:.0f} s"
            )
        if not told:
            progress(f"another lab command runs (process {holder}); waiting for it")
            told = True
        time.sleep(0.2)
