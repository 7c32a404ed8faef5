"""Type the marked blocks of the book on the cluster that ``test_expansion`` has expanded.

``docs/contributing/style.rst`` explains the marks. The tests leave the cluster and the declaration
as they were. ``UPDATE_GOLDEN=1`` records the outputs that the pages show.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.documented import Block
from tests.lab import book, faults
from tests.lab.hosts import PILLAR, get, kubectl, on, runner, until

LEASE = ("--namespace=kube-system", "get", "lease", "metalk8s-expand", "--ignore-not-found")

read = pytest.fixture(scope="module", name="reader")(book.reader)


@pytest.fixture(scope="module")
def declared() -> str:
    """Return the text of the declaration before the first block."""
    return on("bootstrap", "cat", PILLAR).stdout


@pytest.fixture(scope="module", autouse=True)
def nodes_stay() -> Iterator[None]:
    """Check that the Nodes are as they were, and that nothing is left to do."""
    before = nodes()
    yield
    assert nodes() == before
    code, report, _ = runner("expand")
    assert (code, report["unchanged"]) == (0, True), report


@pytest.fixture(autouse=True)
def declaration_stays(block: Block, declared: str) -> Iterator[None]:
    """Restore the declaration after a block that writes it."""
    yield
    if any(PILLAR in command.text for command in block.commands):
        on("bootstrap", "tee", PILLAR, stdin=declared)


@pytest.fixture(scope="class")
def broken() -> Iterator[None]:
    """Let worker-1 have no room for the file that a deployment writes first."""
    with faults.mounted("worker-1", "/etc/sysctl.d", "nr_inodes=1")():
        yield


@pytest.fixture(scope="class")
def active() -> Iterator[None]:
    """Let another run hold the lock, which deploys two nodes again, one after the other."""
    words = ("expand", "infra-1,worker-1", "redeploy=True", "max_parallel=1")
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(runner, *words)
        until("the run to hold the lock", lambda: "bootstrap_" in kubectl(*LEASE, "--output=yaml"))
        yield
        code, report, done = run.result()
    assert code == 0, f"{report}\n{done.stderr}"


def nodes() -> dict[str, Any]:
    """Return what the API holds of each Node that an operator or this project decides."""
    return {
        item["metadata"]["name"]: (
            item["metadata"]["labels"],
            item["spec"].get("taints"),
            item["spec"].get("unschedulable"),
        )
        for item in get("nodes")["items"]
    }


@book.cases("on the expanded cluster")
def test_block_runs_on_expanded_cluster(block: Block, reader: book.Reader) -> None:
    reader.follow(block)


@book.cases("on the development machine")
def test_block_runs_on_development_machine(block: Block, reader: book.Reader) -> None:
    reader.follow(block)


@pytest.mark.usefixtures("broken")
class TestWithFullDisk:
    @book.cases("with a full disk on worker-1")
    def test_block_fails_with_full_disk(self, block: Block, reader: book.Reader) -> None:
        reader.follow(block)


@pytest.mark.usefixtures("active")
class TestDuringRun:
    @book.cases("during a run")
    def test_block_runs_during_run(self, block: Block, reader: book.Reader) -> None:
        reader.follow(block)
