"""The oldest Salt that is supported, end to end: a lab of its own in which a master and minions of that version add nodes.

Salt's tests of the whole story run on the version that the lab has by default. Here is what reaches every part of Salt that the
extension uses: salt-ssh, keys, orchestration, states, x509, pillar, runners, events.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

import pytest

from tests.lab.hosts import ENVIRONMENT, REPOSITORY, get, is_true, lab, names, on, runner

NAME = "metalk8s-versions"
ADDED = ["cp-1", "worker-1"]
pytestmark = pytest.mark.full


def oldest() -> str:
    """Of the versions whose dependencies the lab has pinned."""
    pinned = (
        path.stem.removeprefix("constraints-")
        for path in (REPOSITORY / "lab" / "salt").glob("constraints-*.txt")
    )
    return min(pinned, key=lambda version: tuple(map(int, version.split("."))))


@pytest.fixture(scope="module", autouse=True)
def older() -> Iterator[str]:
    """A bootstrap node of that Salt, and the four hosts that the declaration names."""
    version = oldest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENVIRONMENT, "METALK8S_LAB_NAME", NAME)
        patch.setitem(ENVIRONMENT, "SALT_VERSION", version)
        lab("destroy")
        lab("up", "--nodes", "4", timeout=3600)
        yield version
        if not os.environ.get("KEEP_LAB"):
            lab("destroy")


def ready() -> list[str]:
    """The Nodes that are Ready and take Pods."""
    return [
        item["metadata"]["name"]
        for item in get("nodes")["items"]
        if is_true(item, "Ready") and not item["spec"].get("unschedulable")
    ]


def saltversion(where: str) -> str:
    """What a minion says of itself."""
    return str(
        json.loads(on("bootstrap", "salt", "--out=json", "--static", where, "test.version").stdout)[
            where
        ]
    )


def test_the_master_is_of_that_version(older: str) -> None:
    found = on("bootstrap", "salt-run", "--version").stdout
    assert re.search(r"\b" + re.escape(older) + r"\b", found), found
    assert saltversion("bootstrap") == older


def test_every_function_answers_with_one_document() -> None:
    code, plan, _ = runner("plan", f"nodes={','.join(ADDED)}")
    assert (code, [item["node"] for item in plan["control_plane"]]) == (0, ["cp-1"]), plan
    for function in ("check_ssh", "preflight"):
        code, found, done = runner(function, f"nodes={','.join(ADDED)}")
        assert code == 0, json.dumps(found, indent=1)[-3000:] + done.stderr[-2000:]
    assert names(get("nodes")) == ["bootstrap"]


def test_expand(older: str) -> None:
    """A control-plane node and a worker; again, it changes nothing."""
    code, report, done = runner("expand", f"nodes={','.join(ADDED)}", timeout=1800)
    assert code == 0, json.dumps(report, indent=1)[-5000:] + done.stderr[-3000:]
    assert sorted(ready()) == ["bootstrap", *ADDED]
    assert [saltversion(name) for name in ADDED] == [older, older]
    code, report, _ = runner("expand", f"nodes={','.join(ADDED)}")
    assert (code, report["unchanged"]) == (0, True), report


def healthy(*nodes: str) -> None:
    """Of those that are declared, these alone are there."""
    code, found, _ = runner("health", f"nodes={','.join(nodes)}")
    assert code == 0, json.dumps(found, indent=1)[-3000:]


def test_health_and_status() -> None:
    healthy(*ADDED)
    code, found, _ = runner("status")
    assert code == 0, found
    assert runner("report")[0] == 0


def test_roster() -> None:
    """By the name that operators give to salt-ssh."""
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


def test_remove() -> None:
    """A worker goes; again, there is nothing to do."""
    code, report, done = runner("remove_node", "worker-1", timeout=1800)
    assert code == 0, json.dumps(report, indent=1)[-5000:] + done.stderr[-3000:]
    assert names(get("nodes")) == ["bootstrap", "cp-1"]
    code, report, _ = runner("remove_node", "worker-1")
    assert (code, report["unchanged"]) == (0, True), report
    healthy("cp-1")
