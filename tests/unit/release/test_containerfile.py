"""Test the container file: its instructions, its sources, and its command in an environment without a network."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.release.conftest import ROOT, Repository

FILE = ROOT / "release/Containerfile"
PLACE = "/usr/share/metalk8s-expand"


def instructions() -> Iterator[tuple[str, str]]:
    """Yield each instruction of the file with its text, in one line."""
    lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line:
            name, _, text = line.partition(" ")
            yield name, text


def test_containerfile_adds_one_layer_of_files_and_one_command_to_base() -> None:
    names = [name for name, _ in instructions()]
    assert names == ["ARG", "FROM", "ARG", "LABEL", "COPY", "RUN"]
    # Entry point, user and environment are those of the image of MetalK8s.
    assert dict(instructions())["FROM"] == "${BASE}"


def test_containerfile_states_no_version() -> None:
    assert not re.search(r"\d+\.\d+\.\d+", FILE.read_text(encoding="utf-8"))


def test_containerfile_passes_hadolint(released: Repository) -> None:
    shown = released.run("make", "--just-print", "--always-make", "release").stdout
    [python] = re.findall(r"^(\S+)/python -m release$", shown, re.MULTILINE)
    ran = released.run(f"{python}/hadolint", str(FILE))
    assert (ran.returncode, ran.stdout) == (0, "")


def test_sources_of_containerfile_are_in_release(released: Repository) -> None:
    copied = [text.split() for name, text in instructions() if name == "COPY"]
    assert [target for *_, target in copied] == [f"{PLACE}/"]
    for *sources, _ in copied:
        assert all(len(list(released.dist.glob(source))) == 1 for source in sources)
    assert (released.dist / "Containerfile").read_bytes() == FILE.read_bytes()


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Return a Python with pip, Salt and the client of Kubernetes, without this extension."""
    made = tmp_path / "image"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
    [site] = (made / "lib").glob("python3*/site-packages")
    (site / "salt.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return made / "bin/python3"


def run(python: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run the command of the file as a build does, without a network."""
    [command] = [text for name, text in instructions() if name == "RUN"]
    return subprocess.run(
        ["unshare", "--net", "/bin/sh", "-c", command.replace(PLACE, str(tmp_path / "share"))],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(python), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_command_of_containerfile_installs_extension_that_salt_loads(
    released: Repository, python: Path, tmp_path: Path
) -> None:
    (tmp_path / "share").mkdir()
    [wheel] = released.dist.glob("*.whl")
    shutil.copy(wheel, tmp_path / "share")
    ran = run(python, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    [library] = python.parent.parent.glob("lib/python3*/site-packages/metalk8s_expand")
    assert (library / "loader.py").is_file()


def test_command_of_containerfile_fails_without_wheel(python: Path, tmp_path: Path) -> None:
    ran = run(python, tmp_path)
    assert ran.returncode != 0
