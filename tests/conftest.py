"""Makes the library importable from the tree, as Salt's sync does, whether it is installed or not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "salt" / "_utils"))


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture(autouse=True, scope="session")
def _no_early_log() -> None:
    """Salt keeps early messages to print them at exit, when pytest has closed its streams."""
    import salt._logging

    salt._logging.shutdown_temp_handler()
