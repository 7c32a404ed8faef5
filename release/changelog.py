"""Read the section of a version in a changelog of the format Keep a Changelog."""

from __future__ import annotations

import datetime
import re

UNRELEASED = "Unreleased"
_HEADING = re.compile(r"^## \[([^]]+)\](?: - (\S+))?\s*$", re.MULTILINE)


def changelog_problems(text: str, version: str) -> list[str]:
    """Return what prevents a release of this version with this changelog."""
    sections = _sections(text)
    remedy = f"rename the heading [{UNRELEASED}] to [{version}] - YYYY-MM-DD"
    if version not in sections:
        return [f"CHANGELOG.md has no section [{version}]: {remedy}"]
    problems = []
    day, body = sections[version]
    if not _is_day(day):
        problems.append(f"CHANGELOG.md has no date at [{version}] (found {day!r}): {remedy}")
    if not body:
        problems.append(f"CHANGELOG.md has no entry below [{version}]: add what has changed")
    if sections.get(UNRELEASED, ("", ""))[1]:
        problems.append(
            f"CHANGELOG.md has entries below [{UNRELEASED}], which this release would contain"
            f" without a note: move them to [{version}]"
        )
    return problems


def notes(text: str, name: str, version: str) -> str:
    """Return the notes of a release: the section of its version below a title."""
    day, body = _sections(text)[version]
    return f"# {name} {version}\n\nReleased on {day}.\n\n{body}\n"


def _sections(text: str) -> dict[str, tuple[str, str]]:
    """Return the date and the text of each section by its version."""
    headings = list(_HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    return {
        heading[1]: (heading[2] or "", text[heading.end() : end].strip())
        for heading, end in zip(headings, ends, strict=True)
    }


def _is_day(text: str) -> bool:
    try:
        # Python 3.11 accepts other forms as well.
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
