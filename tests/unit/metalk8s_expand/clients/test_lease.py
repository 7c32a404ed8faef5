"""What is asked of the API about a Lease, and what a process says of itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from metalk8s_expand.clients import lease
from metalk8s_expand.clients.lease import Leases

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


class Recorded:
    """The requests that were made."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        self.asked.append((method, path, body))
        return None if body is None else dict(body)


def test_the_requests() -> None:
    api = Recorded()
    leases = Leases(api)  # type: ignore[arg-type]
    assert leases.get() is None
    assert leases.create({"a": 1}) == {"a": 1}
    assert leases.update({"a": 2}) == {"a": 2}
    one = f"{LEASES}/metalk8s-expand"
    assert api.asked == [("GET", one, None), ("POST", LEASES, {"a": 1}), ("PUT", one, {"a": 2})]


def test_a_claim_is_of_one_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    first, second = lease.claim("r1", "expand"), lease.claim("r1", "expand")
    assert first.identity != second.identity
    assert first.identity.startswith(f"{first.host}_{os.getpid()}_")
    assert (first.run, first.doing, first.host) == ("r1", "expand", os.uname().nodename)


def test_the_user_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    assert lease.claim("r", "d").user.endswith(" (sudo by alice)")
    monkeypatch.delenv("SUDO_USER")
    monkeypatch.setattr(os, "getuid", lambda: 4000000)
    assert lease.claim("r", "d").user == "4000000", "a container knows no name for it"


def test_a_stamp_is_what_the_api_takes_for_a_time() -> None:
    assert lease.stamp(1577836800.25) == "2020-01-01T00:00:00.250000Z"
