"""A directory of snapshots: each is there whole, checked and readable by its owner only, or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from metalk8s_expand.domain.etcd import snapshot_policy
from metalk8s_expand.errors import PreflightError

_PIECE = 1024 * 1024
T = TypeVar("T")


class SnapshotFiles:
    """``setting`` is the key of the pillar that names the directory."""

    def __init__(self, directory: str, setting: str) -> None:
        self.directory = Path(directory)
        self.setting = setting

    def prepare(self, create: bool) -> None:
        """Make sure of the directory. Raises PreflightError when others could put their files in the place of ours.

        A place that is mounted is never created: without its mount it would be a directory of this very disk.
        """
        with self._told("be used"):
            if create:
                self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.directory.stat()
            if create and found.st_mode & 0o022:
                self._refuse(
                    f"can be written by others than its owner (mode {found.st_mode & 0o7777:04o})",
                    "chmod go-w",
                )
            if create and found.st_uid not in (0, os.geteuid()):
                self._refuse(f"belongs to the user {found.st_uid}", "chown root")

    def free(self) -> int:
        """How many bytes may still be written there."""
        with self._told("be measured"):
            found = os.statvfs(self.directory)
            return found.f_bavail * found.f_frsize

    def is_beside(self, other: SnapshotFiles) -> bool:
        """Whether both are of one file system."""
        with self._told("be used"):
            return self.directory.stat().st_dev == other.directory.stat().st_dev

    def path(self, name: str) -> Path:
        """Where a file is, or would be."""
        return self.directory / name

    def names(self) -> list[str]:
        """All that is there, whosever it is."""
        with self._told("be listed"):
            return sorted(path.name for path in self.directory.iterdir())

    def save(self, name: str, pieces: Iterable[bytes], check: Callable[[Path], T]) -> T:
        """Write a file, read it again with ``check``, and give it its name only then. What ``check`` returned.

        Whatever is raised, by the check or while the pieces come, nothing of the file is left.
        """
        partial = self.path(snapshot_policy.partial(name))
        try:
            self._write(partial, pieces)
            with self._told("be read again"):
                found = check(partial)
            with self._told("be written to"):
                os.replace(partial, self.path(name))
                self._sync()
            return found
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def remove(self, names: Iterable[str]) -> None:
        """Remove these; one that another has removed meanwhile is no failure."""
        with self._told("be cleared up"):
            for name in names:
                self.path(name).unlink(missing_ok=True)

    def _write(self, path: Path, pieces: Iterable[bytes]) -> None:
        with self._told("be written to"):
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with self._told("be written to"), os.fdopen(descriptor, "wb") as stream:
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            os.fsync(descriptor)
            # What is read again is then what the disk has, not what memory remembers.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def _sync(self) -> None:
        directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        except OSError as exc:
            # Some network file systems know no such thing of a directory.
            if exc.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(directory)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            self._refuse(f"cannot {what}: {exc.strerror or exc}", "make it usable", exc)

    def _refuse(self, what: str, remedy: str, cause: OSError | None = None) -> None:
        raise PreflightError(
            f"the directory of etcd's snapshots, {self.directory}, {what}",
            hint=f"{remedy} {self.directory}, or name another in metalk8s_expand:etcd_snapshot:{self.setting}",
        ) from cause


def contents(path: Path) -> Iterator[bytes]:
    """A file, piece by piece."""
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            yield piece
