"""The tests' own lab: made anew, and removed at the end.

KEEP_LAB=1 leaves it to look at what failed, LAB_AS_IT_IS=1 takes the one that was left, to run some of the tests on it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import recorder
from tests.lab.hosts import lab

HERE = Path(__file__).parent
# It makes a lab of its own, and removes it before the others' is made.
ALONE = "test_versions.py"
# It looks at blank hosts; those after it make nodes of them.
FIRST = "test_preflight.py"
# It needs the nodes, and leaves them with new certificates.
LAST = "test_certificates.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put two files before the others of this directory and one behind them; whatever else runs keeps its place."""
    places = [place for place, item in enumerate(items) if item.path.parent == HERE]
    rank = {ALONE: 0, FIRST: 1, LAST: 3}
    ordered = sorted(
        (items[place] for place in places), key=lambda item: rank.get(item.path.name, 2)
    )
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


@pytest.fixture(scope="module", autouse=True)
def _whose_lab(request: pytest.FixtureRequest) -> None:
    """The one lab for all, made for the first file that uses it."""
    if request.path.name != ALONE:
        request.getfixturevalue("cluster")


@pytest.fixture(scope="session", autouse=True)
def _sigint_is_received() -> None:
    """Let SIGINT reach what the tests start.

    A shell without job control starts background commands, such as ``nohup make test``, with
    SIGINT ignored. Children inherit that, unless their parent handles the signal.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
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
