"""Make a release of the tree's commit: ``python -m release [DIRECTORY]``, run by ``make release``.

The result is ``dist/VERSION``. The same commit gives the same bytes. The command changes nothing
outside of that directory: it creates no tag and uploads nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bundle import build as bundle
from release import changelog, commit, sbom, wheel
from release.errors import ReleaseError

ROOT = Path(__file__).resolve().parent.parent
SUMS = "SHA256SUMS"


def release(root: Path, dist: Path) -> Path:
    """Make all files of the release below ``dist``; return their directory."""
    version = bundle.version(root)
    history = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    _refuse(
        commit.commit_problems(root, f"v{version}") + changelog.changelog_problems(history, version)
    )
    epoch = commit.date(root)
    place, unfinished = dist / version, dist / f".{version}.unfinished"
    # A release that was interrupted must not be taken for a whole one.
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="metalk8s-expand-release-") as base:
        # The files of the commit alone, since the tree may have others that git ignores.
        source = Path(base) / "source"
        commit.export(root, source)
        files = bundle.files(source)
        archive = bundle.write(source, files, unfinished)
        shutil.copy(source / "release/Containerfile", unfinished)
        built = wheel.build(source, unfinished, epoch)
    content = wheel.contents(built)
    metadata = wheel.metadata(content)
    _refuse(wheel.metadata_problems(metadata, version))
    project = sbom.Project(
        name=bundle.NAME,
        version=version,
        summary=metadata.summary or "",
        license=metadata.license or "",
        # What has a marker belongs to an extra, such as the tests.
        needs=[need for need in metadata.requires_dist or [] if not need.marker],
    )
    for artifact, parts in ((built, content), (archive, bundle.with_sums(files))):
        bill = sbom.bill(project, artifact.read_bytes(), parts, epoch)
        (unfinished / f"{artifact.name}.cdx.json").write_text(bill, encoding="utf-8")
    notes = changelog.notes(history, bundle.NAME, version)
    (unfinished / "RELEASE_NOTES.md").write_text(notes, encoding="utf-8")
    _write_sums(unfinished)
    shutil.rmtree(place, ignore_errors=True)
    return unfinished.rename(place)


def main(argv: Sequence[str]) -> int:
    """Make the release and print its files, or print what prevents it."""
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=ROOT / "dist")
    try:
        place = release(ROOT, parser.parse_args(argv).directory)
    except ReleaseError as error:
        for problem in error.problems:
            print(f"release: {problem}", file=sys.stderr)
        return 1
    print(f"{place}\n{(place / SUMS).read_text(encoding='ascii')}", end="")
    return 0


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise ReleaseError(*problems)


def _write_sums(place: Path) -> None:
    content = {path.name: path.read_bytes() for path in place.iterdir()}
    (place / SUMS).write_text(bundle.sums(content), encoding="ascii")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
