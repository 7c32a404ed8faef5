"""Things that take long to make are made once: a directory named by what it was made from, put in place when whole."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from metalk8s_lab.progress import working


def digest(*inputs: object) -> str:
    """A short name for a list of inputs (texts, numbers, lists, dictionaries of them)."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha.update(chunk)
    return sha.hexdigest()


def cached(place: Path, what: str, make: Callable[[Path], None]) -> Path:
    """Return ``place``, made first by ``make(directory)`` if it is not there; half-made ones are never seen.

    Older variants of the same thing (the same name, another key) stay: a branch switched back finds them again.
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
