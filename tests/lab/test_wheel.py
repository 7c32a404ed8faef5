"""The other way of installing, end to end: the master's image has the wheel, and minions alone are given files by sync.

Assumed: ``test_expansion`` has run. ``worker-4`` is made blank and deployed again; the master is put back afterwards.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab.hosts import ENVIRONMENT, EXEC, LAB, get, is_true, kubectl, lab, on, runner

NODE, ADDRESS = "worker-4", "10.200.0.17"
pytestmark = pytest.mark.full


@pytest.fixture(scope="module", autouse=True)
def installed() -> Iterator[None]:
    """The master with the wheel, and a blank host."""
    lab("reset", NODE)
    kubectl("delete", "node", NODE, "--ignore-not-found")
    on("bootstrap", "salt-key", "--yes", f"--delete={NODE}", check=False)
    try:
        subprocess.run(
            [LAB, "up"], env={**ENVIRONMENT, "LAB_INSTALL": "wheel"}, check=True, timeout=1800
        )
        yield
    finally:
        lab("up", timeout=1800)


def test_nothing_is_synced_to_the_master() -> None:
    """Not by a sync of ``base``, which is what ``salt-run saltutil.sync_all`` alone does."""
    on("bootstrap", *EXEC, "salt-run", "saltutil.sync_all", timeout=300)
    found = on(
        "bootstrap",
        "find",
        "/var/cache/salt/master/extmods",
        "-name",
        "*metalk8s_expand*",
        check=False,
    ).stdout
    assert found == ""
    trees = on(
        "bootstrap", *EXEC, "salt-run", "--out=json", "metalk8s_expand.trees", timeout=300
    ).stdout
    assert "/opt/salt/lib/" in trees


def test_a_node_is_added_and_removed() -> None:
    code, report, done = runner(
        "add_node", NODE, "profile=worker", f"address={ADDRESS}", timeout=900
    )
    assert code == 0, json.dumps(report, indent=1)[-4000:] + done.stderr[-2000:]
    assert is_true(get("node", NODE), "Ready")
    assert runner("health")[0] == 0


def test_a_sync_to_the_master_as_well_is_refused() -> None:
    """Minions need the plugins in their saltenv; on this master they are there twice then, and gone with the next sync of ``base``."""
    words = (
        *EXEC,
        "salt-run",
        "salt.cmd",
        "state.single",
        "metalk8s_expand_fence.admitted",
        "name=x",
        "epoch=1",
    )
    try:
        on(
            "bootstrap",
            *EXEC,
            "salt-run",
            "saltutil.sync_all",
            "saltenv=metalk8s-2.0.0-dev",
            timeout=300,
        )
        assert (
            "metalk8s_expand_fence.admitted' was not found"
            in on("bootstrap", *words, check=False, timeout=300).stdout
        )
        refused = on(
            "bootstrap",
            *EXEC,
            "salt-run",
            "--log-level=warning",
            "metalk8s_expand.plan",
            check=False,
            timeout=300,
        )
        assert "is there twice" in refused.stdout + refused.stderr
    finally:
        on("bootstrap", *EXEC, "salt-run", "saltutil.sync_all", timeout=300)
    assert "was not found" not in on("bootstrap", *words, check=False, timeout=300).stdout
