"""Rules of the Lease: who may take it, what is written then, and which foreign fields stay."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain.runs import lease_rules as rules
from metalk8s_expand.domain.runs.lease_rules import EPOCHS_BEGIN, Lease, LeaseHolder, RenewalWatch

CLAIM = LeaseHolder("bootstrap_42_ab", "bootstrap", "root", "20261122194700", "expand nodes=cp-1")
STAMP = "2026-11-22T19:47:00.000000Z"
NOW = EPOCHS_BEGIN + 1000.7


def stored(**spec: Any) -> dict[str, Any]:
    fields = {
        "holderIdentity": "other", "leaseTransitions": 7, "acquireTime": "t1", "renewTime": "t2", "leaseDurationSeconds": 30,
    }  # fmt: skip
    metadata = {
        "name": "l",
        "uid": "u",
        "resourceVersion": "5",
        "labels": {"a": "b"},
        "annotations": {"x": "y"},
    }
    return {"metadata": metadata, "spec": {**fields, **spec}}


def lease(**spec: Any) -> Lease:
    return Lease.from_stored(stored(**spec))


def annotations(body: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = body["metadata"]["annotations"]
    return found


@pytest.mark.parametrize(
    "item", [{}, {"spec": None, "metadata": None}, {"spec": {"holderIdentity": None}}]
)
def test_empty_lease_has_no_holder(item: dict[str, Any]) -> None:
    found = Lease.from_stored(item)
    assert (found.holder, found.epoch, found.duration, found.host) == (
        "",
        0,
        60.0,
        "the holder's host",
    )
    assert RenewalWatch().saw(found, 1.0).may_take(found, "me", 1.0)


def test_new_lease_has_higher_epoch_than_deleted_lease() -> None:
    body = rules.taken(None, CLAIM, STAMP, NOW, 60)
    assert (body["metadata"]["name"], body["metadata"]["namespace"]) == (
        "metalk8s-expand",
        "kube-system",
    )
    assert body["spec"] == {
        "holderIdentity": CLAIM.identity, "leaseDurationSeconds": 60, "acquireTime": STAMP, "renewTime": STAMP,
        "leaseTransitions": 1000,
    }  # fmt: skip
    assert rules.taken(None, CLAIM, STAMP, 5.0, 60)["spec"]["leaseTransitions"] == 1, (
        "a clock that was never set"
    )


def test_takeover_raises_epoch_and_keeps_foreign_fields() -> None:
    body = rules.taken(lease(strategy="OldestEmulationVersion"), CLAIM, STAMP, NOW, 60)
    assert body["spec"] == {
        "holderIdentity": CLAIM.identity, "leaseDurationSeconds": 60, "acquireTime": STAMP, "renewTime": STAMP,
        "leaseTransitions": 8, "strategy": "OldestEmulationVersion",
    }  # fmt: skip
    assert body["metadata"]["resourceVersion"] == "5"
    assert body["metadata"]["labels"] == {"a": "b"}
    assert annotations(body) == {
        "x": "y",
        "metalk8s-expand.scality.com/host": "bootstrap",
        "metalk8s-expand.scality.com/user": "root",
        "metalk8s-expand.scality.com/run": "20261122194700",
        "metalk8s-expand.scality.com/doing": "expand nodes=cp-1",
    }


def test_own_lease_is_renewed_and_not_taken_again() -> None:
    body = rules.taken(lease(holderIdentity=CLAIM.identity), CLAIM, STAMP, NOW, 60)
    assert body == stored(holderIdentity=CLAIM.identity, renewTime=STAMP)


def test_released_lease_has_no_holder_and_keeps_epoch() -> None:
    held = Lease.from_stored(rules.taken(lease(), CLAIM, STAMP, NOW, 60))
    body = rules.released(held, "t9")
    assert (body["spec"]["holderIdentity"], body["spec"]["leaseTransitions"]) == (None, 8)
    assert annotations(body) == {"x": "y"}
    assert (
        rules.taken(Lease.from_stored(body), CLAIM, STAMP, NOW, 60)["spec"]["leaseTransitions"] == 9
    )


def test_written_lease_does_not_change_read_object() -> None:
    item = stored()
    for body in (
        rules.taken(Lease.from_stored(item), CLAIM, STAMP, NOW, 60),
        rules.renewed(Lease.from_stored(item), "t9"),
    ):
        assert body["spec"] != item["spec"]
    assert item == stored()


def test_holder_title_names_run_user_and_host() -> None:
    held = Lease.from_stored(rules.taken(lease(), CLAIM, STAMP, NOW, 60))
    assert held.title == (
        f"expand nodes=cp-1 (run 20261122194700 of root on bootstrap, bootstrap_42_ab), since {STAMP}, last renewed {STAMP}"
    )
    assert held.host == "bootstrap"
    assert lease().title == "? (run ? of ? on ?, other), since t1, last renewed t2"


def test_lease_expires_after_duration_without_renewal() -> None:
    watch = RenewalWatch().saw(lease(), 100.0)
    assert not watch.may_take(lease(), "me", 100.0)
    assert watch.saw(lease(), 129.0) == watch, "the same again begins no new time"
    assert not watch.may_take(lease(), "me", 130.0)
    assert watch.may_take(lease(), "me", 130.1)


@pytest.mark.parametrize(
    "change",
    [{"renewTime": "t3"}, {"leaseTransitions": 8}, {"holderIdentity": "third"}],
    ids=lambda change: next(iter(change)),
)
def test_renewal_restarts_lease_duration(change: dict[str, Any]) -> None:
    watch = RenewalWatch().saw(lease(), 100.0).saw(lease(**change), 129.0)
    assert not watch.may_take(lease(**change), "me", 158.0)
    assert watch.may_take(lease(**change), "me", 159.1)


def test_new_lease_of_same_name_restarts_lease_duration() -> None:
    again = stored()
    again["metadata"]["uid"] = "u2"
    assert RenewalWatch().saw(lease(), 100.0).saw(Lease.from_stored(again), 129.0).since == 129.0


def test_write_without_new_time_restarts_lease_duration() -> None:
    """The holder's clock may have jumped back to the time of an earlier renewal."""
    again = stored()
    again["metadata"]["resourceVersion"] = "6"
    assert RenewalWatch().saw(lease(), 100.0).saw(Lease.from_stored(again), 129.0).since == 129.0


@pytest.mark.parametrize(
    "renewed", ["1970-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z", "", "nonsense"]
)
def test_times_in_lease_do_not_matter(renewed: str) -> None:
    found = lease(renewTime=renewed)
    watch = RenewalWatch().saw(found, 5.0)
    assert not watch.may_take(found, "me", 35.0)
    assert watch.may_take(found, "me", 35.1)


def test_duration_of_holder_applies() -> None:
    found = lease(leaseDurationSeconds=2)
    assert RenewalWatch().saw(found, 0.0).may_take(found, "me", 2.1)


@pytest.mark.parametrize(
    ("moment", "over"), [(10.0, False), (63.9, False), (64.0, True), (1e9, True)]
)
def test_holder_stops_before_lease_expires(moment: float, over: bool) -> None:
    assert rules.is_over(10.0, 60.0, moment) is over
