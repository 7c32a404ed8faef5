"""Add nodes on events of a minion, and follow the run on the master's event bus.

The tests need the cluster of ``test_expansion``. They reset ``worker-4``, declare it, and deploy it
again by events alone. They remove the reactor and the schedule at the end, because a queue worker
in the background would acquire the lock that other tests need.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import recorder
from tests.lab.hosts import (
    EXEC,
    PILLAR,
    SALTENV,
    get,
    is_true,
    kill_master,
    kubectl,
    lab,
    names,
    on,
    runner,
    until,
)

NODE, ADDRESS, SENDER = "worker-4", "10.200.0.17", "worker-1"
# The node of the events that ask whether the reactor runs.
EARLY = "Is the reactor there?"
TAG = "metalk8s/expand/add"
SNIPPET = "/etc/salt/master.d/metalk8s_expand.conf"
CONFIGURATION = f"""
reactor:
  - {TAG}:
      - salt://metalk8s/reactor/metalk8s_expand_add.sls?saltenv={SALTENV}
schedule:
  metalk8s_expand_work:
    function: metalk8s_expand.work
    seconds: 15
    maxrunning: 1
"""
SEND = f"""
import json, sys
import salt.client
caller = salt.client.Caller()
for data in json.load(sys.stdin):
    assert caller.cmd("event.send", "{TAG}", data)
"""
HOSTILE: list[Any] = [
    {}, {"node": None}, {"node": True}, {"node": 7}, {"node": [NODE]}, {"node": {NODE: 1}}, {"node": ""}, {"node": "a" * 100_000},
    *({"node": text} for text in (
        "nobody", "{{ salt['cmd.run']('touch /tmp/pwned') }}", "$(touch /tmp/pwned)", "`touch /tmp/pwned`", f"{NODE}; reboot",
        f"{NODE}\n  x:\n    local.cmd.run: []", "!!python/object/apply:os.system ['touch /tmp/pwned']", "#!py", f"{NODE} retry=True",
        "\u202eworker", "W\u00f6rker", "../../etc/passwd", "worker-4\u0000",
    )),
    {"node": "worker-9", "address": "10.200.0.19", "profile": "control-plane", "roles": ["master"], "fun": "cmd.run"},
]  # fmt: skip


def restart() -> None:
    """Restart the master and wait until the sending minion is connected again."""
    on("bootstrap", "salt-master-container", "restart")
    reached = ("salt", "--timeout=5", SENDER, "test.ping")
    until(
        "the sender to be back", lambda: on("bootstrap", *reached, check=False).returncode == 0, 180
    )


@pytest.fixture(scope="module", autouse=True)
def reacting() -> Iterator[None]:
    """Apply the documented configuration and declare one more blank host."""
    recorder.start()
    before = on("bootstrap", "cat", PILLAR).stdout
    lab("reset", NODE)
    kubectl("delete", "node", NODE, "--ignore-not-found")
    on("bootstrap", "salt-key", "--yes", f"--delete={NODE}", check=False)
    on(
        "bootstrap",
        "tee",
        PILLAR,
        stdin=before + f"    {NODE}:\n      profile: worker\n      address: {ADDRESS}\n",
    )
    on("bootstrap", "mkdir", "-p", "/etc/salt/master.d")
    on("bootstrap", "tee", SNIPPET, stdin=CONFIGURATION)
    try:
        restart()
        wait_for_reactor()
        yield
    finally:
        on("bootstrap", "rm", "-f", SNIPPET)
        on("bootstrap", "tee", PILLAR, stdin=before)
        restart()


def send(events: list[Any]) -> None:
    """Send events from a minion, one after another."""
    on(SENDER, "tee", "/root/send.py", stdin=SEND)
    on(SENDER, "/opt/salt/bin/python3", "/root/send.py", stdin=json.dumps(events), timeout=300)


def wait_for_reactor() -> None:
    """Wait until the restarted master reacts to events.

    The reactor starts some time after the master answers, and Salt keeps no event for it.
    """

    def reacts() -> bool:
        send([{"node": EARLY}])
        time.sleep(3)
        return refusals("-c", EARLY) > before

    before = refusals("-c", EARLY)
    until("the reactor to refuse an event", reacts, 180)


def requests() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = runner("status", "certificates=False")[1]["queue"]
    return found


def reports() -> set[str]:
    """Return the file names of the stored reports."""
    return set(
        on(
            "bootstrap",
            "sh",
            "-c",
            "ls /var/cache/salt/master/metalk8s_expand/ | grep '^report-.*json$'",
        ).stdout.split()
    )


def refusals(*pattern: str) -> int:
    """Return how many logged refusals match the pattern of grep, by default those of the test."""
    lines = "grep 'refused' /var/log/salt/master"
    matching = shlex.join(["grep", *(pattern or ("-vc", EARLY))])
    return int(on("bootstrap", *EXEC, "sh", "-c", f"{lines} | {matching} || true").stdout)


def test_hostile_events_are_refused_and_logged() -> None:
    before, nodes = refusals(), names(get("nodes"))
    send(HOSTILE)
    until("the refusals to be logged", lambda: refusals() - before >= len(HOSTILE), 120)
    assert requests() == []
    assert names(get("nodes")) == nodes
    assert on("bootstrap", "test", "-e", "/tmp/pwned", check=False).returncode != 0
    assert on(SENDER, "test", "-e", "/tmp/pwned", check=False).returncode != 0


def test_hundred_events_add_node_once_although_master_is_killed() -> None:
    before = reports()
    send([{"node": NODE}] * 100)
    until("the request to be there", lambda: [row["node"] for row in requests()] == [NODE], 120)
    kill_master()
    until("the queue to be empty", lambda: not requests(), 1500)
    assert is_true(get("node", NODE), "Ready")
    assert not get("node", NODE)["spec"].get("unschedulable")
    [made] = reports() - before
    follow(made.removeprefix("report-").removesuffix(".json"))


def follow(run: str) -> None:
    """Check the events of the run on the bus against its report."""
    lines = on(
        "bootstrap", "grep", "-F", f"metalk8s_expand/{run}/", recorder.EVENTS
    ).stdout.splitlines()
    heard = [
        event
        for event in map(json.loads, lines)
        if event["tag"].startswith(f"metalk8s_expand/{run}/")
    ]
    tags = [event["tag"].removeprefix(f"metalk8s_expand/{run}/") for event in heard]
    assert (tags[0], tags[-1]) == ("started", "ended")
    assert heard[-1]["data"]["retcode"] == 0
    done = [event["data"]["step"] for event in heard if event["data"].get("state") == "done"]
    assert done[-2:] == ["verify", "uncordon"]
    assert runner("report", run)[1]["id"] == run


def test_events_for_existing_node_start_no_expansion() -> None:
    before = reports()
    send([{"node": NODE}] * 10)
    until("the request to be worked off", lambda: not requests(), 300)
    assert reports() == before
