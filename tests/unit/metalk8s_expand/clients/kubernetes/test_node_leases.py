"""The Leases of kubelets as the API returns them, and the missing right to read them."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.clients.kubernetes import node_leases
from metalk8s_expand.clients.kubernetes.api import FORBIDDEN
from metalk8s_expand.errors import UnreachableError
from tests.fakes.kube import FakeKube

RENEWED = "2026-11-29T02:40:08.250000Z"


def test_renewals_are_read_by_node() -> None:
    kube = FakeKube()
    kube.put_lease("w-1", RENEWED)
    kube.put_lease("w-2", "2026-11-29T02:40:10.000000Z")
    beats = node_leases.heartbeats(kube)
    assert beats["w-1"].renewed == RENEWED
    assert beats["w-2"].seconds - beats["w-1"].seconds == 1.75
    assert beats["w-1"].duration == 40.0
    assert node_leases.heartbeat(kube, "w-1") == {"w-1": beats["w-1"]}
    assert node_leases.heartbeat(kube, "w-9") == {}


@pytest.mark.parametrize("spec", [{}, None, {"renewTime": None}, {"renewTime": "soon"}])
def test_lease_without_renewal_is_no_heartbeat(spec: Any) -> None:
    kube = FakeKube()
    kube.put(node_leases.LEASES, {"metadata": {"name": "w-1"}, "spec": spec})
    assert node_leases.heartbeats(kube) == node_leases.heartbeat(kube, "w-1") == {}


@pytest.mark.parametrize(
    ("cause", "words"), [(FORBIDDEN, "expand-rbac.yaml.j2"), (None, "check the log")]
)
def test_missing_right_has_its_own_remedy(cause: str | None, words: str) -> None:
    def refuse(request: str) -> None:
        raise UnreachableError("leases is forbidden", cause=cause, hint="check the log")

    kube = FakeKube()
    kube.fail = refuse
    for ask in (
        lambda: node_leases.heartbeats(kube),
        lambda: node_leases.heartbeat(kube, "w-1"),
    ):
        with pytest.raises(UnreachableError, match="leases is forbidden") as error:
            ask()
        assert words in str(error.value.hint)
        assert error.value.cause == cause
