"""A directory of snapshots: each is complete, verified and readable by its owner only."""

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
    """A snapshot directory; ``setting`` is the pillar key that names it."""

    def __init__(self, directory: str, setting: str) -> None:
        self.directory = Path(directory)
        self.setting = setting

    def prepare(self, create: bool) -> None:
        """Create or check the directory.

        Raises PreflightError when other users could replace its files.

        A mount point is never created: without its mount it would be a directory on the local disk.
        """
        with self._refusing("be accessed"):
            if create:
                self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self.directory.stat()
            if create and status.st_mode & 0o022:
                self._refuse(
                    "is writable by other users than its owner (mode"
                    f" {status.st_mode & 0o7777:04o})",
                    "chmod go-w",
                )
            if create and status.st_uid not in (0, os.geteuid()):
                self._refuse(f"belongs to the user {status.st_uid}", "chown root")

    def free(self) -> int:
        """Return the free bytes of the file system."""
        with self._refusing("report its free space"):
            space = os.statvfs(self.directory)
            return space.f_bavail * space.f_frsize

    def is_beside(self, other: SnapshotFiles) -> bool:
        """Return whether both are on the same file system."""
        with self._refusing("be accessed"):
            return self.directory.stat().st_dev == other.directory.stat().st_dev

    def path(self, name: str) -> Path:
        """Return the path of a file, which may not exist."""
        return self.directory / name

    def names(self) -> list[str]:
        """Return all files in the directory, of any owner."""
        with self._refusing("be listed"):
            return sorted(path.name for path in self.directory.iterdir())

    def save(self, name: str, pieces: Iterable[bytes], check: Callable[[Path], T]) -> T:
        """Write a file, read it again with ``check``, then rename it.

        Return the result of ``check``. If the check or the source of the pieces raises an
        exception, no part of the file remains.
        """
        partial = self.path(snapshot_policy.partial(name))
        try:
            self._write(partial, pieces)
            with self._refusing("be read again"):
                result = check(partial)
            with self._refusing("be written to"):
                os.replace(partial, self.path(name))
                self._sync()
            return result
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def remove(self, names: Iterable[str]) -> None:
        """Remove the files; a file that another process has already removed is no error."""
        with self._refusing("be cleaned up"):
            for name in names:
                self.path(name).unlink(missing_ok=True)

    def _write(self, path: Path, pieces: Iterable[bytes]) -> None:
        with self._refusing("be written to"):
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with self._refusing("be written to"), os.fdopen(descriptor, "wb") as stream:
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            os.fsync(descriptor)
            # The check then reads from the disk, not from the page cache.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def _sync(self) -> None:
        directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        except OSError as exc:
            # Some network file systems do not support this on a directory.
            if exc.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(directory)

    @contextmanager
    def _refusing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            self._refuse(
                f"cannot {what}: {exc.strerror or exc}", "make this directory accessible:", exc
            )

    def _refuse(self, what: str, remedy: str, cause: OSError | None = None) -> None:
        raise PreflightError(
            f"the directory of etcd's snapshots, {self.directory}, {what}",
            hint=(
                f"{remedy} {self.directory}, or set metalk8s_expand:etcd_snapshot:{self.setting} to"
                " another directory"
            ),
        ) from cause


def contents(path: Path) -> Iterator[bytes]:
    """Yield a file in pieces."""
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            yield piece
