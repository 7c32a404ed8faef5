"""Create the lab of the tests, and destroy it at the end.

KEEP_LAB=1 keeps the lab, so that a failure can be examined. LAB_AS_IT_IS=1 uses the lab that was
kept, to run some of the tests on it.
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
# These tests create a lab of their own and destroy it before the common lab is created.
ALONE = ("test_versions.py", "test_metalk8s.py")
# These tests need blank hosts; the tests after them turn the hosts into nodes.
FIRST = "test_preflight.py"
# These tests need the nodes as the tests of the other file leave them.
AFTER = {"test_book.py": "test_expansion.py"}
# These tests need the nodes, and leave them with new certificates.
LAST = "test_certificates.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files of this directory by rank, then by name; one follows the file that it needs.

    Tests of other directories keep their positions.
    """
    places = [place for place, item in enumerate(items) if item.path.parent == HERE]
    ordered = sorted((items[place] for place in places), key=_place)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def _place(item: pytest.Item) -> tuple[int, str, bool]:
    name = item.path.name
    rank = {**dict.fromkeys(ALONE, 0), FIRST: 1, LAST: 3}
    return rank.get(name, 2), AFTER.get(name, name), name in AFTER


@pytest.fixture(scope="module", autouse=True)
def _whose_lab(request: pytest.FixtureRequest) -> None:
    """Create the common lab for the first file that uses it."""
    if request.path.name not in ALONE:
        request.getfixturevalue("cluster")


@pytest.fixture(scope="session", autouse=True)
def _sigint_is_received() -> None:
    """Let SIGINT reach the processes that the tests start.

    A shell without job control starts background commands, such as ``nohup make test``, with
    SIGINT ignored. Children inherit that, unless their parent handles the signal.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """Create a freshly installed bootstrap node and seven blank hosts."""
    if os.environ.get("LAB_AS_IT_IS"):
        yield
        return
    lab("destroy")
    lab("up", "--nodes", "7", timeout=3600)
    recorder.start()
    yield
    if not os.environ.get("KEEP_LAB"):
        lab("destroy")
