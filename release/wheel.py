"""Build the wheel so that the same commit gives the same bytes, and check its metadata."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from packaging.metadata import ExceptionGroup, Metadata
from trove_classifiers import classifiers

from release.errors import ReleaseError

# The umask becomes the mode of directories and of generated files.
_UMASK = 0o022
_TIMEOUT_S = 300


def build(source: Path, target: Path, epoch: int) -> Path:
    """Build the wheel of a source tree into a directory, with this time in it; return its path.

    The build writes into the source tree. It uses the pinned tools of this environment and no
    network.
    """
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "SOURCE_DATE_EPOCH": str(epoch),
        # The order of a set is that of its hashes.
        "PYTHONHASHSEED": "0",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    ran = subprocess.run(
        [*command, "--outdir", str(target), str(source)],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
        env=environment,
        cwd=source,
        umask=_UMASK,
    )
    if ran.returncode:
        raise ReleaseError(f"the wheel was not built: {ran.stdout}{ran.stderr}")
    [made] = target.glob("*.whl")
    return made


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the content of each file of a wheel by its path."""
    with zipfile.ZipFile(wheel) as file:
        return {name: file.read(name) for name in file.namelist()}


def metadata(files: dict[str, bytes]) -> Metadata:
    """Return the metadata of a wheel with these files. Raises an error if it is not valid."""
    [name] = [name for name in files if name.endswith(".dist-info/METADATA")]
    try:
        return Metadata.from_email(files[name], validate=True)
    except ExceptionGroup as group:
        raise ReleaseError(
            *(f"the wheel's metadata is not valid: {error}" for error in group.exceptions)
        ) from group


def metadata_problems(found: Metadata, version: str) -> list[str]:
    """Return what is wrong with valid metadata of this version."""
    problems = [
        f"{classifier!r} is no classifier of PyPI: correct it in setup.cfg"
        for classifier in found.classifiers or []
        if classifier not in classifiers
    ]
    if str(found.version) != version:
        problems.append(f"the wheel has version {found.version}, and the library states {version}")
    if not found.license:
        problems.append("the wheel has no license: correct license in setup.cfg")
    if not found.description or not (found.description_content_type or "").startswith("text/mark"):
        problems.append("the wheel has no readme: correct long_description in setup.cfg")
    return problems
