"""Test the triggers of faults with real lines of the event log."""

from __future__ import annotations

import json
import threading
import time

import pytest

from chaos import trigger
from chaos.cases import boundaries
from chaos.event_log import Board
from chaos.trigger import Trigger

NODE, PREPARED, ETCD, PROXY = (
    "metalk8s.roles.node",
    "metalk8s.roles.prepared",
    "metalk8s.roles.etcd",
    "metalk8s_expand_host.apiserver_proxy",
)


def event(tag: str, **data: object) -> str | None:
    return trigger.event_line(f"{tag}\t{json.dumps({'_stamp': '2026', **data})}")


def sls(what: str, *mods: str, node: str = "cp-2") -> str | None:
    words = [
        ",".join(mods),
        {
            "__kwarg__": True,
            "saltenv": "metalk8s-2.0.0-dev",
            "pillar": {"orchestrate": {"epoch": 7}},
        },
    ]
    if what == "new":
        return event("salt/job/2026/new", fun="state.sls", minions=[node], arg=words, tgt=[node])
    return event(f"salt/job/2026/ret/{node}", fun="state.sls", id=node, fun_args=words)


LINES = {
    "looking": "[   1.2 s] cp-2             check_ssh, preflight: asking 10.200.0.12",
    "snapshot": "[   1.9 s] cluster          snapshot: saving a snapshot of etcd member bootstrap to /var/lib/x",
    "register": "[   3.4 s] cp-2             register: started",
    "registered": "[   3.9 s] cp-2             register: done in 0.5 s",
    "prepare": "[   4.2 s] cp-2             prepare: job 20261123010203",
    "key-accepted": event("salt/auth", act="accept", id="cp-2", result=True),
    "minion-started": event("salt/minion/cp-2/start", id="cp-2", data="Minion cp-2 started"),
    "ca-told": event(
        "salt/job/2026/new", fun="saltutil.refresh_pillar", minions=["bootstrap"], arg=[]
    ),
    "role-prepared": sls("new", PREPARED),
    "role-prepared-done": sls("ret", PREPARED),
    "prepared": "[  24.2 s] cp-2             prepare: done in 20.0 s",
    "health": "[  24.3 s] cp-2             health: started",
    "deploy": "[  24.4 s] cp-2             deploy: job 20261123010203",
    "role-etcd": sls("new", NODE, ETCD, "metalk8s.roles.master"),
    "learner-added": "cp-2 learner",
    "learner-started": "cp-2 started",
    "promoted": "cp-2 voter",
    "role-etcd-done": sls("ret", NODE, ETCD, "metalk8s.roles.master"),
    "proxies": event("salt/job/2026/new", fun=PROXY, minions=["bootstrap", "cp-1"], arg=[]),
    "proxies-done": event("salt/job/2026/ret/bootstrap", fun=PROXY, id="bootstrap", fun_args=[]),
    "deployed": "[  44.2 s] cp-2             deploy: done in 40.0 s",
    "verify": "[  44.2 s] cp-2             verify: started",
    "verified": "[  45.2 s] cp-2             verify: done in 1.0 s",
    "uncordoned": "[  45.9 s] cp-2             uncordon: done in 0.1 s",
}


def test_boundary_line_matches_only_its_own_trigger() -> None:
    places = boundaries("cp-2")
    assert list(LINES) == list(places)
    for name, line in LINES.items():
        source = places[name].source
        matched = [
            other
            for other, moment in places.items()
            if moment.source == source and moment.matches(source, line or "")
        ]
        assert matched == [name]


@pytest.mark.parametrize("name", LINES)
def test_boundary_line_does_not_match_other_node(name: str) -> None:
    moment = boundaries("cp-1")[name]
    if name not in ("snapshot", "ca-told", "proxies", "proxies-done"):
        assert not moment.matches(moment.source, LINES[name] or "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "salt/auth",
        "salt/auth\tno JSON",
        "salt/auth\t[]",
        "minion/refresh/cp-2\t{}",
        event("salt/run/2026/new", fun="runner.x") or "",
        "salt\t{}",
    ],
)
def test_irrelevant_event_is_omitted(text: str) -> None:
    assert trigger.event_line(text) is None


def test_board_waits_for_the_line_and_its_delay() -> None:
    board, since = Board(), time.monotonic()
    threading.Timer(0.2, board.add, ("member", "cp-2 voter")).start()
    assert board.wait(Trigger("member", "^cp-2 voter$", 0.3), since, 5)
    assert 0.45 < time.monotonic() - since < 2


def test_board_ignores_lines_before_the_start() -> None:
    board = Board()
    board.add("runner", "x")
    assert not board.wait(Trigger("runner", "x"), time.monotonic(), 0.1)
    assert board.wait(Trigger("runner", "x"), 0.0, 0.1)


def test_board_stops_waiting_when_the_run_has_ended() -> None:
    started = time.monotonic()
    assert not Board().wait(Trigger("runner", "x"), started, 60, lambda: True)
    assert Board().wait(trigger.after(60), started, 60, lambda: True), (
        "the moment after the end is one, too"
    )
    assert time.monotonic() - started < 2


def test_board_writes_lines_to_its_log(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "heard.log"
    Board(path).add("runner", "x y")
    assert path.read_text().split()[1:] == ["runner", "x", "y"]


def test_trigger_text_describes_the_moment() -> None:
    assert str(trigger.after(2.5)) == "2.5 s after the start"
    assert str(Trigger("member", "x", 1)) == "1.0 s after member /x/"
    assert str(Trigger("member", "x")) == "member /x/"
