"""The lock of a run in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.runs.lease_rules import LockLostError


@dataclass
class FakeLock:
    """A lock that the run holds until the time ``lost_at``, or until ``lost`` is set."""

    clock: Clock
    epoch: int = 7
    lost_at: float = float("inf")
    lost: bool = False
    ticks: list[float] = field(default_factory=list)

    def tick(self) -> None:
        self.ticks.append(self.clock.monotonic())

    def check(self) -> None:
        if self.lost or self.clock.monotonic() >= self.lost_at:
            raise LockLostError("this run has lost the lock")

    @contextmanager
    def renewing(self, at_most: float) -> Iterator[None]:
        yield
