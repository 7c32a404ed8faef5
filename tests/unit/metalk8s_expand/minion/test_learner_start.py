"""When the start of a learner is given another try."""

from __future__ import annotations

import pytest

from metalk8s_expand.domain.etcd.metrics import MemberStart
from metalk8s_expand.domain.runs.lease_rules import LockLostError
from metalk8s_expand.minion.learner_start import LOST_AFTER_S, PATIENCE_S, LearnerStart
from tests.fakes.clock import FakeClock
from tests.fakes.etcd_server import LOST, FakeServer


class Setting:
    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.server = FakeServer()
        self.lost_lock = False
        self.start = LearnerStart(self.server, clock, self.admit)  # type: ignore[arg-type]

    def admit(self) -> None:
        if self.lost_lock:
            raise LockLostError("a newer run holds the lock")

    def look(self, *after: float) -> int:
        """Look after each of these seconds, and return how often the process was ended."""
        for seconds in after:
            self.clock.time += seconds
            self.start.is_starting()
        return self.server.ended


@pytest.fixture
def setting(clock: FakeClock) -> Setting:
    return Setting(clock)


def test_learner_that_waits_in_vain_is_restarted_once(setting: Setting) -> None:
    assert setting.look(0) == 0
    assert setting.look(LOST_AFTER_S / 2) == 0
    assert setting.look(LOST_AFTER_S / 2) == 1
    assert setting.start.restarted
    assert setting.look(*[LOST_AFTER_S] * 5) == 1


def test_late_answer_is_waited_for(setting: Setting) -> None:
    setting.look(0)
    setting.server.state = MemberStart()
    setting.look(LOST_AFTER_S)
    setting.server.state = LOST
    assert setting.look(0, LOST_AFTER_S / 2) == 0


def test_process_that_was_not_ended_is_tried_again(setting: Setting) -> None:
    setting.server.runs = False
    assert setting.look(0, LOST_AFTER_S) == 0
    assert not setting.start.restarted
    setting.server.runs = True
    assert setting.look(0) == 1


def test_run_without_the_lock_restarts_nothing(setting: Setting) -> None:
    setting.lost_lock = True
    with pytest.raises(LockLostError):
        setting.look(0, LOST_AFTER_S)
    assert setting.server.ended == 0


def test_member_that_starts_is_not_asked_for_a_while(setting: Setting) -> None:
    setting.server.state = MemberStart()
    assert not setting.start.is_starting()
    setting.server.state = MemberStart(starting=True)
    assert setting.start.is_starting()
    setting.clock.time += PATIENCE_S - 0.1
    assert setting.start.is_starting()
    setting.clock.time += 0.1
    assert not setting.start.is_starting()
