"""Read the secret files of the control plane on the host of the Salt master."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def read_existing(directory: str, files: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of the files that exist below the directory, by the keys of ``files``."""
    texts = {}
    for key, name in files.items():
        path = Path(directory) / name
        if path.is_file():
            texts[key] = path.read_text(encoding="utf-8")
    return texts
