"""Where results, evidence and the knowledge of the bases are: outside of the tree, below the lab's cache or $CHAOS_DIR."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
# What bases are made of, and what a run proves something of: the same, by this judgement. A fault that another one is added
# to is what it was; that a case is the same is seen in its result.
MADE_OF = ("salt", "lab")
JUDGES = ("invariants", "linearizability", "etcd_state", "workload")
PROVEN = (*MADE_OF, *(f"chaos/{name}.py" for name in JUDGES))


@dataclass(frozen=True)
class Place:
    """One directory."""

    root: Path

    @property
    def results(self) -> Path:
        return self.root / "results.jsonl"

    @property
    def bases(self) -> Path:
        """What the base snapshots were made of."""
        return self.root / "bases.json"

    @property
    def keys(self) -> Path:
        """Copies of the cluster's client certificates, for the time of a run."""
        return self.root / "keys"

    def evidence(self, name: str) -> Path:
        """What a run leaves."""
        return self.root / "runs" / name


def from_environment() -> Place:
    """The directory that the environment asks for, or the default."""
    cache = os.environ.get("METALK8S_LAB_CACHE", "/var/cache/metalk8s-expand-lab")
    return Place(Path(os.environ.get("CHAOS_DIR") or f"{cache}/chaos").absolute())


def fingerprint(parts: tuple[str, ...], repository: Path = REPOSITORY) -> str:
    """A short name for the content of these files and directories, committed or not; caches of tools are none of it."""
    digest = hashlib.sha256()
    for part in parts:
        top = repository / part
        for path in sorted(item for item in (top, *top.rglob("*")) if item.is_file()):
            name = path.relative_to(repository)
            if not any(word.startswith((".", "__pycache__")) for word in name.parts):
                digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def commit(repository: Path = REPOSITORY) -> str:
    """The commit, marked when something is not in it."""
    words = ["git", "-C", str(repository), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() or "unknown"
