"""Tests that registration makes the smallest change, survives concurrent writes and keeps other
cordons.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from metalk8s_expand.cluster import node_registration, ownership
from metalk8s_expand.domain.node import manifest, roles
from metalk8s_expand.domain.node.spec import Node, Ssh, Taint
from metalk8s_expand.errors import ConflictError, SettingsError, UnreachableError
from tests.fakes.kube import FakeKube

NODE = Node(
    "w-1",
    "1",
    (roles.INFRA,),
    (Taint("node-role.kubernetes.io/infra"),),
    ssh=Ssh("10.0.0.1"),
    address="10.0.0.1",
)


def stored(**spec: Any) -> dict[str, Any]:
    body = manifest.manifest(NODE)
    body["metadata"]["uid"] = "u-1"
    body.setdefault("spec", {}).update(spec)
    return body


def run(kube: Any, test: bool = False) -> list[dict[str, Any]]:
    return node_registration.register(kube, NODE, test)


def uncordon(kube: Any, test: bool = False) -> bool:
    return node_registration.uncordon(kube, "w-1", test)


def test_new_node_is_created_cordoned() -> None:
    kube = FakeKube()
    assert run(kube) == [{"path": "Node", "found": None, "wanted": "created and cordoned"}]
    assert kube.stored["spec"]["unschedulable"] is True
    assert manifest.is_created_by_us(kube.stored)
    assert manifest.is_cordoned_by_us(kube.stored)


def test_second_run_writes_nothing() -> None:
    kube = FakeKube()
    run(kube)
    assert run(kube) == []
    assert kube.writes == ["create"]


def test_only_differences_are_patched() -> None:
    kube = FakeKube(stored())
    kube.stored["metadata"]["labels"]["mine"] = "kept"
    kube.stored["metadata"]["labels"]["node-role.kubernetes.io/node"] = ""
    [change] = run(kube)
    assert change == {
        "path": "metadata.labels[node-role.kubernetes.io/node]",
        "found": "",
        "wanted": None,
    }
    assert kube.writes == ["metadata"]
    assert kube.stored["metadata"]["labels"]["mine"] == "kept"


def test_foreign_taints_are_kept() -> None:
    other = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    kube = FakeKube(stored(taints=[other]))
    assert [change["path"] for change in run(kube)] == [
        "spec.taints[node-role.kubernetes.io/infra:NoSchedule]"
    ]
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


def test_concurrent_taint_of_controller_is_survived() -> None:
    kube = FakeKube(stored(taints=[]))
    other = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}

    def once(self: FakeKube) -> None:
        self.meddle = lambda kube: None
        assert self.stored is not None
        self.stored["spec"]["taints"] = [other]

    kube.meddle = once
    assert run(kube)
    assert other in kube.stored["spec"]["taints"]
    assert kube.reads == 2


def test_concurrent_creation_of_node_is_survived() -> None:
    kube = FakeKube()

    def once(self: FakeKube) -> None:
        self.meddle = lambda kube: None
        self.stored = stored(taints=[])

    kube.meddle = once
    assert [change["path"] for change in run(kube)] == [
        "spec.taints[node-role.kubernetes.io/infra:NoSchedule]"
    ]
    assert kube.writes == ["taints"]


def _always(self: FakeKube) -> None:
    raise ConflictError("409")


@pytest.mark.parametrize("action", [run, uncordon])
def test_conflicts_are_bounded(action: Callable[[Any], Any]) -> None:
    kube = FakeKube(manifest.registration(NODE))
    kube.stored["metadata"]["uid"] = "u-1"
    kube.stored["metadata"]["labels"]["node-role.kubernetes.io/node"] = ""
    kube.meddle = _always
    with pytest.raises(ConflictError, match=f"{node_registration.ATTEMPTS} attempts: 409") as error:
        action(kube)
    assert (kube.reads, error.value.node) == (node_registration.ATTEMPTS, "w-1")
    assert error.value.hint


def test_unreachable_api_is_not_retried() -> None:
    kube = FakeKube()

    def down(self: FakeKube) -> None:
        raise UnreachableError("down")

    kube.meddle = down
    with pytest.raises(UnreachableError):
        run(kube)
    assert kube.reads == 1


class TestUncordon:
    def test_own_cordon_is_undone(self) -> None:
        kube = FakeKube()
        run(kube)
        assert uncordon(kube) is True
        assert "unschedulable" not in kube.stored["spec"]
        assert manifest.CORDONED not in kube.stored["metadata"]["annotations"]
        assert manifest.EXCLUDE_DISRUPTION not in kube.stored["metadata"]["labels"]
        assert manifest.is_created_by_us(kube.stored), "who created it stays known"
        assert uncordon(kube) is False
        assert kube.writes == ["create", "metadata"]

    @pytest.mark.parametrize("found", [None, stored(), stored(unschedulable=True)])
    def test_foreign_or_missing_cordon_is_left(self, found: dict[str, Any] | None) -> None:
        kube = FakeKube(found)
        assert uncordon(kube) is False
        assert kube.writes == []

    def test_replaced_node_of_same_name_is_left(self) -> None:
        kube = FakeKube()
        run(kube)

        def replaced(self: FakeKube) -> None:
            self.stored = stored(unschedulable=True)
            self.stored["metadata"]["uid"] = "u-2"

        kube.meddle = replaced
        assert uncordon(kube) is False
        assert kube.stored["spec"]["unschedulable"] is True

    def test_later_cordon_of_operator_is_kept_despite_own_mark(self) -> None:
        kube = FakeKube()
        run(kube)
        entry = {"manager": "kubectl-cordon", "fieldsV1": {"f:spec": {"f:unschedulable": {}}}}
        kube.stored["metadata"]["managedFields"] = [entry]
        assert uncordon(kube, test=True) is False
        assert kube.writes == ["create"]
        assert uncordon(kube) is False
        assert kube.stored["spec"]["unschedulable"] is True
        assert manifest.CORDONED not in kube.stored["metadata"]["annotations"]

    def test_remains_of_cordon_that_operator_undid_are_removed(self) -> None:
        kube = FakeKube()
        run(kube)
        del kube.stored["spec"]["unschedulable"]
        assert uncordon(kube) is False
        assert manifest.CORDONED not in kube.stored["metadata"]["annotations"]
        assert manifest.EXCLUDE_DISRUPTION not in kube.stored["metadata"]["labels"]
        assert uncordon(kube) is False
        assert kube.writes == ["create", "metadata"]


ZONE, RACK = "topology.kubernetes.io/zone", "example.com/rack"
GPU = Taint("example.com/gpu", "NoExecute", "a100")


def free(labels: dict[str, str] | None = None, *taints: Taint) -> Node:
    """The node with these labels and taints, whose keys do not identify their owner."""
    return dataclasses.replace(NODE, labels=labels or {}, taints=(*NODE.taints, *taints))


def taints(kube: FakeKube) -> list[str]:
    return [taint["key"] for taint in kube.stored["spec"].get("taints") or ()]


class TestOwnership:
    """Labels and taints that the declaration drops are removed if a registration has set them."""

    def test_labels_and_taints_set_on_new_node_are_recorded(self) -> None:
        kube = FakeKube()
        node_registration.register(kube, free({ZONE: "a"}, GPU))
        assert kube.writes == ["record", "create", "record"]
        assert kube.lines is not None
        assert json.loads(kube.lines["w-1"]) == {
            "labels": [ZONE],
            "taints": ["example.com/gpu:NoExecute"],
            "uid": kube.stored["metadata"]["uid"],
        }
        changes = node_registration.register(kube, free())
        assert changes == [
            {"path": f"metadata.labels[{ZONE}]", "found": "a", "wanted": None},
            {"path": "spec.taints[example.com/gpu:NoExecute]", "found": "a100", "wanted": None},
        ]
        assert ZONE not in kube.stored["metadata"]["labels"]
        assert taints(kube) == ["node-role.kubernetes.io/infra"]
        assert kube.lines == {}
        assert node_registration.register(kube, free()) == []
        assert kube.writes == ["record", "create", "record", "taints", "metadata", "record"]

    def test_unchanged_node_causes_no_write(self) -> None:
        kube = FakeKube()
        node_registration.register(kube, free({ZONE: "a"}, GPU))
        kube.writes.clear()
        assert node_registration.register(kube, free({ZONE: "a"}, GPU)) == []
        assert kube.writes == []

    def test_node_without_unmarked_labels_needs_no_record(self) -> None:
        kube = FakeKube()
        run(kube)
        assert (kube.writes, kube.lines) == (["create"], None)

    def test_labels_that_predate_registration_stay(self) -> None:
        kube = FakeKube(stored())
        kube.stored["metadata"]["labels"] |= {ZONE: "a", RACK: "1"}
        kube.stored["spec"]["taints"].append(GPU.as_dict())
        declared = free({ZONE: "a", RACK: "2"}, GPU)
        assert [change["path"] for change in node_registration.register(kube, declared)] == [
            f"metadata.labels[{RACK}]"
        ]
        assert [change["path"] for change in node_registration.register(kube, free())] == [
            f"metadata.labels[{RACK}]"
        ]
        assert kube.stored["metadata"]["labels"][ZONE] == "a"
        assert "example.com/gpu" in taints(kube)

    def test_only_dropped_labels_are_removed(self) -> None:
        kube = FakeKube()
        node_registration.register(kube, free({ZONE: "a", RACK: "1"}, GPU))
        node_registration.register(kube, free({RACK: "2"}, GPU))
        assert kube.stored["metadata"]["labels"][RACK] == "2"
        node_registration.register(kube, free({}, GPU))
        assert {ZONE, RACK}.isdisjoint(kube.stored["metadata"]["labels"])
        assert "example.com/gpu" in taints(kube)
        assert kube.lines is not None
        assert json.loads(kube.lines["w-1"])["labels"] == []

    def test_test_mode_shows_changes_and_writes_nothing(self) -> None:
        kube = FakeKube()
        node_registration.register(kube, free({ZONE: "a"}))
        kube.writes.clear()
        assert node_registration.register(kube, free(), test=True) == [
            {"path": f"metadata.labels[{ZONE}]", "found": "a", "wanted": None}
        ]
        assert kube.writes == []

    def test_foreign_labels_of_recreated_node_stay_foreign(self) -> None:
        kube = FakeKube()
        node_registration.register(kube, free({ZONE: "a", RACK: "1"}))
        kube.stored = stored()
        kube.stored["metadata"]["uid"] = "u-2"
        kube.stored["metadata"]["labels"] |= {ZONE: "b"}
        assert node_registration.register(kube, free()) == []
        assert kube.stored["metadata"]["labels"][ZONE] == "b"
        assert kube.lines == {}

    def test_taint_that_kubelet_restored_is_still_owned(self) -> None:
        kube = FakeKube()
        node_registration.register(kube, free({}, GPU))
        kube.stored = stored(taints=[*(taint.as_dict() for taint in NODE.taints), GPU.as_dict()])
        kube.stored["metadata"]["uid"] = "u-2"
        assert node_registration.register(kube, free({}, GPU)) == []
        assert [change["path"] for change in node_registration.register(kube, free())] == [
            "spec.taints[example.com/gpu:NoExecute]"
        ]

    def test_label_that_other_client_replaced_is_not_owned(self) -> None:
        kube = FakeKube()
        node_registration.register(kube, free({ZONE: "a"}))
        del kube.stored["metadata"]["labels"][ZONE]
        node_registration.register(kube, free())
        assert kube.lines == {}
        kube.stored["metadata"]["labels"][ZONE] = "b"
        assert node_registration.register(kube, free()) == []

    @pytest.mark.parametrize("deaths", range(6))
    def test_record_is_complete_after_kill_at_any_write(self, deaths: int) -> None:
        """Kill the run before each write: record, create, record, then record and Node for one more
        label.
        """
        kube = FakeKube()
        left = [deaths]

        def die(self: FakeKube) -> None:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1

        kube.meddle = die
        for declared in (free({ZONE: "a"}), free({ZONE: "a", RACK: "1"})):
            try:
                node_registration.register(kube, declared)
            except KeyboardInterrupt:
                break
        kube.meddle = lambda kube: None
        node_registration.register(kube, free({ZONE: "a"}))
        node_registration.register(kube, free())
        assert {ZONE, RACK}.isdisjoint(kube.stored["metadata"]["labels"])
        assert kube.lines == {}

    def test_concurrent_creator_keeps_its_labels(self) -> None:
        kube = FakeKube()

        def overtake(self: FakeKube) -> None:
            if self.lines is not None:
                self.meddle = lambda kube: None
                self.stored = stored()
                self.stored["metadata"]["labels"][ZONE] = "a"

        kube.meddle = overtake
        assert node_registration.register(kube, free({ZONE: "a"})) == []
        assert node_registration.register(kube, free()) == []
        assert kube.stored["metadata"]["labels"][ZONE] == "a"
        assert kube.lines == {}

    def test_kubelet_cannot_claim_taint_for_registration(self) -> None:
        """A kubelet may write any annotation; only the record decides."""
        kube = FakeKube(stored(taints=[*(taint.as_dict() for taint in NODE.taints), GPU.as_dict()]))
        kube.stored["metadata"]["annotations"] |= {
            manifest.OWNED: "true",
            "metalk8s-expand.scality.com/taints": "example.com/gpu",
        }
        assert run(kube) == []
        assert "example.com/gpu" in taints(kube)

    def test_lines_of_other_nodes_are_no_conflict(self) -> None:
        kube = FakeKube()
        kube.lines = {"w-0": '{"labels":["a"]}'}

        def once(self: FakeKube) -> None:
            self.meddle = lambda kube: None
            assert self.lines is not None
            self.lines["w-2"] = '{"labels":["b"]}'

        kube.meddle = once
        node_registration.register(kube, free({ZONE: "a"}))
        assert sorted(kube.lines) == ["w-0", "w-1", "w-2"]
        assert kube.writes == ["record", "create", "record"]

    def test_line_that_other_run_wrote_meanwhile_is_read_again(self) -> None:
        kube = FakeKube(stored())

        def once(self: FakeKube) -> None:
            self.meddle = lambda kube: None
            self.lines = {"w-1": json.dumps({"labels": [RACK], "taints": [], "uid": "u-1"})}
            self.stored["metadata"]["labels"][RACK] = "1"

        kube.meddle = once
        node_registration.register(kube, free({ZONE: "a"}))
        assert kube.stored["metadata"]["labels"].get(RACK) is None
        assert kube.lines is not None
        assert json.loads(kube.lines["w-1"])["labels"] == [ZONE]

    def test_record_with_permanent_conflicts_gives_up(self) -> None:
        kube = FakeKube(stored())
        kube.lines = {}
        kube.meddle = _always
        with pytest.raises(ConflictError, match=f"{ownership.ATTEMPTS} attempts"):
            node_registration.register(kube, free({ZONE: "a"}))
        assert kube.writes == []

    def test_changes_are_reported_though_record_lags_behind(self) -> None:
        kube = FakeKube()

        def late(self: FakeKube) -> None:
            if "create" in self.writes and self.writes[-1] != "record":
                raise ConflictError("409")

        kube.meddle = late
        assert [
            change["path"] for change in node_registration.register(kube, free({ZONE: "a"}))
        ] == ["Node"]
        kube.meddle = lambda kube: None
        assert node_registration.register(kube, free({ZONE: "a"})) == []
        node_registration.register(kube, free())
        assert ZONE not in kube.stored["metadata"]["labels"]
        assert kube.lines == {}

    def test_damaged_line_is_reported_and_nothing_changed(self) -> None:
        kube = FakeKube(stored())
        kube.lines = {"w-1": "labels: zone"}
        with pytest.raises(SettingsError, match="kube-system/metalk8s-expand-owned") as error:
            node_registration.register(kube, free({ZONE: "a"}))
        assert error.value.node == "w-1"
        assert "kubectl -n kube-system edit configmap" in str(error.value.hint)
        assert kube.writes == []

    def test_full_record_is_reported_and_nothing_changed(self) -> None:
        kube = FakeKube()
        kube.lines = {
            f"n-{number}": json.dumps({"labels": ["x" * 200] * 5}) for number in range(1100)
        }
        with pytest.raises(SettingsError, match="the maximum is 1048576"):
            node_registration.register(kube, free({ZONE: "a"}))
        assert kube.writes == []


def many(count: int, **changes: Any) -> list[Node]:
    return [dataclasses.replace(NODE, name=f"n-{number}", **changes) for number in range(count)]


class TestAll:
    def test_new_unchanged_and_drifted_nodes_are_registered_together(self) -> None:
        nodes = many(3, labels={ZONE: "a"})
        kube = FakeKube()
        created = [{"path": "Node", "found": None, "wanted": "created and cordoned"}]
        assert node_registration.register_all(kube, nodes[:2]) == {"n-0": created, "n-1": created}
        assert (kube.lists, kube.reads, kube.writes) == (
            1,
            0,
            ["record", "create", "create", "record"],
        )
        kube.nodes_by_name["n-1"]["metadata"]["labels"][ZONE] = "b"
        kube.writes.clear()
        changed = {"path": f"metadata.labels[{ZONE}]", "found": "b", "wanted": "a"}
        assert node_registration.register_all(kube, nodes) == {
            "n-0": [],
            "n-1": [changed],
            "n-2": created,
        }
        assert sorted(kube.writes) == ["create", "metadata", "record", "record"]

    def test_unchanged_nodes_cause_no_write(self) -> None:
        nodes, kube = many(20, labels={ZONE: "a"}), FakeKube()
        node_registration.register_all(kube, nodes)
        kube.writes.clear()
        assert set(map(str, node_registration.register_all(kube, nodes).values())) == {"[]"}
        assert kube.writes == []

    def test_test_mode_shows_later_changes(self) -> None:
        nodes, kube = many(3, labels={ZONE: "a"}), FakeKube()
        planned = node_registration.register_all(kube, nodes, test=True)
        assert kube.writes == []
        assert planned == node_registration.register_all(kube, nodes)

    def test_given_observation_saves_the_list(self) -> None:
        nodes, kube = many(3), FakeKube()
        node_registration.register_all(kube, nodes, node_registration.observe(kube))
        assert (kube.lists, kube.reads) == (1, 0)

    def test_single_node_is_read_alone(self) -> None:
        kube = FakeKube()
        node_registration.register_all(kube, many(1))
        assert (kube.lists, kube.reads) == (0, 1)

    def test_node_that_changed_since_observation_is_read_again(self) -> None:
        nodes, kube = many(3), FakeKube()
        seen = node_registration.observe(kube)
        node_registration.register(kube, dataclasses.replace(nodes[1], version="0"))
        outcome = node_registration.register_all(kube, nodes, seen)
        assert [change["path"] for change in outcome["n-1"]] == [
            "metadata.labels[metalk8s.scality.com/version]"
        ]
        assert [change["path"] for change in outcome["n-2"]] == ["Node"]

    def test_error_of_single_node_does_not_affect_others(self) -> None:
        nodes, kube = many(3), FakeKube()
        create = kube.create_node

        def refuse(body: Any) -> Any:
            if body["metadata"]["name"] == "n-1":
                raise UnreachableError("admission webhook is away")
            return create(body)

        kube.create_node = refuse  # type: ignore[method-assign]
        outcome = node_registration.register_all(kube, nodes)
        assert isinstance(outcome["n-1"], UnreachableError)
        assert [change["path"] for change in (*outcome["n-0"], *outcome["n-2"])] == ["Node", "Node"]

    def test_labels_that_need_a_record_are_not_set_without_it(self) -> None:
        nodes, kube = [*many(1), *many(3, labels={ZONE: "a"})[1:]], FakeKube()

        def full(namespace: str, body: Any) -> Any:
            raise UnreachableError("etcd is full")

        kube.create_config_map = full  # type: ignore[method-assign]
        outcome = node_registration.register_all(kube, nodes)
        assert list(map(type, outcome.values())) == [list, UnreachableError, UnreachableError]
        assert sorted(kube.nodes_by_name) == ["n-0"]

    def test_roles_of_deployed_node_are_not_changed(self) -> None:
        kube = FakeKube(stored())
        kube.stored["status"] = {"nodeInfo": {"kubeletVersion": "v1.34.4"}}
        changed = dataclasses.replace(NODE, roles=(roles.NODE,), taints=())
        outcome = node_registration.register_all(kube, [changed])["w-1"]
        assert isinstance(outcome, ConflictError)
        for test in (True, False):
            with pytest.raises(ConflictError, match="roles of a deployed node cannot be changed"):
                node_registration.register(kube, changed, test)
        assert kube.writes == []

    def test_parallel_writes_do_not_exceed_connections(self) -> None:
        kube = FakeKube()
        running, most = set(), [0]
        create = kube.create_node

        def counted(body: Any) -> Any:
            running.add(body["metadata"]["name"])
            most[0] = max(most[0], len(running))
            time.sleep(0.001)
            running.discard(body["metadata"]["name"])
            return create(body)

        kube.create_node = counted  # type: ignore[method-assign]
        node_registration.register_all(kube, many(100), parallel=64)
        assert 2 <= most[0] <= 16
