"""The master reaches a minion if it has its key and gets an answer, within two jobs."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.clients.salt import minion_contact
from metalk8s_expand.clients.salt.minion_contact import NO_KEY, SILENT
from tests.fakes.minions import FakeMinions, live_minions


def unreached(minions: FakeMinions, *names: str) -> dict[str, str]:
    return minion_contact.unreached_minions(minions, names)  # type: ignore[arg-type]


def test_unreached_minion_has_its_reason() -> None:
    minions = live_minions()
    minions.without_key = {"a"}
    minions.answers = {"b": "Minion did not return.", "c": False}
    assert unreached(minions, "a", "b", "c", "d") == {"a": NO_KEY, "b": SILENT, "c": SILENT}
    assert [names for names, _, _ in minions.asked] == [["b", "c", "d"], ["b", "c"]]


def test_minion_that_answers_the_second_job_is_reached() -> None:
    minions = FakeMinions()
    minions.every = lambda name: len(minions.asked) == 2
    assert unreached(minions, "a") == {}


def test_reached_minions_get_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    minions = live_minions()
    assert unreached(minions, "a", "b") == {}
    assert minions.asked == [(["a", "b"], "test.ping", [])]
    assert unreached(minions) == {}
    assert len(minions.asked) == 1
    monkeypatch.setattr(minion_contact, "CHUNK", 2)
    asked: Any = minions.asked
    asked.clear()
    unreached(minions, "a", "b", "c")
    assert [names for names, _, _ in asked] == [["a", "b"], ["c"]]
