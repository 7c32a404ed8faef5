"""Parsing of the whole declaration: its values, each mistake with its path, no tracebacks."""

from __future__ import annotations

import copy
import json
import math
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from metalk8s_expand.domain.configuration import VERSION, ClusterConfiguration, Value
from metalk8s_expand.domain.declaration import cluster_defaults, settings
from metalk8s_expand.domain.node.roles import PROFILES, taints
from metalk8s_expand.domain.node.spec import Node, Ssh, Taint
from metalk8s_expand.errors import SettingsError
from metalk8s_expand.expansion import smoke_test

ROOT = Path(__file__).resolve().parents[5]
EXAMPLE = yaml.safe_load((ROOT / "pillar/metalk8s_expand.sls").read_text(encoding="utf-8"))[
    "metalk8s_expand"
]
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((ROOT / "pillar/metalk8s_expand.schema.json").read_text(encoding="utf-8"))
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPJ0dRLQyBC2Jp2OJ6gSZOOwRZqdW9UzoTzjfjJUk0hH"


def pillar(node: Any = None, **top: Any) -> dict[str, Any]:
    declared = {"w-1": {"profile": "worker", "address": "10.0.0.1", **(node or {})}}
    return {"defaults": {"version": "2.0.0-dev"}, "nodes": declared, **top}


def problems(value: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings.parse(value)
    assert all(problem.message and problem.remedy for problem in caught.value.problems)  # type: ignore[union-attr]
    json.dumps(caught.value.as_dict())
    return [problem.path for problem in caught.value.problems]  # type: ignore[union-attr]


def test_example_matches_architecture_in_metalk8s_docs() -> None:
    found = settings.parse(EXAMPLE)
    assert {name: (node.roles, node.address) for name, node in found.nodes.items()} == {
        "cp-1": (("master", "etcd"), "10.200.0.11"),
        "cp-2": (("master", "etcd"), "10.200.0.12"),
        "infra-1": (("infra",), "10.200.0.13"),
        "worker-1": (("node",), "10.200.0.14"),
    }
    assert settings.even_members_warning(1, found) is None
    SCHEMA.validate(EXAMPLE)


def test_example_contains_default_values() -> None:
    plain = settings.Settings()
    found = settings.parse(EXAMPLE)
    for name in (
        "max_parallel",
        "deploy_timeout",
        "ssh_timeout",
        "ssh_parallel",
        "host_keys",
        "key_directory",
        "skip",
        "node_skip",
        "etcd_snapshot",
        "certificates",
    ):
        assert getattr(found, name) == getattr(plain, name), name


def test_defaults_of_schema_and_example_are_those_of_the_code() -> None:
    code = settings.parse({"nodes": {}})
    stated = SCHEMA.schema["properties"]
    for key in ("max_parallel", "deploy_timeout", "ssh_timeout", "ssh_parallel", "host_keys"):
        assert stated[key]["default"] == getattr(code, key)
    for key, entry in stated["etcd_snapshot"]["properties"].items():
        assert entry.get("default") == getattr(code.etcd_snapshot, key)
    certificates = stated["certificates"]["properties"]
    assert certificates["error_days"]["default"] == code.certificates.error
    assert certificates["warning_days"]["default"] == code.certificates.warning
    assert stated["probe_image"]["default"] == smoke_test.DEFAULT_IMAGE
    assert EXAMPLE["probe_image"] == smoke_test.DEFAULT_IMAGE


def test_example_contains_every_key_of_schema() -> None:
    def keys(schema: dict[str, Any]) -> set[str]:
        found = set(schema.get("properties", {}))
        for part in schema.values():
            for inner in part if isinstance(part, list) else [part]:
                found |= keys(inner) if isinstance(inner, dict) else set()
        return found

    text = (ROOT / "pillar/metalk8s_expand.sls").read_text(encoding="utf-8")
    assert [key for key in keys(SCHEMA.schema) if f"{key}:" not in text] == []


def test_node_without_own_values_takes_defaults() -> None:
    ssh = {"port": 2222, "user": "me", "sudo": "yes", "key_path": "/keys/k"}
    found = settings.parse(
        {
            "key_directory": "/keys",
            "defaults": {"version": "1.0", "profile": "infra", "ssh": ssh},
            "nodes": {"i-1": {"address": "10.0.0.1", "labels": {"a": "b"}}},
        }
    )
    assert found.nodes["i-1"] == Node(
        "i-1",
        "1.0",
        ("infra",),
        taints(["infra"]),
        {"a": "b"},
        Ssh("10.0.0.1", 2222, "me", "/keys/k", True),
        "10.0.0.1",
        "infra",
    )


def test_node_overrides_defaults() -> None:
    ssh = {
        "host": "h.example.com",
        "port": 23,
        "user": "u",
        "sudo": True,
        "host_key": f"{KEY} comment",
    }
    node = settings.parse(pillar({"ssh": ssh, "version": "3"})).nodes["w-1"]
    assert node.ssh == Ssh("h.example.com", 23, "u", "/etc/metalk8s/pki/salt-bootstrap", True, KEY)
    assert node.version == "3"


@pytest.mark.parametrize("profile", PROFILES)
def test_profile_sets_roles_and_taints(profile: str) -> None:
    node = settings.parse(pillar({"profile": profile})).nodes["w-1"]
    assert (node.roles, node.taints, node.profile) == (
        PROFILES[profile].roles,
        PROFILES[profile].taints,
        profile,
    )


def test_node_takes_own_profile_or_explicit_roles() -> None:
    own = {
        "gpu": {
            "roles": ["node"],
            "taints": ["node", {"key": "gpu", "effect": "NoExecute", "value": "x"}],
            "labels": {"a": "1", "b": "1"},
        }
    }
    node = settings.parse(pillar({"profile": "gpu", "labels": {"b": "2"}}, profiles=own)).nodes[
        "w-1"
    ]
    assert node.taints == (*taints(["node"]), Taint("gpu", "NoExecute", "x"))
    assert node.labels == {"a": "1", "b": "2"}
    explicit = {
        "nodes": {
            "e-1": {"roles": ["etcd"], "taints": ["etcd"], "address": "10.0.0.1", "version": "1"}
        }
    }
    assert settings.parse(explicit).nodes["e-1"].profile is None


def test_skipped_checks_of_cluster_and_node_are_merged() -> None:
    found = settings.parse(pillar({"preflight": {"skip": ["disk"]}}, preflight={"skip": ["clock"]}))
    assert found.skipped("w-1") == {"clock", "disk"}
    assert found.skipped("other") == {"clock"}


N = "metalk8s_expand:nodes:w-1"
MISTAKES: dict[str, tuple[Any, list[str]]] = {
    "absent": (None, ["metalk8s_expand"]),
    "a list": ([], ["metalk8s_expand"]),
    "unknown key": (pillar(defualts={}), ["metalk8s_expand:defualts"]),
    "numeric key": ({**pillar(), 3: 4}, ["metalk8s_expand:3"]),
    "node unknown key": (pillar({"adress": "x"}), [f"{N}:adress"]),
    "node null": ({"nodes": {"w-1": None}, "defaults": {"version": "1", "profile": "worker"}}, [N, f"{N}:address"]),
    "bad name": (pillar() | {"nodes": {"W_1": {}}}, ["metalk8s_expand:nodes:W_1"]),
    "a name of the API": (pillar() | {"nodes": {"kubernetes.lan": {}}}, ["metalk8s_expand:nodes:kubernetes.lan"]),
    "no profile": ({"nodes": {"w-1": {"address": "10.0.0.1", "version": "1"}}}, [f"{N}:profile"]),
    "no address": ({"nodes": {"w-1": {"version": "1", "profile": "worker"}}}, [f"{N}:address"]),
    "unknown profile": (pillar({"profile": "workr"}), [f"{N}:profile"]),
    "bootstrap profile": (pillar({"profile": "bootstrap"}), [f"{N}:profile"]),
    "default bootstrap": (pillar(defaults={"version": "1", "profile": "bootstrap"}), ["metalk8s_expand:defaults:profile"]),
    "bootstrap role": ({"nodes": {"w-1": {"roles": ["bootstrap"], "address": "10.0.0.1", "version": "1"}}}, [f"{N}:roles:0"]),
    "unknown role": ({"nodes": {"w-1": {"roles": ["nod"], "address": "10.0.0.1", "version": "1"}}}, [f"{N}:roles:0"]),
    "no roles": ({"nodes": {"w-1": {"roles": [], "address": "10.0.0.1", "version": "1"}}}, [f"{N}:roles"]),
    "master without etcd": ({"nodes": {"w-1": {"roles": ["master"], "address": "10.0.0.1", "version": "1"}}}, [f"{N}:roles"]),
    "taints alone": ({"nodes": {"w-1": {"taints": ["infra"], "address": "10.0.0.1", "version": "1"}}}, [f"{N}:roles"]),
    "profile and roles": (pillar({"roles": ["node"]}), [f"{N}:profile"]),
    "port": (pillar({"ssh": {"port": 0}}), [f"{N}:ssh:port"]),
    "port text": (pillar({"ssh": {"port": "22"}}), [f"{N}:ssh:port"]),
    "sudo": (pillar({"ssh": {"sudo": "maybe"}}), [f"{N}:ssh:sudo"]),
    "key elsewhere": (pillar({"ssh": {"key_path": "/root/.ssh/id_rsa"}}), [f"{N}:ssh:key_path"]),
    "default host": (pillar(defaults={"version": "1", "ssh": {"host": "x"}}), ["metalk8s_expand:defaults:ssh:host"]),
    "ssh null": (pillar({"ssh": None}), [f"{N}:ssh"]),
    "label value": (pillar({"labels": {"a": True}}), [f"{N}:labels:a"]),
    "label key": (pillar({"labels": {"a b": "x"}}), [f"{N}:labels:a b"]),
    "role label": (pillar({"labels": {"node-role.kubernetes.io/etcd": ""}}), [f"{N}:labels:node-role.kubernetes.io/etcd"]),
    "version label": (pillar({"labels": {"metalk8s.scality.com/version": "1"}}), [f"{N}:labels:metalk8s.scality.com/version"]),
    "pod network": (pillar(networks={"pod_cidr": "10.0.0.0/24"}), [f"{N}:address"]),
    "service network": (pillar(networks={"service_cidr": "10.0.0.0/24"}), [f"{N}:address"]),
    "bad network": (pillar(networks={"pod_cidr": "10.0.0.1/24"}), ["metalk8s_expand:networks:pod_cidr"]),
    "max_parallel": (pillar(max_parallel=0), ["metalk8s_expand:max_parallel"]),
    "ssh_parallel": (pillar(ssh_parallel=True), ["metalk8s_expand:ssh_parallel"]),
    "host_keys": (pillar(host_keys="ask"), ["metalk8s_expand:host_keys"]),
    "timeout": (pillar(deploy_timeout="30"), ["metalk8s_expand:deploy_timeout"]),
    "skip": (pillar(preflight={"skip": "disk"}), ["metalk8s_expand:preflight:skip"]),
    "skip twice": (pillar(preflight={"skip": ["disk", "disk"]}), ["metalk8s_expand:preflight:skip"]),
    "skip of no check": (pillar({"preflight": {"skip": ["disc"]}}), [f"{N}:preflight:skip:0"]),
    "threshold": (pillar(preflight={"thresholds": {"clock_skew_s": "5"}}), ["metalk8s_expand:preflight:thresholds:clock_skew_s"]),
    "threshold of a node": (pillar({"preflight": {"thresholds": {}}}), [f"{N}:preflight:thresholds"]),
    "probe_image": (pillar(probe_image=""), ["metalk8s_expand:probe_image"]),
    "snapshot shape": (pillar(etcd_snapshot=True), ["metalk8s_expand:etcd_snapshot"]),
    "snapshot switch": (pillar(etcd_snapshot={"enabled": 1}), ["metalk8s_expand:etcd_snapshot:enabled"]),
    "snapshot directory": (pillar(etcd_snapshot={"directory": "snapshots"}), ["metalk8s_expand:etcd_snapshot:directory"]),
    "snapshot beside etcd": (pillar(etcd_snapshot={"directory": "/var/lib/etcd/s"}), ["metalk8s_expand:etcd_snapshot:directory"]),
    "snapshots kept": (pillar(etcd_snapshot={"keep": 0}), ["metalk8s_expand:etcd_snapshot:keep"]),
    "snapshot timeout": (pillar(etcd_snapshot={"timeout_s": "60"}), ["metalk8s_expand:etcd_snapshot:timeout_s"]),
    "snapshot copy": (pillar(etcd_snapshot={"copy_to": None}), ["metalk8s_expand:etcd_snapshot:copy_to"]),
    "snapshot copied to itself": (
        pillar(etcd_snapshot={"copy_to": "/var/cache/salt/metalk8s-expand/snapshots"}),
        ["metalk8s_expand:etcd_snapshot:copy_to"],
    ),
    "snapshot key": (pillar(etcd_snapshot={"keeps": 3}), ["metalk8s_expand:etcd_snapshot:keeps"]),
    "own profile named as built in": (pillar(profiles={"infra": {"roles": ["node"]}}), ["metalk8s_expand:profiles:infra"]),
    "own profile without roles": (pillar(profiles={"x": {}}), ["metalk8s_expand:profiles:x:roles"]),
    "reserved for Kubernetes": (
        pillar(profiles={"x": {"roles": ["node"], "taints": [{"key": "node.kubernetes.io/x"}]}}),
        ["metalk8s_expand:profiles:x:taints:0"],
    ),
    "taint effect": (pillar(profiles={"x": {"roles": ["node"], "taints": [{"key": "a", "effect": "No"}]}}), ["metalk8s_expand:profiles:x:taints:0"]),
    "taint shape": (pillar(profiles={"x": {"roles": ["node"], "taints": [{"k": "a"}]}}), ["metalk8s_expand:profiles:x:taints:0"]),
    "taint twice": (
        pillar(profiles={"x": {"roles": ["node"], "taints": ["infra", {"key": "node-role.kubernetes.io/infra"}]}}),
        ["metalk8s_expand:profiles:x:taints"],
    ),
}  # fmt: skip
# Mistakes that a JSON schema for editors cannot detect.
BEYOND_SCHEMA = {"absent", "numeric key", "unknown profile", "no profile", "key elsewhere", "pod network", "service network",
                 "bad network", "taint twice", "node null", "snapshot beside etcd", "snapshot copied to itself"}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_reported_with_their_paths(name: str) -> None:
    value, paths = MISTAKES[name]
    assert problems(value) == paths


@pytest.mark.parametrize("name", sorted(set(MISTAKES) - BEYOND_SCHEMA))
def test_schema_refuses_same_mistakes(name: str) -> None:
    assert not SCHEMA.is_valid(MISTAKES[name][0])


@pytest.mark.parametrize(
    "change",
    [{}, {"ssh": {"sudo": "no", "port": 1}}, {"labels": {"a/b": ""}}, {"profile": "infra"}],
)
def test_schema_accepts_same_values(change: dict[str, Any]) -> None:
    settings.parse(pillar(change))
    SCHEMA.validate(pillar(change))


def test_schema_accepts_snapshot_settings() -> None:
    value = pillar(
        etcd_snapshot={
            "enabled": "no",
            "directory": "/srv/s",
            "keep": 1,
            "timeout_s": 10,
            "copy_to": "/mnt/backup",
        }
    )
    found = settings.parse(value).etcd_snapshot
    assert (found.enabled, found.directory, found.keep, found.timeout_s, found.copy_to) == (
        False,
        "/srv/s",
        1,
        10,
        "/mnt/backup",
    )
    SCHEMA.validate(value)


def test_all_problems_are_reported_at_once() -> None:
    value = pillar({"ssh": {"port": 0, "sudo": "maybe"}, "profile": "x"}, max_parallel=0, bad=1)
    assert len(problems(value)) == 5


def test_unknown_names_are_reported_with_known_names() -> None:
    with pytest.raises(SettingsError) as caught:
        settings.parse(pillar({"profile": "workr"}))
    assert "did you mean worker?" in str(caught.value)
    assert "control-plane-worker-infra" in str(caught.value)


V4_NETWORKS = {"pod_cidr": "10.233.0.0/16", "service_cidr": "10.96.0.0/12"}
V6_NETWORKS = {"pod_cidr": "fd00:233::/48", "service_cidr": "fd00:96::/112"}


@pytest.mark.parametrize(
    ("address", "networks", "paths"),
    [
        ("10.0.0.1", V4_NETWORKS, []),
        ("fd00::1", V6_NETWORKS, []),
        ("fd00::1", {}, []),
        ("fd00::1", V4_NETWORKS, ["metalk8s_expand:nodes:w-1:address"] * 2),
        ("10.0.0.1", V6_NETWORKS, ["metalk8s_expand:nodes:w-1:address"] * 2),
        ("fd00:96::5", V6_NETWORKS, ["metalk8s_expand:nodes:w-1:address"]),
        (
            "10.0.0.1",
            {"pod_cidr": "10.233.0.0/16", "service_cidr": "fd00:96::/112"},
            ["metalk8s_expand:networks:service_cidr", "metalk8s_expand:nodes:w-1:address"],
        ),
        (
            "10.0.0.1",
            {"service_cidr": "10.96.0.0/12,fd00:96::/112"},
            ["metalk8s_expand:networks:service_cidr"],
        ),
        (["10.0.0.1", "fd00::1"], {}, ["metalk8s_expand:nodes:w-1:address"]),
    ],
)
def test_address_and_networks_are_of_one_family(
    address: Any, networks: dict[str, str], paths: list[str]
) -> None:
    value = pillar({"address": address}, networks=networks)
    if paths:
        assert problems(value) == paths
    else:
        assert settings.parse(value).nodes["w-1"].ssh.host == address


@pytest.mark.parametrize("written", ["fd00::11", "FD00:0::0011", "fd00:0:0:0:0:0:0:11"])
def test_every_writing_of_an_address_is_the_same_address(written: str) -> None:
    value = pillar({"address": written, "ssh": {"host": written}})
    node = settings.parse(value).nodes["w-1"]
    assert (node.address, node.ssh.host) == ("fd00::11", "fd00::11")
    value["nodes"]["w-2"] = {"profile": "worker", "address": "fd00::11"}
    assert problems(value) == ["metalk8s_expand:nodes:w-2:address"]


@pytest.mark.parametrize(
    ("second", "paths"),
    [
        ({"address": "10.0.0.1"}, ["metalk8s_expand:nodes:w-2:address"]),
        ({"address": "10.0.0.2", "ssh": {"host": "10.0.0.1"}}, []),
        (
            {"address": "10.0.0.2", "ssh": {"host": "gate", "port": 1}},
            ["metalk8s_expand:nodes:w-2:ssh:host"],
        ),
        ({"address": "10.0.0.2", "ssh": {"host": "gate", "port": 2}}, []),
    ],
)
def test_two_nodes_with_same_address_are_refused(second: dict[str, Any], paths: list[str]) -> None:
    value = pillar({"ssh": {"host": "gate", "port": 1}})
    value["nodes"]["w-2"] = {"profile": "worker", **second}
    assert (problems(value) if paths else settings.parse(value) and []) == paths


def test_node_returns_declared_node_by_name() -> None:
    found = settings.parse(pillar())
    assert found.node("w-1").name == "w-1"
    with pytest.raises(SettingsError, match="did you mean w-1"):
        found.node("w-2")


def test_chosen_returns_nodes_in_declared_order() -> None:
    value = pillar()
    value["nodes"]["w-2"] = {"profile": "worker", "address": "10.0.0.2"}
    found = settings.parse(value)
    assert [node.name for node in found.chosen(["w-2", "w-1", "w-2"])] == ["w-1", "w-2"]
    assert found.chosen(None) == list(found.nodes.values())
    with pytest.raises(SettingsError) as caught:
        found.chosen(["w-3", "w-1", "w-4"])
    assert [problem.value for problem in caught.value.problems] == ["w-3", "w-4"]  # type: ignore[union-attr]


def test_undeclared_node_is_built_from_arguments() -> None:
    found = settings.parse(pillar())
    node = settings.node_from(
        found, "w-9", {"profile": "worker", "address": "10.0.0.9", "ssh": None, "version": None}
    )
    assert (node.address, node.version, node.roles) == ("10.0.0.9", "2.0.0-dev", ("node",))
    wider = settings.with_node(
        found, "w-9", {"profile": "worker", "address": "10.0.0.9", "preflight": {"skip": ["disk"]}}
    )
    assert list(wider.nodes) == ["w-1", "w-9"]
    assert wider.skipped("w-9") == {"disk"}


@pytest.mark.parametrize(
    ("name", "overrides", "paths"),
    [
        ("w-9", {}, ["add_node:w-9:profile", "add_node:w-9:address"]),
        ("W_9", {"profile": "worker", "address": "10.0.0.9"}, ["add_node"]),
        ("w-9", {"profile": "worker", "address": "10.0.0.1"}, ["add_node:w-9:address"]),
        (
            "w-9",
            {"profile": "worker", "address": "10.0.0.9", "ssh": {"port": 0}},
            ["add_node:w-9:ssh:port"],
        ),
        ("w-1", {"profile": "worker", "address": "10.0.0.9"}, ["metalk8s_expand:nodes"]),
    ],
)
def test_invalid_arguments_are_reported_with_their_paths(
    name: str, overrides: dict[str, Any], paths: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.node_from(settings.parse(pillar()), name, overrides)
    assert [problem.path for problem in caught.value.problems] == paths  # type: ignore[union-attr]
    assert caught.value.node == name


def test_declared_node_without_arguments_is_unchanged() -> None:
    found = settings.parse(pillar())
    assert settings.node_from(found, "w-1", {"profile": None}) is found.nodes["w-1"]


@pytest.mark.parametrize(
    ("existing", "declared", "warns"),
    [(1, 0, False), (1, 1, True), (1, 2, False), (1, 3, True), (0, 2, True), (2, 0, False)],
)
def test_even_number_of_members_is_a_warning(existing: int, declared: int, warns: bool) -> None:
    nodes = {
        f"c-{n}": {"profile": "control-plane", "address": f"10.0.0.{n + 1}"}
        for n in range(declared)
    }
    found = settings.parse({"defaults": {"version": "1"}, "nodes": nodes})
    assert (settings.even_members_warning(existing, found) is not None) is warns


# The full run uses 5000 pillars of each kind.
PILLARS = int(os.environ.get("PILLARS", "500"))

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=3),
    st.sampled_from(["worker", "bootstrap", "10.0.0.1", "fd00::1", "10.0.0.0/8", "/etc/metalk8s/pki/x", "master", "false", "2.0.0"]),
)  # fmt: skip
KEYS = st.one_of(
    SCALARS.filter(lambda value: not (isinstance(value, float) and math.isnan(value))),
    st.sampled_from(
        [
            "nodes",
            "defaults",
            "profiles",
            "ssh",
            "address",
            "roles",
            "taints",
            "labels",
            "key",
            "effect",
            "preflight",
            "skip",
            "networks",
        ]
    ),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    if isinstance(value, list):
        items = enumerate(value)
    return [path, *(place for key, inner in items for place in places(inner, (*path, key)))]


PLACES = places(EXAMPLE)[1:]


# What the cluster tells where the operator states no version.
CLUSTER = ClusterConfiguration({VERSION: Value(("134.0.0",), "the cluster")})


def sound_or_refused(value: Any) -> None:
    try:
        found = cluster_defaults.fill(settings.parse(value), CLUSTER)
    except SettingsError as error:
        assert error.problems
        json.dumps(error.as_dict())
        return
    for name, node in found.nodes.items():
        assert (node.name, bool(node.version), bool(node.roles), bool(node.address)) == (
            name,
            True,
            True,
            True,
        )
        assert node.ssh.key_path.startswith(found.key_directory)


@hypothesis_settings(max_examples=PILLARS, deadline=None, suppress_health_check=list(HealthCheck))
@given(TREES)
def test_random_pillars_are_parsed_or_refused(value: Any) -> None:
    sound_or_refused(value)


@hypothesis_settings(max_examples=PILLARS, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(st.sampled_from(PLACES), st.one_of(TREES, st.just(...)), KEYS),
        min_size=1,
        max_size=3,
    )
)
def test_mutated_pillars_are_parsed_or_refused(
    mutations: list[tuple[tuple[Any, ...], Any, Any]],
) -> None:
    value = copy.deepcopy(EXAMPLE)
    for path, change, key in mutations:
        parent = value
        try:
            for part in path[:-1]:
                parent = parent[part]
            if change is ...:
                parent[key] = parent.pop(path[-1])
            else:
                parent[path[-1]] = change
        except (KeyError, IndexError, TypeError, AttributeError):
            continue
    sound_or_refused(value)
