"""Type the blocks of the book that are marked ``run: on blank hosts``.

The tests need a bootstrap node and the declared hosts, which no test has deployed yet. They change
nothing.
"""

from __future__ import annotations

import pytest

from tests.documented import Block
from tests.lab import book

read = pytest.fixture(scope="module", name="reader")(book.reader)


@book.cases("on blank hosts")
def test_block_runs_on_blank_hosts(block: Block, reader: book.Reader) -> None:
    reader.follow(block)
