"""The Node template, the smallest patch, and fields of other managers that stay unchanged."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from metalk8s_expand.domain.node import manifest, ssh_annotations
from metalk8s_expand.domain.node.manifest import Change, Owned
from metalk8s_expand.domain.node.roles import PROFILES
from metalk8s_expand.domain.node.spec import Node, Ssh, Taint

GOLDEN = Path(__file__).parent / "golden"
ROLE = "node-role.kubernetes.io/"


def node(profile: str = "infra", **changes: Any) -> Node:
    chosen = PROFILES[profile]
    fields = {
        "version": "2.0.0-dev",
        "roles": chosen.roles,
        "taints": chosen.taints,
        "ssh": Ssh("10.0.0.1"),
        **changes,
    }
    return Node(name="n-1", **fields)


def apply(
    observed: dict[str, Any], wanted: Node, owned: Owned = manifest.NOTHING
) -> dict[str, Any]:
    """Return the Node after an API server applied both patches."""
    result = copy.deepcopy(observed)
    for section, keys in (
        (manifest.merge_patch(wanted, observed, owned) or {}).get("metadata") or {}
    ).items():
        merged = {**(result["metadata"].get(section) or {}), **keys}
        result["metadata"][section] = {
            key: value for key, value in merged.items() if value is not None
        }
    for change in manifest.taints_patch(wanted, observed, owned) or ():
        if change["op"] == "test":
            assert change["value"] == observed["spec"].get("taints")
        elif change["op"] == "remove":
            del result["spec"]["taints"]
        else:
            result["spec"]["taints"] = change["value"]
    return result


@pytest.mark.parametrize("profile", PROFILES)
def test_manifest_matches_golden_file(profile: str) -> None:
    found = yaml.safe_dump(manifest.manifest(node(profile)), sort_keys=False)
    path = GOLDEN / f"{profile}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


def test_registration_is_cordoned_and_marked_in_one_request() -> None:
    body = manifest.registration(node())
    assert body["spec"]["unschedulable"] is True
    assert body["spec"]["taints"] == [{"key": f"{ROLE}infra", "effect": "NoSchedule"}]
    assert body["metadata"]["annotations"][manifest.OWNED] == "true"
    assert body["metadata"]["annotations"][manifest.CORDONED] == "true"
    assert body["metadata"]["labels"]["node.kubernetes.io/exclude-disruption"] == ""
    assert manifest.is_cordoned_by_us(body)
    assert manifest.is_created_by_us(body)
    json.dumps(body)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("body", [manifest.manifest, manifest.registration])
def test_written_manifest_has_no_drift(profile: str, body: Any) -> None:
    wanted = node(profile, labels={"example.com/a": "b"})
    observed = body(wanted)
    assert manifest.drift(wanted, observed) == ()
    assert manifest.merge_patch(wanted, observed) is None
    assert manifest.taints_patch(wanted, observed) is None


def test_foreign_labels_and_taints_are_not_changed() -> None:
    wanted = node()
    observed = manifest.manifest(wanted)
    observed["metadata"]["labels"] |= {
        "kubernetes.io/hostname": "n-1",
        f"{ROLE}gpu": "",
        "team": "x",
    }
    observed["metadata"]["annotations"] |= {"node.alpha.kubernetes.io/ttl": "0"}
    foreign = [
        {
            "key": "node.kubernetes.io/not-ready",
            "effect": "NoExecute",
            "timeAdded": "2024-01-01T00:00:00Z",
        },
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
        {"key": f"{ROLE}gpu", "effect": "NoSchedule"},
        {"key": f"{ROLE}etcd", "effect": "NoExecute"},
        {"key": "team", "effect": "NoSchedule"},
    ]
    observed["spec"]["taints"] = foreign + observed["spec"]["taints"]
    assert manifest.drift(wanted, observed) == ()
    observed["spec"]["taints"].append({"key": f"{ROLE}master", "effect": "NoSchedule"})
    assert apply(observed, wanted)["spec"]["taints"] == [
        *foreign,
        {"key": f"{ROLE}infra", "effect": "NoSchedule"},
    ]


def test_owned_fields_are_added_and_removed() -> None:
    old = node("control-plane", ssh=Ssh("10.0.0.9", port=2222, user="me"), version="1")
    new = node("infra")
    changes = {
        change.path: (change.found, change.wanted)
        for change in manifest.drift(new, manifest.manifest(old))
    }
    assert changes == {
        "metadata.annotations[metalk8s.scality.com/ssh-host]": ("10.0.0.9", "10.0.0.1"),
        "metadata.annotations[metalk8s.scality.com/ssh-port]": ("2222", None),
        "metadata.annotations[metalk8s.scality.com/ssh-user]": ("me", None),
        "metadata.labels[metalk8s.scality.com/version]": ("1", "2.0.0-dev"),
        f"metadata.labels[{ROLE}infra]": (None, ""),
        f"metadata.labels[{ROLE}master]": ("", None),
        f"metadata.labels[{ROLE}etcd]": ("", None),
        f"spec.taints[{ROLE}master:NoSchedule]": ("", None),
        f"spec.taints[{ROLE}etcd:NoSchedule]": ("", None),
        f"spec.taints[{ROLE}infra:NoSchedule]": (None, ""),
    }


@pytest.mark.parametrize("old", PROFILES)
@pytest.mark.parametrize("new", PROFILES)
def test_patches_converge(old: str, new: str) -> None:
    wanted = node(new)
    assert (
        manifest.drift(
            wanted,
            apply(
                manifest.manifest(node(old))
                | {"spec": manifest.manifest(node(old)).get("spec", {})},
                wanted,
            ),
        )
        == ()
    )


def test_taint_patch_tests_that_no_taints_exist() -> None:
    observed = {"metadata": {"name": "n-1"}, "spec": {}}
    assert manifest.taints_patch(node(), observed) == [
        {"op": "test", "path": "/spec/taints", "value": None},
        {
            "op": "add",
            "path": "/spec/taints",
            "value": [{"key": f"{ROLE}infra", "effect": "NoSchedule"}],
        },
    ]


def test_last_taint_is_removed_with_its_list() -> None:
    observed = manifest.manifest(node("infra"))
    assert [change["op"] for change in manifest.taints_patch(node("worker"), observed) or ()] == [
        "test",
        "remove",
    ]


def test_declared_taint_with_different_value_is_replaced() -> None:
    wanted = node("worker", taints=(Taint("k", "NoExecute", "new"),))
    observed = {
        "metadata": {},
        "spec": {"taints": [{"key": "k", "effect": "NoExecute", "value": "old"}]},
    }
    assert manifest.drift(wanted, observed)[-1] == Change("spec.taints[k:NoExecute]", "old", "new")
    assert apply(observed, wanted)["spec"]["taints"] == [
        {"key": "k", "value": "new", "effect": "NoExecute"}
    ]


def test_default_that_another_client_states_or_leaves_out_is_no_drift() -> None:
    found = manifest.manifest(node())
    annotations = found["metadata"]["annotations"]
    annotations |= {ssh_annotations.PORT: "22", ssh_annotations.USER: "root"}
    del annotations[ssh_annotations.SUDO]
    assert manifest.drift(node(), found) == ()
    assert manifest.merge_patch(node(), found) is None
    annotations[ssh_annotations.PORT] = "2222"
    assert [change.wanted for change in manifest.drift(node(), found)] == [None]


@pytest.mark.parametrize(
    "observed",
    [{}, {"metadata": None, "spec": None}, {"metadata": {"annotations": None, "labels": None}}],
)
def test_empty_node_is_drift(observed: dict[str, Any]) -> None:
    assert len(manifest.drift(node(), observed)) == 6
    assert manifest.merge_patch(node(), observed) is not None


GPU = {"key": "example.com/gpu", "effect": "NoExecute", "value": "a100"}
KEPT = {"key": "example.com/gpu", "effect": "NoSchedule"}


def with_free(uid: str = "u-1") -> dict[str, Any]:
    """Return a Node with two labels and two taints that are not ours by their keys."""
    observed = manifest.manifest(node())
    observed["metadata"]["uid"] = uid
    observed["metadata"]["labels"] |= {"example.com/a": "1", "example.com/b": "2"}
    observed["spec"]["taints"] += [GPU, KEPT]
    return observed


OURS = Owned(
    frozenset({"example.com/a", "example.com/gone"}),
    frozenset({("example.com/gpu", "NoExecute")}),
    "u-1",
)


def test_undeclared_label_set_by_registration_is_removed() -> None:
    observed = with_free()
    assert [
        (change.path, change.found, change.wanted)
        for change in manifest.drift(node(), observed, OURS)
    ] == [
        ("metadata.labels[example.com/a]", "1", None),
        ("spec.taints[example.com/gpu:NoExecute]", "a100", None),
    ]
    changed = apply(observed, node(), OURS)
    assert changed["metadata"]["labels"] == manifest.manifest(node())["metadata"]["labels"] | {
        "example.com/b": "2"
    }
    assert changed["spec"]["taints"] == [KEPT, {"key": f"{ROLE}infra", "effect": "NoSchedule"}]
    assert manifest.drift(node(), changed, OURS) == ()


def test_declared_labels_and_taints_are_kept() -> None:
    wanted = node(
        labels={"example.com/a": "1"},
        taints=(*node().taints, Taint("example.com/gpu", "NoExecute", "a100")),
    )
    assert manifest.drift(wanted, with_free(), OURS) == ()


@pytest.mark.parametrize("owned", [manifest.NOTHING, OURS, Owned(OURS.labels, OURS.taints, "")])
def test_different_node_of_same_name_is_not_changed(owned: Owned) -> None:
    observed = with_free("u-2")
    assert manifest.drift(node(), observed, owned) == ()
    assert manifest.merge_patch(node(), observed, owned) is None
    assert manifest.taints_patch(node(), observed, owned) is None


def test_record_without_uid_applies_to_node_created_by_us() -> None:
    observed = with_free("u-2")
    observed["metadata"]["annotations"][manifest.OWNED] = "true"
    assert len(manifest.drift(node(), observed, Owned(OURS.labels, OURS.taints))) == 2


MARK = {manifest.CORDONED: "true"}


def set_by(*managers: str) -> list[dict[str, Any]]:
    fields = {"f:spec": {"f:unschedulable": {}}}
    return [
        {"manager": "kubelet", "fieldsV1": {"f:status": {}}},
        *({"manager": name, "fieldsV1": fields} for name in managers),
    ]


@pytest.mark.parametrize(
    ("unschedulable", "mark", "managers", "ours"),
    [
        (True, MARK, None, True),
        (True, MARK, set_by(), True),
        (True, MARK, set_by(manifest.FIELD_MANAGER), True),
        (True, MARK, set_by("kubectl-cordon"), False),
        (True, MARK, set_by("ancient-changes"), False),
        (True, MARK, set_by(manifest.FIELD_MANAGER, "kubectl-cordon"), False),
        (True, None, set_by(manifest.FIELD_MANAGER), False),
        (True, None, None, False),
        (None, MARK, None, False),
    ],
)
def test_cordon_by_operator_is_not_ours(
    unschedulable: Any, mark: Any, managers: Any, ours: bool
) -> None:
    observed = {
        "metadata": {"annotations": mark, "managedFields": managers},
        "spec": {"unschedulable": unschedulable},
    }
    assert manifest.is_cordoned_by_us(observed) is ours
    assert manifest.is_marked(observed) is bool(mark)
    assert bool(manifest.foreign_cordon(observed)) is (bool(unschedulable) and not ours)


def test_foreign_cordon_names_managers() -> None:
    managers = set_by(manifest.FIELD_MANAGER, "OpenAPI-Generator", "kubectl-cordon")
    observed = {"metadata": {"managedFields": managers}, "spec": {"unschedulable": True}}
    assert manifest.foreign_cordon(observed) == "OpenAPI-Generator, kubectl-cordon"
    assert manifest.foreign_cordon({"spec": {"unschedulable": True}}) == "another client"


def test_cordon_is_seen_in_any_entry_of_its_manager() -> None:
    managers = [
        *set_by("kubectl-cordon"),
        {"manager": "kubectl-cordon", "fieldsV1": {"f:status": {}}},
    ]
    observed = {
        "metadata": {"annotations": MARK, "managedFields": managers},
        "spec": {"unschedulable": True},
    }
    assert manifest.foreign_cordon(observed) == "kubectl-cordon"
    assert not manifest.is_cordoned_by_us(observed)


@pytest.mark.parametrize(
    ("ssh", "optional"),
    [
        (Ssh("10.0.0.1"), set()),
        (Ssh("10.0.0.1", port=2222), {"ssh-port"}),
        (Ssh("10.0.0.1", user="centos", sudo=True), {"ssh-user"}),
        (Ssh("10.0.0.1", host_key="ssh-ed25519 AAAA"), {"ssh-host-key"}),
    ],
)
def test_optional_annotations_are_written_only_if_not_default(ssh: Ssh, optional: set[str]) -> None:
    written = {
        key.rpartition("/")[2]
        for key in manifest.manifest(node(ssh=ssh))["metadata"]["annotations"]
    }
    assert written == {"ssh-key-path", "ssh-host", "ssh-sudo"} | optional
