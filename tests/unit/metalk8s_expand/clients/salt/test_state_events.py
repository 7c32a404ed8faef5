"""States of running orchestrations, read from an event bus in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.salt import state_events
from metalk8s_expand.clients.salt.state_events import StateEvents
from metalk8s_expand.domain.salt.orchestration_result import EndedState

JOB = "20261129130348"
CHUNK = {"result": True, "__id__": "Prepare cp-1", "__run_num__": 2, "duration": 11500.0}


class Bus:
    """Salt's event client. It gives the events of ``events``, and an exception of it raises."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.opened = 0
        self.closed = 0

    def open(self, opts: Any, sock_dir: str, listen: bool) -> Bus:
        assert (sock_dir, listen) == ("/run/salt", True)
        self.opened += 1
        return self

    def get_event(self, wait: float, tag: str, full: bool, no_block: bool) -> Any:
        assert (wait > 0, tag, full, no_block) == (True, "salt/job/", True, True)
        if not self.events:
            return None
        event = self.events.pop(0)
        if isinstance(event, Exception):
            raise event
        return event

    def destroy(self) -> None:
        self.closed += 1


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    made = Bus()
    monkeypatch.setattr("salt.utils.event.get_master_event", made.open)
    monkeypatch.setattr(state_events, "PACE_S", 0.0)
    return made


@pytest.fixture
def events(bus: Bus) -> StateEvents:
    found = StateEvents({"sock_dir": "/run/salt"})
    found.expect(JOB)
    return found


def prog(jid: str = JOB, total: Any = 4, **chunk: Any) -> dict[str, Any]:
    return {
        "tag": f"salt/job/{jid}/prog/bootstrap_master/2",
        "data": {"ret": {**CHUNK, **chunk}, "len": total, "_stamp": "now"},
    }


def test_state_is_returned_once(bus: Bus, events: StateEvents) -> None:
    bus.events = [prog()]
    [state] = events.ended(JOB)
    assert state == EndedState("Prepare cp-1", True, 11.5, 3, 4)
    assert str(state) == "'Prepare cp-1' done in 11.5 s, state 3 of 4"
    assert events.ended(JOB) == []
    assert bus.opened == 1


def test_failed_state_is_marked(bus: Bus, events: StateEvents) -> None:
    bus.events = [prog(result=False, comment="it broke")]
    assert str(events.ended(JOB)[0]).startswith("'Prepare cp-1' FAILED in 11.5 s")


def test_name_of_a_state_has_no_control_characters(bus: Bus, events: StateEvents) -> None:
    bus.events = [prog(__id__="\x1b[2J")]
    assert events.ended(JOB)[0].name == "\\x1b[2J"


@pytest.mark.parametrize(
    "other",
    [
        prog("1999"),
        {"tag": f"salt/job/{JOB}/ret/w-1", "data": {"return": {}}},
        {"tag": f"salt/job/{JOB}/prog/m/1", "data": None},
        {"tag": f"salt/job/{JOB}/prog/m/1", "data": {"ret": "text", "len": 3}},
        prog(total="4"),
        prog(__run_num__=None),
        prog(result=False, __state_ran__=False),
    ],
)
def test_event_of_something_else_is_ignored(other: Any, bus: Bus, events: StateEvents) -> None:
    bus.events = [other]
    assert events.ended(JOB) == []


def test_bus_that_fails_is_left_alone(
    bus: Bus, events: StateEvents, caplog: pytest.LogCaptureFixture
) -> None:
    bus.events = [OSError("gone"), prog()]
    assert [events.ended(JOB) for _ in range(3)] == [[], [], []]
    assert (bus.opened, bus.closed) == (1, 1)
    assert "no events of states: OSError: gone" in caplog.text


def test_connection_is_open_only_while_jobs_run(bus: Bus, events: StateEvents) -> None:
    events.expect("other")
    events.ended(JOB)
    events.forget(JOB)
    assert bus.closed == 0
    events.forget("other")
    assert bus.closed == 1
    events.close()
    assert bus.closed == 1


@pytest.fixture
def empty_directory(tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path)
    assert os.listdir(tmp_path) == []


def test_master_without_a_bus_has_no_events(empty_directory: str) -> None:
    import salt.config

    opts = salt.config.master_config(None)
    found = StateEvents({**opts, "sock_dir": empty_directory})
    found.expect(JOB)
    assert found.ended(JOB) == []
    found.close()
