"""Test a release as `make release` makes it: its files, and that the same commit gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from bundle import build
from tests.unit.release.conftest import DAY, VERSION, Repository, copy

WHEEL = f"metalk8s_expand-{VERSION}-py3-none-any.whl"
ARCHIVE = f"metalk8s-expand-{VERSION}.tar.gz"
ARTIFACTS = (WHEEL, ARCHIVE)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def contents(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir()}


def parts(artifact: Path) -> dict[str, bytes]:
    """Return the files of a wheel or of an archive."""
    if artifact.suffix == ".whl":
        with zipfile.ZipFile(artifact) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist()}
    found = {}
    with tarfile.open(artifact) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            found[member.name.partition("/")[2]] = file.read()
    return found


def bill(released: Repository, artifact: str) -> dict[str, Any]:
    text = (released.dist / f"{artifact}.cdx.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def test_release_has_files_of_list(released: Repository) -> None:
    assert set(contents(released.dist)) == {
        *ARTIFACTS, f"{ARCHIVE}.sha256", *(f"{name}.cdx.json" for name in ARTIFACTS),
        "Containerfile", "RELEASE_NOTES.md", "SHA256SUMS",
    }  # fmt: skip
    assert [path.name for path in released.dist.parent.iterdir()] == [VERSION]


def test_release_lists_digest_of_every_other_file(released: Repository) -> None:
    found = contents(released.dist)
    lines = found.pop("SHA256SUMS").decode().splitlines()
    assert {name: sum_ for sum_, _, name in (line.partition("  ") for line in lines)} == {
        name: digest(data) for name, data in found.items()
    }


def test_same_commit_gives_same_bytes(released: Repository, tmp_path: Path) -> None:
    again = copy(tmp_path / "other place")
    for path in again.root.rglob("*"):
        os.utime(path, (time.time() - 86400, time.time() - 86400))
    again.commit()
    again.release(umask=0o077, PYTHONHASHSEED="2", TZ="Pacific/Auckland", SOURCE_DATE_EPOCH="1")
    assert {name: digest(data) for name, data in contents(again.dist).items()} == {
        name: digest(data) for name, data in contents(released.dist).items()
    }


def test_archive_is_that_of_make_bundle(released: Repository) -> None:
    root = released.root
    made = build.archive(root, build.files(root))
    assert (released.dist / ARCHIVE).read_bytes() == made


def test_wheel_has_time_of_commit_and_modes_without_umask(released: Repository) -> None:
    with zipfile.ZipFile(released.dist / WHEEL) as wheel:
        # A wheel has no time zone, and its seconds are even.
        assert {info.date_time for info in wheel.infolist()} == {(2026, 3, 4, 5, 6, 6)}
        modes = {info.external_attr >> 16 & 0o777 for info in wheel.infolist()}
        assert modes <= {0o644, 0o664, 0o755}


def test_notes_are_section_of_version(released: Repository) -> None:
    notes = (released.dist / "RELEASE_NOTES.md").read_text(encoding="utf-8")
    assert notes.startswith(f"# metalk8s-expand {VERSION}\n\nReleased on {DAY}.\n")
    history = (released.root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert notes.rpartition(f"{DAY}.\n\n")[2].strip() in history
    assert "## [" not in notes


@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_bill_names_artifact_with_version_license_and_digest(
    released: Repository, artifact: str
) -> None:
    found = bill(released, artifact)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    assert found["metadata"]["timestamp"] == f"{DAY}T05:06:07+00:00"
    product = found["metadata"]["component"]
    assert (product["name"], product["version"]) == ("metalk8s-expand", VERSION)
    assert product["licenses"] == [{"expression": "Apache-2.0"}]
    sha256 = digest((released.dist / artifact).read_bytes())
    assert product["hashes"] == [{"alg": "SHA-256", "content": sha256}]


@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_bill_lists_every_file_with_digest(released: Repository, artifact: str) -> None:
    listed = {
        part["name"]: part["hashes"][0]["content"]
        for part in bill(released, artifact)["components"]
        if part["type"] == "file"
    }
    found = parts(released.dist / artifact)
    assert listed == {name: digest(data) for name, data in found.items()}


@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_bill_names_dependencies_as_ranges(released: Repository, artifact: str) -> None:
    found = bill(released, artifact)
    needs = {
        part["name"]: part["properties"][0]["value"]
        for part in found["components"]
        if part["type"] == "library"
    }
    assert needs == {"salt": "salt<3009,>=3006", "pyyaml": "pyyaml", "kubernetes": "kubernetes"}
    [edges] = [entry["dependsOn"] for entry in found["dependencies"] if "dependsOn" in entry]
    assert edges == [f"requirement:{name}" for name in sorted(needs)]
    # None of them is part of the artifact, so none has the version of one.
    assert all("version" not in part for part in found["components"])


def test_release_of_changed_tree_is_refused(released: Repository, tmp_path: Path) -> None:
    changed = Repository(tmp_path / "changed")
    shutil.copytree(released.root, changed.root, ignore=shutil.ignore_patterns("__pycache__"))
    (changed.root / "README.md").write_text("changed\n")
    changelog = changed.root / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace(f"[{VERSION}]", "[Unreleased]"))
    before = contents(changed.dist)
    ran = changed.run("make", "--no-print-directory", "release")
    assert ran.returncode == 2
    assert (
        "the tree has 2 files that the commit does not have: CHANGELOG.md, README.md" in ran.stderr
    )
    assert f"CHANGELOG.md has no section [{VERSION}]" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert contents(changed.dist) == before
