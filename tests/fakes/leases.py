"""The Lease of a run in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.kubernetes.lease import Leases
from metalk8s_expand.domain.runs.lease_rules import NAME, LeaseHolder
from metalk8s_expand.runs.lock import Lock, acquire
from tests.fakes.kube import DOWN, FakeKube


class FakeLeases(Leases):
    """The Lease of a run on a fake API server of its own.

    ``before`` and ``after`` run around each write and may raise. While ``down`` is set, every
    request fails.
    """

    def __init__(self) -> None:
        self.kube = FakeKube()
        super().__init__(self.kube)
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self.down = False
        self.kube.fail = self._answer
        self.kube.meddle = lambda kube: self.before()
        self.kube.after = self._written

    @property
    def stored(self) -> dict[str, Any] | None:
        """The stored Lease itself."""
        return self.kube.objects[self._all].get(NAME)

    def delete(self) -> None:
        """Delete the Lease, as an operator may do."""
        del self.kube.objects[self._all][NAME]

    @property
    def writes(self) -> int:
        return len(self.kube.writes)

    def note(self) -> None:
        """Change a label of the Lease, as a client other than the holder may do."""
        assert self.stored is not None
        metadata = self.stored["metadata"]
        metadata["labels"] = {"noted": metadata["resourceVersion"]}
        self.kube.changed(self.stored)

    @property
    def holder(self) -> str:
        return str(((self.stored or {}).get("spec") or {}).get("holderIdentity") or "")

    def _answer(self, request: str) -> None:
        if self.down:
            raise DOWN

    def _written(self) -> None:
        self.after()


def who(name: str) -> LeaseHolder:
    return LeaseHolder(name, f"host-of-{name}", "root", f"run-of-{name}", "expand")


def hold(leases: FakeLeases, clock: Clock, name: str = "a", wait_s: float = 0.0) -> Lock:
    return acquire(leases, who(name), wait_s, clock=clock)
