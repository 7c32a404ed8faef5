"""etcd, etcdctl, kube-apiserver, kubectl and others, from the lab's cache.

If the cache does not have them, they are built first, which takes minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("etcd", "kubernetes")


def find() -> dict[str, Path]:
    """Return the paths of the programs by name."""
    sys.path.insert(0, str(ROOT / "lab"))
    from metalk8s_lab import lock, settings
    from metalk8s_lab.builders import binaries

    where = settings.from_environment()
    found: dict[str, Path] = binaries.prebuilt(where.prebuilt)
    builder = binaries.Builder(where)
    for module in binaries.MODULES:
        if module.name not in MODULES or set(module.programs) <= set(found):
            continue
        if (where.cache / "binaries" / f"{module.name}-{builder.key(module)}").exists():
            found = {**builder.build(module), **found}
        else:
            with lock.locked(where.state):
                found = {**builder.build(module), **found}
    return found
