"""Tests of Lease requests and of the description of a lease holder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from metalk8s_expand.clients.kubernetes import lease
from metalk8s_expand.clients.kubernetes.lease import Leases

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


class Recorded:
    """A fake API that records its requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        self.asked.append((method, path, body))
        return None if body is None else dict(body)


def test_leases_sends_get_post_and_put() -> None:
    api = Recorded()
    leases = Leases(api)  # type: ignore[arg-type]
    assert leases.get() is None
    assert leases.create({"a": 1}) == {"a": 1}
    assert leases.update({"a": 2}) == {"a": 2}
    one = f"{LEASES}/metalk8s-expand"
    assert api.asked == [("GET", one, None), ("POST", LEASES, {"a": 1}), ("PUT", one, {"a": 2})]


def test_claims_have_different_identities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    first, second = lease.claim("r1", "expand"), lease.claim("r1", "expand")
    assert first.identity != second.identity
    assert first.identity.startswith(f"{first.host}_{os.getpid()}_")
    assert (first.run, first.doing, first.host) == ("r1", "expand", os.uname().nodename)


def test_claim_names_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    assert lease.claim("r", "d").user.endswith(" (sudo by alice)")
    monkeypatch.delenv("SUDO_USER")
    monkeypatch.setattr(os, "getuid", lambda: 4000000)
    assert lease.claim("r", "d").user == "4000000", "a container knows no name for it"


def test_stamp_has_microtime_format_of_api() -> None:
    assert lease.stamp(1577836800.25) == "2020-01-01T00:00:00.250000Z"


class TestProcessEnd:
    def test_own_process_has_not_ended(self) -> None:
        assert not lease.has_ended(lease.claim("r", "d").process)

    def test_exited_process_and_zombie_have_ended(self) -> None:
        child = os.fork()
        if not child:
            os._exit(0)
        found = lease.claim("r", "d").process.split("/")
        mine = "/".join([*found[:2], str(child), "1"])
        assert lease.has_ended(mine), "a zombie does nothing any more"
        os.waitpid(child, 0)
        assert lease.has_ended(mine)

    def test_reused_pid_is_other_process(self) -> None:
        assert lease.has_ended(lease.claim("r", "d").process + "0")

    @pytest.mark.parametrize("place", [("another boot", None), (None, "1")])
    def test_process_in_other_place_has_not_ended(
        self, place: tuple[str | None, str | None]
    ) -> None:
        here = lease.claim("r", "d").process.split("/")
        there = [other or own for own, other in zip(here, place, strict=False)]
        assert not lease.has_ended("/".join([*there, "999999999", "1"]))

    @pytest.mark.parametrize("text", ["", "nonsense", "a/b/c", "a/b/c/d", "a/b/c/d/e"])
    def test_nonsense_has_not_ended(self, text: str) -> None:
        assert not lease.has_ended(text)
