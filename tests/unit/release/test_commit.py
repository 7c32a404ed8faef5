"""Test what of a repository prevents a release, and the files of its commit."""

from __future__ import annotations

from pathlib import Path

import pytest

from release import commit
from release.errors import ReleaseError
from tests.unit.release.conftest import Repository


def test_clean_tree_has_no_problem(repository: Repository) -> None:
    assert commit.commit_problems(repository.root, "v1.0.0") == []
    assert repository.run("git", "tag", "v1.0.0").returncode == 0
    assert commit.commit_problems(repository.root, "v1.0.0") == []


@pytest.mark.parametrize("name", ["file", "other"])
def test_file_that_commit_does_not_have_is_named(repository: Repository, name: str) -> None:
    (repository.root / name).write_text("changed\n")
    [problem] = commit.commit_problems(repository.root, "v1.0.0")
    assert problem.endswith(f": {name}; commit or remove them")


def test_many_changed_files_are_counted(repository: Repository) -> None:
    for number in range(7):
        (repository.root / f"n{number}").touch()
    [problem] = commit.commit_problems(repository.root, "v1.0.0")
    assert "has 7 files" in problem
    assert "n4 and 2 others" in problem


def test_tag_at_other_commit_is_refused(repository: Repository) -> None:
    repository.run("git", "tag", "v1.0.0")
    (repository.root / "file").write_text("changed\n")
    repository.commit()
    [problem] = commit.commit_problems(repository.root, "v1.0.0")
    assert "raise __version__" in problem


def test_directory_without_repository_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"git status in .* failed"):
        commit.commit_problems(tmp_path, "v1.0.0")


def test_export_has_files_of_commit_with_fixed_modes(
    repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (repository.root / "script").touch(mode=0o700)
    (repository.root / "file").chmod(0o600)
    (repository.root / ".gitignore").write_text("ignored\n")
    (repository.root / "ignored").touch()
    repository.commit()
    target = tmp_path_factory.mktemp("export")
    commit.export(repository.root, target)
    modes = {path.name: path.stat().st_mode & 0o777 for path in target.iterdir()}
    assert modes == {"script": 0o755, "file": 0o644, ".gitignore": 0o644}
