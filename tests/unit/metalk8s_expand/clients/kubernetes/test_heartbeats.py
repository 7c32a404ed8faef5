"""A watch of kubelets: a renewal after the first look, within a bounded wait."""

from __future__ import annotations

from metalk8s_expand.clients.kubernetes.heartbeats import (
    RENEWAL_S,
    silent_kubelets,
    watch_heartbeats,
    watch_kubelet,
)
from metalk8s_expand.errors import UnreachableError
from tests.fakes.clock import FakeClock
from tests.fakes.kube import FakeKube
from tests.fakes.nodes import infra

OLD, NEW = "2026-11-29T02:40:00.000000Z", "2026-11-29T02:40:30.000000Z"


def cluster(*dead: str) -> FakeKube:
    """Return two Ready nodes; the kubelets of the dead ones do not renew an old Lease."""
    kube = FakeKube(infra("a"), infra("b"))
    kube.dead_kubelets.update(dead)
    for name in dead:
        kube.put_lease(name, OLD)
    return kube


def test_watch_reports_kubelets_without_a_renewal(clock: FakeClock) -> None:
    kube = cluster("b")
    watch = watch_heartbeats(kube)
    assert watch.problems("a") == []
    assert "last at " + OLD in watch.problems("b")[0]
    started = clock.now()
    assert list(watch.wait(["a", "b"], clock)) == ["b"]
    assert clock.now() == started + RENEWAL_S
    assert watch.wait(["a"], clock) == {}
    assert clock.now() == started + RENEWAL_S


def test_lease_that_appears_is_a_renewal() -> None:
    kube = cluster()
    kube.dead_kubelets.add("b")
    watch = watch_heartbeats(kube)
    assert "no Lease" in watch.problems("b")[0]
    kube.put_lease("b", NEW)
    assert watch.problems("b") == []


def test_watch_of_one_kubelet_may_begin_before_the_first_look() -> None:
    kube = cluster("a", "b")
    assert watch_kubelet(kube, "b").problems("b") != []
    assert watch_kubelet(kube, "b", OLD).problems("b") != []
    assert watch_kubelet(kube, "b", NEW).problems("b") == []
    assert watch_kubelet(kube, "b", "").problems("b") == [], "it had no Lease before"


def test_silence_of_the_api_is_no_renewal(clock: FakeClock) -> None:
    kube = cluster("b")
    watch = watch_heartbeats(kube)

    def down(request: str) -> None:
        raise UnreachableError("the API does not answer")

    kube.fail = down
    assert list(watch.wait(["a"], clock)) == ["a"]


def test_only_late_kubelets_cost_a_wait(clock: FakeClock) -> None:
    kube = cluster("b")
    kube.put_lease("a", NEW)
    kube.dead_kubelets.add("a")
    started = clock.now()
    assert silent_kubelets(kube, ["a"], clock) == {}
    assert clock.now() == started
    assert list(silent_kubelets(kube, ["a", "b"], clock)) == ["b"]
    assert clock.now() == started + RENEWAL_S
