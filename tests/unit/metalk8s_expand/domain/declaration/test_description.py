"""The description of existing Nodes is parsed again, and its plan has nothing to do."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import salt.utils.yaml
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from metalk8s_expand.domain.declaration import description, selection, settings
from metalk8s_expand.domain.declaration.description import Description, describe
from metalk8s_expand.domain.declaration.node_entry import Terms
from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.domain.expansion.plan import Condition
from metalk8s_expand.domain.node import manifest, roles
from metalk8s_expand.domain.node.manifest import Owned
from metalk8s_expand.domain.node.roles import PROFILES, Profile, Taint
from metalk8s_expand.errors import SettingsError
from tests.fakes.nodes import READY

ROOT = Path(__file__).resolve().parents[5]
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((ROOT / "pillar/metalk8s_expand.schema.json").read_text(encoding="utf-8"))
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPJ0dRLQyBC2Jp2OJ6gSZOOwRZqdW9UzoTzjfjJUk0hH"
S = "metalk8s.scality.com/ssh-"
OWN = {
    "monitoring": Profile(
        "monitoring",
        (roles.INFRA,),
        (*roles.taints((roles.INFRA,)), Taint("example.com/only", "NoExecute", "yes")),
        {"example.com/monitoring": "true"},
    ),
    "labelled": Profile("labelled", (roles.NODE,), (), {"example.com/disk": "ssd"}),
}
TERMS = Terms(profiles={**PROFILES, **OWN})


def node(
    name: str = "w-1",
    node_roles: tuple[str, ...] = (roles.NODE,),
    number: int = 1,
    deployed: bool = True,
    **annotations: str,
) -> dict[str, Any]:
    """Return a Node as MetalK8s's UI registers it, which writes every SSH annotation."""
    ssh = {
        "host": f"10.0.0.{number}", "port": "22", "user": "root", "sudo": "false",
        "key-path": "/etc/metalk8s/pki/salt-bootstrap", **annotations,
    }  # fmt: skip
    labels = {"metalk8s.scality.com/version": "134.0.0", "kubernetes.io/hostname": name}
    labels |= dict.fromkeys(roles.label_keys(node_roles), "")
    status = {
        **READY,
        "nodeInfo": {"kubeletVersion": "v1"},
        "addresses": [{"type": "InternalIP", "address": f"10.0.0.{number}"}],
    }
    return {
        "metadata": {
            "name": name,
            "uid": f"u-{name}",
            "labels": labels,
            "annotations": {f"{S}{key}": value for key, value in ssh.items()},
        },
        "spec": {},
        "status": status if deployed else {},
    }


def described(*nodes: dict[str, Any], version: str = "", **owned: Owned) -> Description:
    by_name = {item["metadata"]["name"]: item for item in nodes}
    return describe(by_name, owned, TERMS, version)


def reason(node_obj: dict[str, Any]) -> str:
    [text] = described(node_obj).undescribed.values()
    return text


def entry(node_obj: dict[str, Any], **owned: Owned) -> dict[str, Any]:
    found = described(node_obj, **owned)
    assert found.undescribed == {}
    return dict(found.pillar["nodes"][node_obj["metadata"]["name"]])


def planned(
    found: Description, nodes: list[dict[str, Any]], owned: dict[str, Owned], version: str
) -> plan.Plan:
    """Return the plan of the printed text, read as Salt reads a pillar file."""
    SCHEMA.validate(found.pillar)
    text = yaml.safe_dump({"metalk8s_expand": found.pillar}, sort_keys=False)
    read = salt.utils.yaml.safe_load(text)
    declared = settings.parse(read["metalk8s_expand"])
    complete = {
        name: item if item.version else dataclasses.replace(item, version=version)
        for name, item in declared.nodes.items()
    }
    by_name = {item["metadata"]["name"]: item for item in nodes}
    conditions = {name: Condition() for name in by_name}
    return plan.build_plan(
        dataclasses.replace(declared, nodes=complete), by_name, None, conditions, owned
    )


WORDS = st.sampled_from(["true", "no", "010", "1.10", "1_0", "1e3", "2026-01-31", "ssd", ""])
NAMES = st.sampled_from(["w-1", "1e3", "010", "no", "on", "2026-01-31", "cp-1.example.com", "22"])
LABELS = st.dictionaries(
    st.sampled_from(["example.com/disk", "example.com/monitoring", "topology.kubernetes.io/zone",
                     "no", "010", "node.kubernetes.io/instance-type", "beta.kubernetes.io/os"]),
    WORDS, max_size=4,
)  # fmt: skip
TAINTS = st.lists(
    st.builds(
        lambda key, effect, value: {"key": key, "effect": effect, **({"value": value} if value else {})},
        st.sampled_from([*roles.label_keys(roles.DECLARABLE), "example.com/only", "010",
                         "node.kubernetes.io/unreachable"]),
        st.sampled_from(roles.EFFECTS), WORDS,
    ),
    max_size=3, unique_by=lambda taint: (taint["key"], taint["effect"]),
)  # fmt: skip
ROLES = st.sampled_from(
    [profile.roles for profile in PROFILES.values()] + [("etcd",), ("etcd", "infra"), ("infra", "node")]
)  # fmt: skip
SSH = st.fixed_dictionaries(
    {},
    optional={
        "port": st.sampled_from(["22", "022", "2222", "18"]),
        "user": st.sampled_from(["root", "ops"]),
        "sudo": st.sampled_from(["true", "false", "yes", "no"]),
        "host": st.sampled_from(["host.example.com", "fd00:0::1"]),
        "key-path": st.just("/etc/metalk8s/pki/other"),
        "host-key": st.just(KEY),
    },
)


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, Owned]]:
    """Return Nodes that a declaration can describe, and what registrations set on them."""
    nodes, owned = [], {}
    for number, name in enumerate(draw(st.lists(NAMES, unique=True, max_size=4)), 1):
        made = node(name, draw(ROLES), number, draw(st.booleans()), host=f"10.0.0.{number}")
        metadata = made["metadata"]
        for key, value in draw(SSH).items():
            # The SSH host of each node is its own, and is its address before its deployment.
            text = f"{name}.{value}" if value == "host.example.com" else value
            if key != "host" or (made["status"] and (text != value or number == 1)):
                metadata["annotations"][f"{S}{key}"] = text
        for key in draw(st.sets(st.sampled_from(["port", "user", "sudo"]))):
            metadata["annotations"].pop(f"{S}{key}", None)
        version = draw(st.sampled_from(["134.0.0", "1.10", "2", "134.0.0-dev"]))
        metadata["labels"] = {**draw(LABELS), **metadata["labels"], manifest.VERSION_LABEL: version}
        made["spec"]["taints"] = draw(TAINTS)
        if draw(st.booleans()):
            identities = [(taint["key"], taint["effect"]) for taint in made["spec"]["taints"]]
            kept = [one for one in identities if not one[0].startswith("node.kubernetes.io/")]
            labels = set(draw(st.lists(st.sampled_from(["example.com/disk", "no", "gone"]))))
            owned[name] = Owned(frozenset(labels), frozenset(kept), metadata["uid"])
        nodes.append(made)
    return nodes, owned


@hypothesis_settings(max_examples=150, deadline=None)
@given(clusters(), st.sampled_from(["", "134.0.0"]))
def test_plan_of_described_nodes_has_no_difference(
    cluster: tuple[list[dict[str, Any]], dict[str, Owned]], version: str
) -> None:
    nodes, owned = cluster
    before = copy.deepcopy(nodes)
    found = described(*nodes, version=version, **owned)
    assert (found.undescribed, nodes) == ({}, before)
    made = planned(found, nodes, owned, version)
    deployed = [item["metadata"]["name"] for item in nodes if item["status"]]
    assert list(made.unchanged) == [name for name in found.pillar["nodes"] if name in deployed]
    for item in made.nodes:
        assert (item.changes, item.refused) == ((), None)
        assert [step.name for step in item.steps] == ["check_ssh", "preflight", "deploy", "verify"]


@pytest.mark.parametrize("profile", TERMS.profiles.values(), ids=TERMS.profiles)
def test_profile_is_found_again(profile: Profile) -> None:
    made = node(node_roles=profile.roles)
    made["metadata"]["labels"] |= profile.labels
    made["spec"]["taints"] = [taint.as_dict() for taint in profile.taints]
    assert entry(made) == {"profile": profile.name, "address": "10.0.0.1"}
    assert ("profiles" in described(made).pillar) == (profile.name in OWN)


def test_values_of_most_nodes_are_defaults() -> None:
    ops = [node(f"w-{n}", number=n, user="ops", sudo="true", port="2222") for n in (1, 2)]
    found = described(*ops, node("w-3", number=3, host="w3.example.com"))
    ssh = {"port": 2222, "user": "ops", "sudo": True}
    assert found.pillar["defaults"] == {"version": "134.0.0", "ssh": ssh}
    assert found.pillar["nodes"] == {
        "w-1": {"profile": "worker", "address": "10.0.0.1"},
        "w-2": {"profile": "worker", "address": "10.0.0.2"},
        "w-3": {"profile": "worker", "address": "10.0.0.3",
                "ssh": {"host": "w3.example.com", "port": 22, "user": "root", "sudo": False}},
    }  # fmt: skip


def test_version_of_cluster_is_not_stated() -> None:
    """After an upgrade of the cluster, a stated version would be the old one."""
    behind = node("w-2", number=2)
    behind["metadata"]["labels"][manifest.VERSION_LABEL] = "133.0.0"
    found = described(node(), behind, version="134.0.0")
    assert "defaults" not in found.pillar
    assert [item.get("version") for item in found.pillar["nodes"].values()] == [None, "133.0.0"]


def test_key_directory_of_pillar_is_stated() -> None:
    made = node(**{"key-path": "/srv/keys/salt-bootstrap"})
    assert "outside the key directory" in reason(made)
    found = describe({"w-1": made}, {}, Terms(key_directory="/srv/keys"))
    assert found.pillar["key_directory"] == "/srv/keys"
    assert found.undescribed == {}


def test_labels_of_kubelet_are_left_to_it_unless_registration_set_them() -> None:
    made = node()
    made["metadata"]["labels"]["node.kubernetes.io/instance-type"] = "big"
    assert "labels" not in entry(made)
    ours = {"w-1": Owned(frozenset({"node.kubernetes.io/instance-type"}), frozenset(), "u-w-1")}
    assert entry(made, **ours)["labels"] == {"node.kubernetes.io/instance-type": "big"}


def test_label_that_no_declaration_can_state_is_named_and_stays() -> None:
    made = node()
    made["metadata"]["labels"]["node-role.kubernetes.io/gpu"] = ""
    made["spec"]["taints"] = [{"key": "node-role.kubernetes.io/bootstrap", "effect": "NoExecute"}]
    found = described(made)
    assert found.left_out == {
        "w-1": ("label node-role.kubernetes.io/gpu", "taint node-role.kubernetes.io/bootstrap:NoExecute")
    }  # fmt: skip
    assert planned(found, [made], {}, "").unchanged == ("w-1",)


def changed(**parts: Any) -> dict[str, Any]:
    made = node()
    for path, value in parts.items():
        section, _, key = path.partition("__")
        place = made["metadata"][section] if section in made["metadata"] else made[section]
        key = {"version": manifest.VERSION_LABEL, "host": f"{S}host"}.get(key, key)
        if value is None:
            del place[key]
        else:
            place[key] = value
    return made


@pytest.mark.parametrize(
    ("unfit", "words"),
    [
        (node("boot", ("bootstrap", "master", "etcd")), "it is the bootstrap node"),
        (node(node_roles=()), "it has no role"),
        (node(node_roles=("master",)), "without etcd"),
        (changed(labels__version=None), "kubectl label node w-1 metalk8s.scality.com/version="),
        (changed(annotations__host=None), "kubectl annotate node w-1"),
        (node(port="zero"), "is not a port"),
        (node(deployed=False, host="w1.example.com"), "no kubelet has reported one"),
        (changed(status__addresses=[{"type": "InternalIP", "address": "127.0.0.1"}]), "127.0.0.1 is not an address"),
        (changed(spec__taints=[{"key": "node-role.kubernetes.io/bootstrap", "effect": "NoSchedule"}]),
         "spec.taints[node-role.kubernetes.io/bootstrap:NoSchedule] is '' and would be None"),
        (changed(**{"annotations__metalk8s.scality.com/ssh-key-path": None}), "a registration would change it"),
        (node("localhost"), "is a reserved name"),
    ],
)  # fmt: skip
def test_node_that_cannot_be_described_is_named_with_reason(
    unfit: dict[str, Any], words: str
) -> None:
    found = described(unfit, node("w-9", number=9))
    assert words in found.undescribed[unfit["metadata"]["name"]]
    assert list(found.pillar["nodes"]) == ["w-9"]


def test_second_node_with_same_address_is_not_described() -> None:
    found = described(node(), node("w-2"))
    assert list(found.pillar["nodes"]) == ["w-1"]
    assert "w-1 already uses it" in found.undescribed["w-2"]


def test_cluster_without_nodes_has_empty_declaration() -> None:
    assert described().pillar == {"nodes": {}}


@pytest.mark.parametrize(
    ("nodes", "wanted"), [(None, ["a-1", "a-2", "b-1"]), ("a-*", ["a-1", "a-2"]), ("b-1,a-1", ["a-1", "b-1"])]
)  # fmt: skip
def test_names_and_globs_choose_nodes(nodes: Any, wanted: list[str]) -> None:
    assert description.chosen(selection.parse(nodes), ["a-1", "a-2", "b-1"]) == wanted


@pytest.mark.parametrize(
    ("nodes", "words"), [("a-3", "did you mean"), ("c-*", "the Nodes are: a-1")]
)
def test_names_of_no_node_are_refused(nodes: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        description.chosen(selection.parse(nodes), ["a-1"])
    [problem] = caught.value.problems
    assert words in str(problem)
