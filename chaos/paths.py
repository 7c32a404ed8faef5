"""Define the paths of results, evidence and bases.

They are outside of the source tree: below the lab's cache, or in $CHAOS_DIR.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
# A base depends on the code in MADE_OF. A result is valid for the same code and the same modules
# that judge it. It does not depend on the other modules: a new fault leaves the existing faults
# as they are, and a result contains its case for comparison.
MADE_OF = ("salt", "lab")
JUDGES = ("invariants", "linearizability", "etcd_state", "workload")
PROVEN = (*MADE_OF, *(f"chaos/{name}.py" for name in JUDGES))


@dataclass(frozen=True)
class Place:
    """The directory of the harness."""

    root: Path

    @property
    def results(self) -> Path:
        return self.root / "results.jsonl"

    @property
    def bases(self) -> Path:
        """The file with the digest of the code that made the base snapshots."""
        return self.root / "bases.json"

    @property
    def keys(self) -> Path:
        """The directory with copies of the cluster's client certificates during a run."""
        return self.root / "keys"

    def evidence(self, name: str) -> Path:
        """Return the directory of a run's evidence."""
        return self.root / "runs" / name


def from_environment() -> Place:
    """Return the directory from the environment, or the default."""
    cache = os.environ.get("METALK8S_LAB_CACHE", "/var/cache/metalk8s-expand-lab")
    return Place(Path(os.environ.get("CHAOS_DIR") or f"{cache}/chaos").absolute())


def fingerprint(parts: tuple[str, ...], repository: Path = REPOSITORY) -> str:
    """Return a digest of 12 hexadecimal digits of files and directories, committed or not.

    The caches of tools are not part of it.
    """
    digest = hashlib.sha256()
    for part in parts:
        top = repository / part
        for path in sorted(item for item in (top, *top.rglob("*")) if item.is_file()):
            name = path.relative_to(repository)
            if not any(word.startswith((".", "__pycache__")) for word in name.parts):
                digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def commit(repository: Path = REPOSITORY) -> str:
    """Return the commit, with the mark ``-dirty`` if the tree has uncommitted changes."""
    words = ["git", "-C", str(repository), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() or "unknown"
