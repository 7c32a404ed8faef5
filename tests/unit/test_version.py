"""The version is stated in one place; what shows it to a reader agrees with that."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import metalk8s_expand

ROOT = Path(__file__).resolve().parents[2]
VERSION = metalk8s_expand.__version__
HOME = "salt/_utils/metalk8s_expand/__init__.py"
STATEMENT = re.compile(r"^\s*_*(?:version|release)_* *[=:] *[\"']?\d+\.\d+", re.MULTILINE)
SHOWN = re.compile(r"metalk8s[-_]expand-(\d+\.\d+\.\d+)")


def texts(*paths: str) -> dict[str, str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *paths],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in listed.stdout.splitlines()}


def test_version_is_stated_in_library_alone() -> None:
    places = texts("*.cfg", "*.toml", "bundle", "release", "docs/*.py", "docs/book", "salt/_utils")
    assert [name for name, text in places.items() if STATEMENT.search(text)] == [HOME]


def test_pages_show_archive_of_this_version() -> None:
    shown = {
        f"{name}: {found}"
        for name, text in texts("*.md", "docs").items()
        for found in SHOWN.findall(text)
        if found != VERSION
    }
    assert shown == set(), "docs/contributing/release.rst has the command that changes them"


def test_changelog_starts_with_this_version_or_unreleased() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[([^]]+)\]", text, re.MULTILINE)[0] in (VERSION, "Unreleased")
