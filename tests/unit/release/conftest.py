"""A repository with the files of this tree, of which `make release` makes a release as a maintainer would."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from bundle import build
from tests.once import once

ROOT = Path(__file__).resolve().parents[3]
VERSION = build.version(ROOT)
DAY = "2026-03-04"


@dataclass(frozen=True)
class Repository:
    """A repository of one commit, which has the time of the same day."""

    root: Path

    @property
    def dist(self) -> Path:
        return self.root / "dist" / VERSION

    def run(
        self, *command: str, umask: int = 0o022, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it, without the variables of an outer make or git."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MAKE", "MFLAGS", "GIT_", "PYTHON", "INSTALLED"))
        }
        who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org"}
        who |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in who.items()}
        when = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), f"{DAY}T05:06:07Z")
        return subprocess.run(
            command,
            cwd=self.root,
            env=kept | who | when | {"GIT_CONFIG_GLOBAL": "/dev/null"} | variables,
            umask=umask,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def commit(self) -> None:
        for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "-m", "all")):
            ran = self.run("git", *command)
            assert ran.returncode == 0, ran.stderr

    def release(self, umask: int = 0o022, **variables: str) -> str:
        ran = self.run("make", "--no-print-directory", "release", umask=umask, **variables)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


def copy(place: Path) -> Repository:
    """Copy the files that git knows of this tree, with a changelog that releases the version."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.rstrip("\0").split("\0"):
        # A file may be deleted and not yet committed.
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    changelog = place / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    heading = f"## [{VERSION}] - {DAY}"
    changelog.write_text(text.replace("## [Unreleased]", heading, 1), encoding="utf-8")
    return Repository(place)


def _release(place: Path) -> None:
    made = copy(place)
    made.commit()
    made.release(umask=0o022, PYTHONHASHSEED="1")


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Return a repository with a release, which no test may change."""
    return Repository(once(tmp_path_factory, "released", _release))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Return a small repository with what the checks before a release read."""
    (tmp_path / "file").write_text("text\n")
    made = Repository(tmp_path)
    made.commit()
    return made
