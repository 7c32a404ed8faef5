"""Test the installation from the wheel end to end.

The master's image has the wheel, and only minions get files by a sync. The tests need the cluster
of ``test_expansion``. They reset ``worker-4``, deploy it again, and restore the master at the end.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab.hosts import ENVIRONMENT, EXEC, LAB, SALTENV, get, is_true, kubectl, lab, on, runner

NODE, ADDRESS = "worker-4", "10.200.0.17"
pytestmark = pytest.mark.full


@pytest.fixture(scope="module", autouse=True)
def installed() -> Iterator[None]:
    """Install the wheel on the master, and reset a host."""
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


def test_sync_of_base_copies_no_plugin_to_master() -> None:
    """``salt-run saltutil.sync_all`` without arguments syncs ``base`` alone."""
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


def test_add_node_with_wheel_deploys_ready_node() -> None:
    code, report, done = runner(
        "add_node", NODE, "profile=worker", f"address={ADDRESS}", timeout=900
    )
    assert code == 0, json.dumps(report, indent=1)[-4000:] + done.stderr[-2000:]
    assert is_true(get("node", NODE), "Ready")
    assert runner("health")[0] == 0


def test_wheel_with_plugins_synced_to_master_is_refused() -> None:
    """A sync of the saltenv, which minions need, installs the plugins twice on this master.

    The next sync of ``base`` removes them.
    """
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
            f"saltenv={SALTENV}",
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
