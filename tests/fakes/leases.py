"""The Lease of a run in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.runs.lease_rules import LeaseHolder
from metalk8s_expand.errors import ConflictError, UnreachableError
from metalk8s_expand.runs.lock import Lock, acquire

DOWN = UnreachableError("the API does not answer", hint="wait")


class FakeLeases:
    """One Lease with the API server's optimistic concurrency.

    ``before`` and ``after`` run around each write and may raise. While ``down`` is set, every
    request fails.
    """

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self.down = False
        self.writes = 0

    def get(self) -> dict[str, Any] | None:
        self._answer()
        return copy.deepcopy(self.stored)

    def create(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        self._answer()
        self.before()
        if self.stored is not None:
            raise ConflictError("already exists")
        return self._store({**body, "metadata": {**body["metadata"], "uid": f"uid-{self.version}"}})

    def update(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        self._answer()
        self.before()
        if self.stored is None:
            return None
        if self.stored["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise ConflictError("the object has been modified")
        return self._store(body)

    def note(self) -> None:
        """Change a label of the Lease, as a client other than the holder may do."""
        assert self.stored is not None
        self._store(
            {
                **self.stored,
                "metadata": {**self.stored["metadata"], "labels": {"noted": str(self.version)}},
            }
        )

    @property
    def holder(self) -> str:
        return str(((self.stored or {}).get("spec") or {}).get("holderIdentity") or "")

    def _answer(self) -> None:
        if self.down:
            raise DOWN

    def _store(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self.writes += 1
        # The API server keeps the resourceVersion if a write changes nothing.
        self.version += body != self.stored
        found = copy.deepcopy(dict(body))
        found["metadata"]["resourceVersion"] = str(self.version)
        self.stored = found
        self.after()
        return copy.deepcopy(found)


def who(name: str) -> LeaseHolder:
    return LeaseHolder(name, f"host-of-{name}", "root", f"run-of-{name}", "expand")


def hold(leases: FakeLeases, clock: Clock, name: str = "a", wait_s: float = 0.0) -> Lock:
    return acquire(leases, who(name), wait_s, clock=clock)
