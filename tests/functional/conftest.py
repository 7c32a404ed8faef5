"""Fixture of the installed extension."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import extension


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel with pip into a separate directory, and return the directory."""
    return extension.install(tmp_path_factory.mktemp("installed"))
