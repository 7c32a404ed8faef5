"""Tests of a missing or failing event bus, which does not delay a run.

The functional tests use a real bus.
"""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.clients.salt.event_bus import Bus


@pytest.mark.parametrize(
    "outcome", [OSError("no socket"), RuntimeError("this event loop is already running"), False]
)
def test_failed_bus_gets_no_events_for_a_while(
    outcome: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def fired(self: Bus, tag: str, payload: dict[str, Any]) -> bool:
        calls.append(tag)
        if isinstance(outcome, Exception):
            raise outcome
        return bool(outcome)

    monkeypatch.setattr(Bus, "_fired", fired)
    bus = Bus({})
    assert [bus.fire(tag, {}) for tag in "abc"] == [False] * 3
    assert calls == ["a"]
    bus._rests_until = 0.0
    assert bus.fire("d", {}) is False
    assert calls == ["a", "d"]


def test_working_bus_gets_all_events(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(Bus, "_fired", lambda self, tag, payload: calls.append(tag) or True)
    assert all(Bus({}).fire(tag, {}) for tag in "abc")
    assert calls == ["a", "b", "c"]
