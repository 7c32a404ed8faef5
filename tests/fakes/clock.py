"""Fakes at the wire that more than one step is tested with."""

from __future__ import annotations

from metalk8s_expand.clients.host.clock import Clock


class FakeClock(Clock):
    """A clock that only ``sleep`` advances, so that a timeout costs no time."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert seconds > 0, "a wait must not spin"
        self.time += seconds
