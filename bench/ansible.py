"""Install Ansible into an environment of its own in the lab's cache."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

PACKAGE = "ansible-core==2.19.14"
CACHE = Path(os.environ.get("METALK8S_LAB_CACHE") or "/var/cache/metalk8s-expand-lab")


def program(name: str) -> Path:
    """Return a program of Ansible; install the package unless the cache has it.

    The name of the environment holds its input: the version of the package and that of Python.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    where = CACHE / f"{PACKAGE.replace('==', '-')}-{version}"
    # Another measurement may install it at the same time.
    with Path(f"{where}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (where / ".done").exists():
            python = [sys.executable, "-m", "venv", "--clear", str(where)]
            pip = [str(where / "bin" / "pip"), "install", "--quiet", PACKAGE]
            for command in (python, pip):
                subprocess.run(command, check=True, timeout=600)
            (where / ".done").touch()
    return where / "bin" / name
