"""Test the section of a version in the changelog, and what prevents a release with it."""

from __future__ import annotations

import pytest

from release.changelog import changelog_problems, notes

HEAD = "# Changelog\n\nThe format is that of Keep a Changelog.\n\n"
GOOD = f"{HEAD}## [1.1.0] - 2026-03-04\n\n### Lab\n\n- New.\n\n## [1.0.0] - 2026-01-02\n\n- Old.\n"


def test_notes_are_section_without_others() -> None:
    assert (
        notes(GOOD, "x", "1.1.0") == "# x 1.1.0\n\nReleased on 2026-03-04.\n\n### Lab\n\n- New.\n"
    )
    assert notes(GOOD, "x", "1.0.0") == "# x 1.0.0\n\nReleased on 2026-01-02.\n\n- Old.\n"


@pytest.mark.parametrize("unreleased", ["", "## [Unreleased]\n\n"])
def test_changelog_with_dated_section_allows_release(unreleased: str) -> None:
    text = GOOD.replace(HEAD, HEAD + unreleased)
    assert changelog_problems(text, "1.1.0") == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[1.1.0]", "[Unreleased]", "no section [1.1.0]: rename the heading [Unreleased] to [1.1.0] -"),
        (" - 2026-03-04", "", "no date at [1.1.0] (found '')"),
        ("2026-03-04", "2026-02-30", "no date at [1.1.0] (found '2026-02-30')"),
        ("2026-03-04", "20260304", "no date at [1.1.0] (found '20260304')"),
        ("### Lab\n\n- New.\n", "", "no entry below [1.1.0]"),
        ("## [1.1.0]", "## [Unreleased]\n\n- Newer.\n\n## [1.1.0]", "entries below [Unreleased]"),
    ],
)  # fmt: skip
def test_changelog_problem_names_heading(old: str, new: str, words: str) -> None:
    [problem] = changelog_problems(GOOD.replace(old, new, 1), "1.1.0")
    assert words in problem
