"""Tests of evictions and related calls against a fake API with fixed answers."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.clients.kubernetes import evictions
from metalk8s_expand.clients.kubernetes.evictions import Eviction
from metalk8s_expand.errors import ConflictError, DeployError, UnreachableError

POD = {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}}


class FakeApi:
    """A fake API that answers by path and records the requests."""

    def __init__(
        self, objects: dict[str, Any] | None = None, status: int = 201, reason: str = ""
    ) -> None:
        self.objects = objects or {}
        self.status, self.reason = status, reason
        self.asked: list[tuple[str, str, Any]] = []

    def answer(self, method: str, path: str, body: Any) -> tuple[int, str]:
        self.asked.append((method, path, body))
        return self.status, self.reason

    def request(self, method: str, path: str, body: Any = None) -> Any:
        self.asked.append((method, path, body))
        return self.objects.get(path)

    def get(self, path: str) -> Any:
        return self.objects.get(path)

    def listed(self, path: str, query: Any = None) -> list[dict[str, Any]]:
        self.asked.append(("LIST", path, query))
        return list(self.objects.get(path, []))

    def merge_patch_node(self, name: str, patch: Any) -> Any:
        self.asked.append(("PATCH", name, patch))
        return self.objects.get(name)


def asked(status: int, reason: str = "") -> tuple[Eviction, str]:
    return evictions.evict(FakeApi(status=status, reason=reason), POD)  # type: ignore[arg-type]


def test_eviction_requires_uid_of_pod() -> None:
    api = FakeApi()
    evictions.evict(api, POD)  # type: ignore[arg-type]
    [(method, path, body)] = api.asked
    assert (method, path) == ("POST", "/api/v1/namespaces/ns/pods/p/eviction")
    assert body["apiVersion"] == "policy/v1"
    assert body["deleteOptions"] == {"preconditions": {"uid": "u"}}


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (200, Eviction.ACCEPTED),
        (201, Eviction.ACCEPTED),
        (404, Eviction.GONE),
        (409, Eviction.GONE),
        (429, Eviction.WAIT),
    ],
)
def test_eviction_status_gives_result(status: int, wanted: Eviction) -> None:
    assert asked(status, "why")[0] is wanted


def test_overlapping_budgets_are_reported_at_once() -> None:
    with pytest.raises(DeployError, match="more than one") as raised:
        asked(500, "This pod has more than one PodDisruptionBudget")
    assert not raised.value.retry
    assert "ns/p" in str(raised.value)


def test_eviction_with_other_status_is_unreachable() -> None:
    with pytest.raises(UnreachableError, match="403: no right"):
        asked(403, "no right")


def test_pods_of_one_node() -> None:
    api = FakeApi({evictions.PODS: [POD]})
    assert evictions.pods_on(api, "w-1") == [POD]  # type: ignore[arg-type]
    assert api.asked[0][2] == {"fieldSelector": "spec.nodeName=w-1"}


def test_attachments_of_one_node() -> None:
    spec = {"nodeName": "w-1", "source": {"persistentVolumeName": "pv-1"}}
    api = FakeApi({evictions.ATTACHMENTS: [{"spec": spec}, {"spec": {**spec, "nodeName": "w-2"}}]})
    assert evictions.attachments(api, "w-1") == ["pv-1"]  # type: ignore[arg-type]


def test_local_claims() -> None:
    base = "/api/v1/namespaces/ns/persistentvolumeclaims"
    api = FakeApi({
        f"{base}/local": {"spec": {"volumeName": "pv-1"}}, f"{base}/far": {"spec": {"volumeName": "pv-2"}},
        f"{base}/unbound": {"spec": {}}, "/api/v1/persistentvolumes/pv-1": {"spec": {"local": {"path": "/x"}}},
        "/api/v1/persistentvolumes/pv-2": {"spec": {"csi": {}}},
    })  # fmt: skip
    wanted = [("ns", name) for name in ("local", "far", "unbound", "absent")]
    assert evictions.local_claims(api, wanted) == {("ns", "local")}  # type: ignore[arg-type]


def test_a_node_that_is_gone_cannot_be_cordoned() -> None:
    with pytest.raises(ConflictError, match="deleted at the same time"):
        evictions.cordon(FakeApi(), "w-1", "u", {})  # type: ignore[arg-type]
