"""axe-core, the accessibility checker, from the npm registry: one version, checked by its hash."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import tarfile
from pathlib import Path

PACKAGE, VERSION = "axe-core", "4.14.1"
INTEGRITY = "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
CACHE = Path(os.environ.get("METALK8S_LAB_CACHE") or "/var/cache/metalk8s-expand-lab")


def script() -> str:
    """Return the checker's script, from the cache if it is there."""
    folder = CACHE / PACKAGE
    archive = folder / f"{PACKAGE}-{VERSION}.tgz"
    if not archive.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["npm", "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--silent",
             f"--pack-destination={folder}"],
            cwd=folder, check=True, timeout=120, capture_output=True,
        )  # fmt: skip
    hashed = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{hashed}" != INTEGRITY:
        raise RuntimeError(
            f"{archive} is not {PACKAGE} {VERSION}: delete it and run the test again"
        )
    with tarfile.open(archive) as packed:
        member = packed.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()
