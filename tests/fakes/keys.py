"""The keys that a Salt master knows, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.cluster.minion_key import ACCEPTED, PENDING
from tests.fakes.clock import FakeClock


@dataclass
class FakeKeys:
    """The directory and the key of each minion, which the master has from ``arrives_at`` on."""

    known: dict[str, tuple[str, str]] = field(default_factory=dict)
    clock: Clock = field(default_factory=FakeClock)
    arrives_at: float = 0.0
    accepted: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)

    def public_key(self, minion: str) -> tuple[str, str] | None:
        return self.known.get(minion) if self.clock.monotonic() >= self.arrives_at else None

    def accept(self, minion: str) -> bool:
        directory, key = self.known[minion]
        assert directory == PENDING
        self.accepted.append(minion)
        self.known[minion] = (ACCEPTED, key)
        return True

    def add(self, minion: str, public_key: str) -> None:
        assert minion not in self.known
        self.added.append(minion)
        self.known[minion] = (ACCEPTED, public_key)

    def delete(self, minion: str) -> bool:
        return self.known.pop(minion, None) is not None

    def move(self, minion: str, directory: str) -> None:
        """Move the key of a minion to another directory."""
        self.known[minion] = (directory, self.known[minion][1])
