"""The Node becomes what is declared by the least change; others' writes are survived, others' cordons are kept."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from metalk8s_expand.domain import manifest, roles
from metalk8s_expand.domain.nodes import Node, Ssh, Taint
from metalk8s_expand.errors import ConflictError, UnreachableError
from metalk8s_expand.steps import register

NODE = Node("w-1", "1", (roles.INFRA,), (Taint("node-role.kubernetes.io/infra"),), ssh=Ssh("10.0.0.1"), address="10.0.0.1")


class FakeKube:
    """One Node as an API server keeps it: JSON Patch tests are checked, ``meddle`` runs before every write."""

    def __init__(self, found: dict[str, Any] | None = None) -> None:
        self.stored = found
        self.writes: list[str] = []
        self.reads = 0
        self.meddle: Callable[[FakeKube], None] = lambda kube: None

    def node(self, name: str) -> dict[str, Any] | None:
        self.reads += 1
        return copy.deepcopy(self.stored)

    def create_node(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self.meddle(self)
        if self.stored is not None:
            raise ConflictError("AlreadyExists")
        self.writes.append("create")
        self.stored = copy.deepcopy(dict(body))
        self.stored["metadata"]["uid"] = "u-1"
        return self.stored

    def json_patch_node(self, name: str, patch: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        self.meddle(self)
        assert self.stored is not None
        test, change = patch
        if self.stored.get("spec", {}).get("taints") != test["value"]:
            raise ConflictError("the test of /spec/taints failed")
        self.writes.append("taints")
        if change["op"] == "remove":
            del self.stored["spec"]["taints"]
        else:
            self.stored.setdefault("spec", {})["taints"] = change["value"]
        return self.stored

    def merge_patch_node(self, name: str, patch: Mapping[str, Any]) -> dict[str, Any] | None:
        self.meddle(self)
        assert self.stored is not None
        wanted = patch.get("metadata", {}).get("uid")
        if wanted is not None and wanted != self.stored["metadata"].get("uid"):
            raise ConflictError("the UID in the precondition differs")
        self.writes.append("metadata")
        merge(self.stored, patch)
        return self.stored


def merge(target: dict[str, Any], patch: Mapping[str, Any]) -> None:
    """RFC 7396."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, Mapping):
            merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


def stored(**spec: Any) -> dict[str, Any]:
    body = manifest.manifest(NODE)
    body["metadata"]["uid"] = "u-1"
    body["spec"] |= spec
    return body


def run(kube: Any, test: bool = False) -> list[dict[str, Any]]:
    return register.register(kube, NODE, test)


def uncordon(kube: Any, test: bool = False) -> bool:
    return register.uncordon(kube, "w-1", test)


def test_a_new_node_is_created_cordoned() -> None:
    kube = FakeKube()
    assert run(kube) == [{"path": "Node", "found": None, "wanted": "created, cordoned"}]
    assert kube.stored is not None
    assert kube.stored["spec"]["unschedulable"] is True
    assert manifest.is_owned(kube.stored)
    assert manifest.is_cordoned_by_us(kube.stored)


def test_a_second_run_writes_nothing() -> None:
    kube = FakeKube()
    run(kube)
    assert run(kube) == []
    assert kube.writes == ["create"]


def test_only_what_differs_is_patched() -> None:
    kube = FakeKube(stored())
    assert kube.stored is not None
    kube.stored["metadata"]["labels"]["mine"] = "kept"
    kube.stored["metadata"]["labels"]["node-role.kubernetes.io/node"] = ""
    [change] = run(kube)
    assert change == {"path": "metadata.labels[node-role.kubernetes.io/node]", "found": "", "wanted": None}
    assert kube.writes == ["metadata"]
    assert kube.stored["metadata"]["labels"]["mine"] == "kept"


def test_taints_of_others_are_kept() -> None:
    other = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    kube = FakeKube(stored(taints=[other]))
    assert [change["path"] for change in run(kube)] == ["spec.taints[node-role.kubernetes.io/infra:NoSchedule]"]
    assert kube.stored is not None
    assert kube.stored["spec"]["taints"] == [other, NODE.taints[0].as_dict()]
    assert run(kube) == []
    assert kube.writes == ["taints"]


def test_test_mode_changes_nothing() -> None:
    kube = FakeKube()
    assert run(kube, test=True)
    kube.stored = stored(taints=[])
    assert run(kube, test=True)
    kube.stored = manifest.registration(NODE)
    assert uncordon(kube, test=True)
    assert kube.writes == []


def test_a_controller_that_taints_meanwhile_is_survived() -> None:
    kube = FakeKube(stored(taints=[]))
    other = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}

    def once(self: FakeKube) -> None:
        self.meddle = lambda kube: None
        assert self.stored is not None
        self.stored["spec"]["taints"] = [other]

    kube.meddle = once
    assert run(kube)
    assert kube.stored is not None
    assert other in kube.stored["spec"]["taints"]
    assert kube.reads == 2


def test_somebody_else_creates_it_meanwhile() -> None:
    kube = FakeKube()

    def once(self: FakeKube) -> None:
        self.meddle = lambda kube: None
        self.stored = stored(taints=[])

    kube.meddle = once
    assert [change["path"] for change in run(kube)] == ["spec.taints[node-role.kubernetes.io/infra:NoSchedule]"]
    assert kube.writes == ["taints"]


def _always(self: FakeKube) -> None:
    raise ConflictError("409")


@pytest.mark.parametrize("action", [run, uncordon])
def test_conflicts_are_bounded(action: Callable[[Any], Any]) -> None:
    kube = FakeKube(manifest.registration(NODE))
    assert kube.stored is not None
    kube.stored["metadata"]["uid"] = "u-1"
    kube.stored["metadata"]["labels"]["node-role.kubernetes.io/node"] = ""
    kube.meddle = _always
    with pytest.raises(ConflictError, match="5 attempts: 409") as error:
        action(kube)
    assert (kube.reads, error.value.node) == (register.ATTEMPTS, "w-1")
    assert error.value.hint


def test_an_unreachable_api_is_not_asked_again() -> None:
    kube = FakeKube()

    def down(self: FakeKube) -> None:
        raise UnreachableError("down")

    kube.meddle = down
    with pytest.raises(UnreachableError):
        run(kube)
    assert kube.reads == 1


class TestUncordon:
    def test_ours(self) -> None:
        kube = FakeKube()
        run(kube)
        assert uncordon(kube) is True
        assert kube.stored is not None
        assert "unschedulable" not in kube.stored["spec"]
        assert manifest.CORDONED not in kube.stored["metadata"]["annotations"]
        assert manifest.EXCLUDE_DISRUPTION not in kube.stored["metadata"]["labels"]
        assert manifest.is_owned(kube.stored), "who created it stays known"
        assert uncordon(kube) is False
        assert kube.writes == ["create", "metadata"]

    @pytest.mark.parametrize("found", [None, stored(), stored(unschedulable=True)])
    def test_of_others_or_none(self, found: dict[str, Any] | None) -> None:
        kube = FakeKube(found)
        assert uncordon(kube) is False
        assert kube.writes == []

    def test_never_another_node_of_the_same_name(self) -> None:
        kube = FakeKube()
        run(kube)

        def replaced(self: FakeKube) -> None:
            self.stored = stored(unschedulable=True)
            self.stored["metadata"]["uid"] = "u-2"

        kube.meddle = replaced
        assert uncordon(kube) is False
        assert kube.stored is not None
        assert kube.stored["spec"]["unschedulable"] is True
