"""Cache the results of slow builds in directories.

The name of a directory contains the digest of its input. A directory appears only when complete.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from metalk8s_lab.progress import working


def digest(*inputs: object) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the inputs (any JSON values)."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha.update(chunk)
    return sha.hexdigest()


def cached(place: Path, what: str, make: Callable[[Path], None]) -> Path:
    """Return ``place``; build it by ``make(directory)`` if it does not exist.

    An incomplete directory never appears at ``place``. Older variants with another digest stay, so
    that a return to an earlier branch finds them in the cache.
    """
    if place.exists():
        return place
    unfinished = place.with_name(f".new-{place.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    with working(what):
        make(unfinished)
    unfinished.rename(place)
    return place
