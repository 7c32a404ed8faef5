"""Test the newest supported Salt end to end, in a separate lab.

The other tests run on the default Salt version of the lab. These tests use every part of Salt that
the extension uses: salt-ssh, keys, orchestration, states, x509, pillar, runners, events.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

import pytest

from tests.lab import faults
from tests.lab.hosts import ENVIRONMENT, REPOSITORY, get, is_true, lab, names, on, runner

NAME = "metalk8s-versions"
ADDED = ["cp-1", "worker-1"]
pytestmark = pytest.mark.full


def newest() -> str:
    """Return the newest version whose dependencies the lab pins."""
    pinned = (
        path.stem.removeprefix("constraints-")
        for path in (REPOSITORY / "lab" / "salt").glob("constraints-*.txt")
    )
    return max(pinned, key=lambda version: tuple(map(int, version.split("."))))


@pytest.fixture(scope="module", autouse=True)
def newer() -> Iterator[str]:
    """Create a lab with the newest Salt: a bootstrap node and the four declared hosts."""
    version = newest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENVIRONMENT, "METALK8S_LAB_NAME", NAME)
        patch.setitem(ENVIRONMENT, "SALT_VERSION", version)
        lab("destroy")
        lab("up", "--nodes", "4", timeout=3600)
        yield version
        if not os.environ.get("KEEP_LAB"):
            lab("destroy")


def ready() -> list[str]:
    """Return the Nodes that are Ready and schedulable."""
    return [
        item["metadata"]["name"]
        for item in get("nodes")["items"]
        if is_true(item, "Ready") and not item["spec"].get("unschedulable")
    ]


def saltversion(where: str) -> str:
    """Return the Salt version that a minion reports."""
    return str(
        json.loads(on("bootstrap", "salt", "--out=json", "--static", where, "test.version").stdout)[
            where
        ]
    )


def test_master_and_minion_run_newest_version(newer: str) -> None:
    found = on("bootstrap", "salt-run", "--version").stdout
    assert re.search(r"\b" + re.escape(newer) + r"\b", found), found
    assert saltversion("bootstrap") == newer


def test_plan_and_checks_print_one_document() -> None:
    code, plan, _ = runner("plan", f"nodes={','.join(ADDED)}")
    assert (code, [item["node"] for item in plan["control_plane"]]) == (0, ["cp-1"]), plan
    for function in ("check_ssh", "preflight"):
        code, found, done = runner(function, f"nodes={','.join(ADDED)}")
        assert code == 0, json.dumps(found, indent=1)[-3000:] + done.stderr[-2000:]
    assert names(get("nodes")) == ["bootstrap"]


def test_expand_adds_nodes_and_second_run_changes_nothing(newer: str) -> None:
    """Add a control-plane node and a worker."""
    code, report, done = runner("expand", f"nodes={','.join(ADDED)}", timeout=1800)
    assert code == 0, json.dumps(report, indent=1)[-5000:] + done.stderr[-3000:]
    assert sorted(ready()) == ["bootstrap", *ADDED]
    assert [saltversion(name) for name in ADDED] == [newer, newer]
    code, report, _ = runner("expand", f"nodes={','.join(ADDED)}")
    assert (code, report["unchanged"]) == (0, True), report


def healthy(*nodes: str) -> None:
    """Check that ``health`` finds no problem on these nodes."""
    code, found, _ = runner("health", f"nodes={','.join(nodes)}")
    assert code == 0, json.dumps(found, indent=1)[-3000:]


def test_health_status_and_report_succeed() -> None:
    healthy(*ADDED)
    code, found, _ = runner("status")
    assert code == 0, found
    assert runner("report")[0] == 0


def test_roster_reaches_worker() -> None:
    """Use the roster name that operators pass to salt-ssh."""
    found = on(
        "bootstrap",
        "salt-ssh",
        "--roster",
        "kubernetes",
        "--out=json",
        "--static",
        "worker-1",
        "test.ping",
    )
    assert json.loads(found.stdout) == {"worker-1": True}


def test_salt_ssh_runs_pre_flight_script_of_master() -> None:
    """MetalK8s's master has such a script, which installs a Python on bare hosts."""
    mark = "/tmp/fault-pre-flight"
    script = f'#!/bin/sh\necho "argument=$1" >{mark}\n'
    words = ["salt-ssh", "--pre-flight", "--roster", "metalk8s_expand", "worker-1", "test.ping"]
    try:
        with faults.new_file("bootstrap", "/etc/salt/ssh-preflight.sh", script, "755")():
            on("bootstrap", *words)
        assert on("worker-1", "cat", mark).stdout == "argument=\n", "root needs no sudo"
        on("worker-1", "rm", mark)
        on("bootstrap", *words)
        assert on("worker-1", "test", "-e", mark, check=False).returncode == 1
    finally:
        on("worker-1", "rm", "-f", mark)


def test_removal_deletes_worker_and_second_run_changes_nothing() -> None:
    """Remove a worker, then remove it again."""
    code, report, done = runner("remove_node", "worker-1", timeout=1800)
    assert code == 0, json.dumps(report, indent=1)[-5000:] + done.stderr[-3000:]
    assert names(get("nodes")) == ["bootstrap", "cp-1"]
    code, report, _ = runner("remove_node", "worker-1")
    assert (code, report["unchanged"]) == (0, True), report
    healthy("cp-1")
