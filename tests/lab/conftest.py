"""The tests' own lab: made anew, and removed at the end.

KEEP_LAB=1 leaves it to look at what failed, LAB_AS_IT_IS=1 takes the one that was left, to run some of the tests on it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import recorder
from tests.lab.hosts import lab

HERE = Path(__file__).parent
# It looks at blank hosts; those after it make nodes of them.
FIRST = "test_preflight.py"
# It needs the nodes, and leaves them with new certificates.
LAST = "test_certificates.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put one file before the others of this directory and one behind them; whatever else runs keeps its place."""
    places = [place for place, item in enumerate(items) if item.path.parent == HERE]
    ordered = sorted((items[place] for place in places), key=lambda item: (item.path.name != FIRST, item.path.name == LAST))
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


@pytest.fixture(scope="session", autouse=True)
def cluster() -> Iterator[None]:
    """A bootstrap node as after its installation, and seven blank hosts."""
    if os.environ.get("LAB_AS_IT_IS"):
        yield
        return
    lab("destroy")
    lab("up", "--nodes", "7", timeout=3600)
    recorder.start()
    yield
    if not os.environ.get("KEEP_LAB"):
        lab("destroy")
