"""Makes the library importable from where this run takes it: the tree, as Salt's sync does, or what pip has installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import extension

sys.path.insert(0, str(extension.LIBRARY))
# The lab's hosts start beside the tests: how long one example takes says nothing.
hypothesis.settings.register_profile("beside-the-lab", deadline=None)
hypothesis.settings.load_profile("beside-the-lab")


def pytest_report_header() -> str:
    import salt.version

    return f"Salt {salt.version.__version__}, extension {extension.MODE}: {extension.PACKAGE}"


@pytest.fixture
def root() -> Path:
    return extension.ROOT


@pytest.fixture(autouse=True, scope="session")
def _one_extension() -> Iterator[None]:
    """Check that every import of the extension comes from the place that the header names."""
    import metalk8s_expand.errors

    assert (
        Path(metalk8s_expand.errors.__file__).resolve().is_relative_to(extension.PACKAGE.resolve())
    )
    yield
    assert extension.strangers() == []


@pytest.fixture(autouse=True, scope="session")
def _no_early_log() -> None:
    """Salt keeps early messages to print them at exit, when pytest has closed its streams."""
    import salt._logging

    salt._logging.shutdown_temp_handler()
