"""States of running orchestrations that begin, read from an event bus in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.salt import state_events
from metalk8s_expand.clients.salt.state_events import StateEvents

JOB = "20261129130348"


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

    def get_event(self, wait: float, tag: str, full: bool) -> Any:
        assert (wait > 0, tag, full) == (True, "salt/run/", True)
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


def begins(jid: str = JOB, name: Any = "Prepare cp-1") -> dict[str, Any]:
    data = {"type": "state", "tgt": "cp-1", "name": name, "args": {"kwarg": {}}, "_stamp": "now"}
    return {"tag": f"salt/run/{jid}/args", "data": data}


def test_state_is_returned_once(bus: Bus, events: StateEvents) -> None:
    bus.events = [begins()]
    assert events.begun(JOB) == ["Prepare cp-1"]
    assert events.begun(JOB) == []
    assert bus.opened == 1


def test_name_of_a_state_has_no_control_characters(bus: Bus, events: StateEvents) -> None:
    bus.events = [begins(name="\x1b[2J")]
    assert events.begun(JOB) == ["\\x1b[2J"]


@pytest.mark.parametrize(
    "other",
    [
        begins("1999"),
        begins(name=None),
        {"tag": f"salt/run/{JOB}/ret", "data": {"name": "Prepare cp-1"}},
        {"tag": f"salt/run/{JOB}/args", "data": None},
    ],
)
def test_event_of_something_else_is_ignored(other: Any, bus: Bus, events: StateEvents) -> None:
    bus.events = [other]
    assert events.begun(JOB) == []


def test_bus_that_fails_is_left_alone(
    bus: Bus, events: StateEvents, caplog: pytest.LogCaptureFixture
) -> None:
    bus.events = [OSError("gone"), begins()]
    assert [events.begun(JOB) for _ in range(3)] == [[], [], []]
    assert (bus.opened, bus.closed) == (1, 1)
    assert "no events of states: OSError: gone" in caplog.text


def test_connection_is_open_only_while_jobs_run(bus: Bus, events: StateEvents) -> None:
    events.expect("other")
    events.begun(JOB)
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
    assert found.begun(JOB) == []
    found.close()
