"""The extension as pip installs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import extension


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, installed by pip into a directory of its own."""
    return extension.install(tmp_path_factory.mktemp("installed"))
