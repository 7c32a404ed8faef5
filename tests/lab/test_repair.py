"""Repair a deployed node: a lost minion key, a dead minion, a host that was reset.

Each test continues from the state that the test before it leaves.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.hosts import get, is_true, lab, on, runner, until

NODE = "worker-1"


def planned() -> list[tuple[str, str]]:
    """Return the steps of the node with their reasons, as ``plan`` shows them."""
    code, plan, done = runner("plan", NODE)
    assert code == 0, json.dumps(plan, indent=1)[-3000:] + done.stderr[-2000:]
    return [(step["name"], step["reason"]) for item in plan["workers"] for step in item["steps"]]


def added(*words: str) -> list[str]:
    """Run ``add_node``, which must succeed, and return the steps that it has done."""
    code, report, done = runner("add_node", NODE, *words)
    assert code == 0, json.dumps(report, indent=1)[-4000:] + done.stderr[-2000:]
    return steps_of(report)


def steps_of(report: dict[str, Any]) -> list[str]:
    return [
        step["name"]
        for node in report.get("nodes") or ()
        for step in node["steps"]
        if step["ok"] and ":" not in step["name"]
    ]


def answers() -> bool:
    """Return whether the minion answers the master."""
    done = on("bootstrap", "salt", "--out=json", "--static", NODE, "test.ping", check=False)
    return done.returncode == 0 and json.loads(done.stdout or "{}").get(NODE) is True


def delete_key() -> None:
    on("bootstrap", "salt-key", "--yes", f"--delete={NODE}")


def stop_minion() -> None:
    on(NODE, "systemctl", "stop", "salt-minion")


def test_node_is_deployed() -> None:
    added()
    assert planned() == []


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (delete_key, "the master has no accepted key of its minion"),
        (stop_minion, "its minion does not answer the master"),
    ],
)
def test_minion_is_reconnected_without_a_deployment(break_it: Any, reason: str) -> None:
    break_it()
    assert planned() == [("reconnect", reason), ("verify", "every change is verified")]
    code, result, _ = runner("health", NODE)
    assert code == 8
    assert reason in result["error"]["text"]
    assert f"salt-run metalk8s_expand.expand {NODE}" in result["error"]["text"]
    assert added() == ["reconnect", "verify"]
    assert answers()
    assert planned() == []
    assert added() == []


def test_healthy_node_is_deployed_again_on_request() -> None:
    steps = added("redeploy=True")
    assert steps[-2:] == ["deploy", "verify"]
    assert planned() == []


def test_reset_host_that_still_shows_ready_is_deployed_again() -> None:
    """A run succeeds only if it has deployed the host, whatever the Node shows."""
    lab("reset", NODE)
    delete_key()
    code, report, _ = runner("add_node", NODE)
    assert (code == 0) == ("deploy" in steps_of(report)), json.dumps(report, indent=1)[-4000:]
    if code:
        until("the Node not to be Ready", lambda: not is_true(get("node", NODE), "Ready"), 180)
        assert "deploy" in added()
    assert answers()
    assert is_true(get("node", NODE), "Ready")
    assert planned() == []
