"""The minions of a Salt master in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from metalk8s_expand.cluster.minion_key import ACCEPTED, PENDING
from metalk8s_expand.errors import UnreachableError
from tests.fakes.keys import FakeKeys


@dataclass
class FakeMinions:
    """Minions that give the answers in ``answers``, and all others the answer of ``every``.

    Each job after the first ``limit`` jobs fails with ``error``. A minion with an accepted key
    answers a ping from ``pings_at`` on. With ``flips``, the master writes the key back as pending
    during the next pings. The master has accepted every minion that it is asked for except those in
    ``without_key``, and also ``others``.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    every: Callable[[str], Any] | None = None
    limit: float = float("inf")
    error: Exception = field(default_factory=lambda: UnreachableError("no master"))
    asked: list[tuple[list[str], str, list[Any]]] = field(default_factory=list)
    keys: FakeKeys = field(default_factory=FakeKeys)
    pings_at: float = 0.0
    flips: int = 0
    without_key: set[str] = field(default_factory=set)
    others: list[str] = field(default_factory=list)

    def accepted(self, names: Iterable[str] | None = None) -> set[str]:
        return set(self.others if names is None else names) - self.without_key

    def ask(
        self,
        minions: Iterable[str],
        function: str,
        arguments: Sequence[Any],
        limit_s: float = 60.0,
    ) -> dict[str, Any]:
        names = list(minions)
        self.asked.append((names, function, list(arguments)))
        if len(self.asked) > self.limit:
            raise self.error
        said = {name: self.every(name) for name in names} if self.every else {}
        return {**said, **{name: self.answers[name] for name in names if name in self.answers}}

    def ping(self, minion: str) -> bool:
        if self.flips:
            self.flips -= 1
            self.keys.move(minion, PENDING)
            return False
        directory, _ = self.keys.public_key(minion) or ("", "")
        return directory == ACCEPTED and self.keys.clock.monotonic() >= self.pings_at


def live_minions() -> FakeMinions:
    """Return minions that all answer a ping."""
    return FakeMinions(every=lambda name: True)
