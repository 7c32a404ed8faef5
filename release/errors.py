"""The error of a release that cannot be made."""

from __future__ import annotations


class ReleaseError(Exception):
    """What prevents the release: one or more problems, each a sentence with its remedy."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
