"""Write reproducible tar archives: sorted, without times, owned by root.

The same files always give the same bytes.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Entry:
    """An entry of an archive.

    It is a file (``source`` on disk or ``content``), a symbolic link, or otherwise a directory.
    """

    name: str
    mode: int = 0o755
    source: Path | None = None
    content: bytes | None = None
    link: str | None = None


def write(target: Path, entries: Iterable[Entry]) -> None:
    """Write an archive and add the missing parent directories.

    Raise ``ValueError`` if two entries have the same name.
    """
    by_name: dict[str, Entry] = {}
    for entry in entries:
        if entry.name in by_name:
            raise ValueError(f"{target.name}: {entry.name} is given twice")
        by_name[entry.name] = entry
    for name in list(by_name):
        for parent in Path(name).parents:
            if str(parent) != ".":
                by_name.setdefault(str(parent), Entry(str(parent)))
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as archive:
        for _, entry in sorted(by_name.items()):
            _add(archive, entry)


def _add(archive: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.name)
    info.mode = entry.mode
    if entry.link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
        archive.addfile(info)
    elif entry.source is not None:
        info.size = entry.source.stat().st_size
        with entry.source.open("rb") as file:
            archive.addfile(info, file)
    elif entry.content is not None:
        info.size = len(entry.content)
        archive.addfile(info, io.BytesIO(entry.content))
    else:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)


def tree(root: Path, prefix: str, keep: Callable[[str], bool] = lambda _: True) -> Iterator[Entry]:
    """Yield the files and links below a directory as entries below ``prefix``.

    ``keep`` selects them by their path relative to the directory.
    """
    for directory, names, files in os.walk(root):
        here = Path(directory)
        links = [name for name in names if (here / name).is_symlink()]
        names[:] = [
            name
            for name in names
            if name not in links and keep(str((here / name).relative_to(root)))
        ]
        for name in [*files, *links]:
            path = here / name
            below = str(path.relative_to(root))
            if not keep(below):
                continue
            if path.is_symlink():
                yield Entry(f"{prefix}/{below}", mode=0o777, link=os.readlink(path))
            elif path.is_file():
                yield Entry(f"{prefix}/{below}", mode=path.stat().st_mode & 0o777, source=path)
