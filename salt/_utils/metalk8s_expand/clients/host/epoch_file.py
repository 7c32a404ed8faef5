"""The file on a host that records the fencing epoch of the last run."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metalk8s_expand.clients.host.clock import Clock, Pending, Wait, poll_until
from metalk8s_expand.errors import ConflictError, DeployError

# Other processes hold the lock only while they write one file.
LOCK_TIMEOUT_S, LOCK_INTERVAL_S = 5.0, 0.05


class EpochFile:
    """One number in a file that only root can read and that is replaced atomically."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the file against other processes. Raises DeployError when the file system fails."""
        try:
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                _lock(directory)
                yield
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as exc:
            raise DeployError(
                f"the epoch of this host cannot be stored in {self.path}: {exc}",
                hint="repair the file system",
            ) from exc

    def read(self) -> int | None:
        """Return the epoch, or None if no run was here. Raises ConflictError if it is no number."""
        try:
            text = self.path.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return None
        if not (text.isascii() and text.isdigit()):
            raise ConflictError(
                f"{self.path} holds {text[:40]!r}, which is not an epoch",
                hint=(
                    "make sure that no run works on this host (salt-run jobs.active), then remove"
                    f" {self.path}"
                ),
            )
        return int(text)

    def write(self, epoch: int) -> None:
        """Replace the epoch."""
        temporary = self.path.with_name(f".{self.path.name}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            os.fchmod(descriptor, 0o600)
            stream.write(f"{epoch}\n")
            stream.flush()
            os.fsync(descriptor)
        os.replace(temporary, self.path)


def _lock(directory: int) -> None:
    def attempt() -> bool | Pending:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            return Pending((str(exc),))
        return True

    wait = Wait(
        "another process to unlock the epoch of this host",
        LOCK_TIMEOUT_S,
        interval=LOCK_INTERVAL_S,
        hint="find the process that holds it: fuser /etc/metalk8s, and run the same command again",
        error=DeployError,
    )
    poll_until(wait, attempt, Clock())
