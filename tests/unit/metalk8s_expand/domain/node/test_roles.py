"""The profiles match the table of MetalK8s and its documentation exactly."""

from __future__ import annotations

import pytest

from metalk8s_expand.domain.node import roles

TABLE = {
    "control-plane": (("master", "etcd"), ("master", "etcd")),
    "infra": (("infra",), ("infra",)),
    "worker": (("node",), ()),
    "worker-infra": (("infra",), ()),
    "control-plane-infra": (("master", "etcd", "infra"), ("infra",)),
    "control-plane-worker": (("master", "etcd", "node"), ()),
    "control-plane-worker-infra": (("master", "etcd", "infra"), ()),
}


def test_table_contains_all_profiles() -> None:
    assert set(roles.PROFILES) == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_profile_has_roles_and_taints_of_table(name: str) -> None:
    wanted_roles, tainted = TABLE[name]
    assert roles.PROFILES[name].roles == wanted_roles
    assert roles.PROFILES[name].taints == roles.taints(tainted)


def test_label_keys_and_taints_have_role_prefix() -> None:
    assert roles.label_keys(("master", "etcd")) == (
        "node-role.kubernetes.io/master",
        "node-role.kubernetes.io/etcd",
    )
    assert roles.taints(["infra"])[0].as_dict() == {
        "key": "node-role.kubernetes.io/infra",
        "effect": "NoSchedule",
    }


def test_taint_keeps_its_value() -> None:
    assert roles.Taint("k", "NoExecute", "v").as_dict() == {
        "key": "k",
        "value": "v",
        "effect": "NoExecute",
    }


def test_observed_roles_are_known_roles_only() -> None:
    labels = {
        "node-role.kubernetes.io/etcd": "",
        "node-role.kubernetes.io/gpu": "",
        "node-role.kubernetes.io/bootstrap": "",
    }
    assert roles.observed_roles(labels) == ("bootstrap", "etcd")


@pytest.mark.parametrize(
    ("key", "ours"),
    [("node-role.kubernetes.io/node", True), ("node-role.kubernetes.io/gpu", False), (None, False)],
)
def test_role_key_is_recognized(key: object, ours: bool) -> None:
    assert roles.is_role_key(key) is ours
