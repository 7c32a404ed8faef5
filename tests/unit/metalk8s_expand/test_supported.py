"""Tests of the refusal of an old Salt or Python, which must itself run on Python 3.6."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from metalk8s_expand import supported

ROOT = Path(__file__).resolve().parents[3]
LIBRARY = ROOT / "salt" / "_utils" / "metalk8s_expand"


@pytest.mark.parametrize(
    ("salt", "python", "found"),
    [
        (2018, (2, 7), "Salt 2018 and Python 2.7"),
        (3002, (3, 6), "Salt 3002 and Python 3.6"),
        (3005, (3, 10), "Salt 3005"),
        (3006, (3, 9), "Python 3.9"),
    ],
)
def test_old_salt_or_python_is_refused(salt: int, python: tuple[int, int], found: str) -> None:
    assert supported.refusal(salt, python) == (
        "metalk8s_expand needs Salt 3006 and Python 3.10 or newer, and this master has"
        f" {found}: use it on MetalK8s 134 or newer"
    )


@pytest.mark.parametrize(("salt", "python"), [(3006, (3, 10)), (3008, (3, 13))])
def test_supported_salt_and_python_are_accepted(salt: int, python: tuple[int, int]) -> None:
    assert supported.refusal(salt, python) == ""


@pytest.mark.parametrize(
    "path",
    [
        LIBRARY / "__init__.py",
        LIBRARY / "supported.py",
        ROOT / "salt" / "_runners" / "metalk8s_expand.py",
    ],
    ids=lambda path: path.name,
)
def test_files_of_refusal_have_grammar_of_python_36(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 6))
    assert "from __future__ import annotations" not in source, "Python 3.6 does not know it"
