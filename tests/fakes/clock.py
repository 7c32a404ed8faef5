"""Clocks that pass no real time."""

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


class OffsetClock(FakeClock):
    """The clock of a host with another boot time and another date."""

    def __init__(self, source: FakeClock, offset: float, date: float) -> None:
        self.source, self.offset, self.date = source, offset, date

    def now(self) -> float:
        return self.date

    def monotonic(self) -> float:
        return self.source.time + self.offset

    def sleep(self, seconds: float) -> None:
        self.source.sleep(seconds)
