"""Tests of the cluster's configuration in the forms of its sources."""

from __future__ import annotations

import json
from typing import Any

import pytest

from metalk8s_expand.domain import configuration
from metalk8s_expand.domain.configuration import ClusterConfiguration, Value

PATH = "/etc/metalk8s/bootstrap.yaml"
PLANES: dict[str, Any] = {
    "controlPlane": {"cidr": "10.1.0.0/24"},
    "workloadPlane": {"cidr": ["10.2.0.0/24", "fd00:2::/64"]},
}


def bootstrap(version: str = "v1alpha3", **more: Any) -> dict[str, Any]:
    """Return a BootstrapConfiguration with these keys."""
    return {
        "apiVersion": f"metalk8s.scality.com/{version}",
        "kind": "BootstrapConfiguration",
        "networks": PLANES,
        "ca": {"minion": "boot"},
        **more,
    }


def test_file_of_v1alpha3_has_cidrs_as_text_or_list() -> None:
    found = configuration.from_bootstrap_file(bootstrap(), PATH)
    assert found.control_plane == ("10.1.0.0/24",)
    assert found.workload_plane == ("10.2.0.0/24", "fd00:2::/64")
    assert found.single(configuration.CA_MINION) == "boot"
    assert found.values[configuration.CONTROL_PLANE].source == PATH
    assert found.problems == ()


def test_file_of_v1alpha2_has_cidr_in_place_of_mapping() -> None:
    planes = {"controlPlane": "10.1.0.0/24", "workloadPlane": "10.2.0.0/24"}
    found = configuration.from_bootstrap_file(bootstrap("v1alpha2", networks=planes), PATH)
    assert (found.control_plane, found.workload_plane) == (("10.1.0.0/24",), ("10.2.0.0/24",))


def test_networks_that_file_omits_have_defaults_of_metalk8s() -> None:
    found = configuration.from_bootstrap_file(bootstrap(), PATH)
    assert found.items(configuration.POD) == ("10.233.0.0/16",)
    assert found.items(configuration.SERVICE) == ("10.96.0.0/12",)
    assert str(found.values[configuration.POD]) == (
        f"10.233.0.0/16, from {PATH}, where MetalK8s's default applies"
    )


def test_networks_of_file_precede_defaults() -> None:
    networks = {**PLANES, "pods": "10.244.0.0/16", "services": "10.97.0.0/16"}
    found = configuration.from_bootstrap_file(bootstrap(networks=networks), PATH)
    assert str(found.values[configuration.POD]) == f"10.244.0.0/16, from {PATH}"
    assert found.items(configuration.SERVICE) == ("10.97.0.0/16",)
    assert found.networks == (
        "10.1.0.0/24", "10.2.0.0/24", "fd00:2::/64", "10.244.0.0/16", "10.97.0.0/16",
    )  # fmt: skip


def test_cidr_with_host_bits_is_shown_as_network() -> None:
    planes = {**PLANES, "controlPlane": {"cidr": ["10.1.0.7/24", "10.1.0.0/24"]}}
    assert configuration.from_bootstrap_file(bootstrap(networks=planes), PATH).control_plane == (
        "10.1.0.0/24",
    )


def test_password_of_proxy_is_neither_kept_nor_shown() -> None:
    proxies = {"http": "http://ops:s3cret@proxy:3128", "https": ["x", {"a": "//u:s3cret@p"}]}
    found = configuration.from_bootstrap_file(
        bootstrap(proxies={**proxies, "no_proxy": ["10.0.0.0/8", ".example.com"]}), PATH
    )
    assert found.items("proxies.http") == ("http://***@proxy:3128",)
    assert found.items("proxies.no_proxy") == ("10.0.0.0/8", ".example.com")
    assert "s3cret" not in repr(found)
    assert found.problems[0].startswith("proxies:https in")


@pytest.mark.parametrize(
    ("document", "word"),
    [
        (None, "is not a BootstrapConfiguration"),
        ([], "is not a BootstrapConfiguration"),
        ({"kind": "Pod"}, "is not a BootstrapConfiguration"),
        (bootstrap("v9"), "has the apiVersion metalk8s.scality.com/v9"),
        (bootstrap("v\x1b"), r"has the apiVersion metalk8s.scality.com/v\x1b"),
    ],
)
def test_file_of_unknown_kind_is_ignored_with_reason(document: Any, word: str) -> None:
    found = configuration.from_bootstrap_file(document, PATH)
    assert found.values == {}
    assert [problem.startswith(f"{PATH} {word}") for problem in found.problems] == [True]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"networks": "10.0.0.0/8"}, "networks"),
        ({"networks": {**PLANES, "controlPlane": {"cidr": "here"}}}, "networks:controlPlane"),
        ({"networks": {**PLANES, "pods": 7}}, "networks:pods"),
        ({"ca": {"minion": ["a", 1]}}, "ca.minion"),
        ({"proxies": ["http://x"]}, "proxies"),
    ],
)
def test_value_of_wrong_form_is_problem_and_unknown(changes: dict[str, Any], path: str) -> None:
    [problem] = configuration.from_bootstrap_file(bootstrap(**changes), PATH).problems
    assert problem.startswith(f"{path} in {PATH} is ")


def test_pillar_of_metalk8s_is_read_in_its_form() -> None:
    pillar = {
        "networks": {
            "control_plane": {"cidr": ["10.1.0.0/24"]},
            "workload_plane": {"cidr": ["10.2.0.0/24"], "mtu": 1460},
            "pod": "10.244.0.0/16",
            "service": "10.97.0.0/16",
            "portmap": None,
        },
        "proxies": {},
        "metalk8s": {"ca": {"minion": "boot"}, "cluster_version": "134.0.1"},
    }
    found = configuration.from_pillar(pillar, "boot_master")
    assert found.control_plane == ("10.1.0.0/24",)
    assert found.items(configuration.SERVICE) == ("10.97.0.0/16",)
    assert str(found.values[configuration.VERSION]) == "134.0.1, from the pillar of boot_master"


def test_description_of_master_alone_is_read_in_its_form() -> None:
    cluster = {"networks": {"pod": "10.244.0.0/16"}, "bootstrap": {"name": "boot"}}
    found = configuration.from_description(cluster, "boot_master")
    assert found.items(configuration.POD) == ("10.244.0.0/16",)
    assert found.single(configuration.CA_MINION) == "boot"
    assert found.single(configuration.SERVICE) == ""


def test_first_source_precedes_the_next_for_each_key() -> None:
    first = ClusterConfiguration({configuration.POD: Value(("10.1.0.0/16",), "a")}, ("one",))
    second = ClusterConfiguration(
        {
            configuration.CA_MINION: Value(("boot",), "b"),
            configuration.POD: Value(("10.2.0.0/16",), "b"),
            configuration.CONTROL_PLANE: Value(("10.3.0.0/16",), "b"),
        },
        ("two",),
    )
    found = first.with_fallback(second)
    assert found.as_dict() == {
        "networks.control_plane": {"value": ["10.3.0.0/16"], "source": "b"},
        "networks.pod": {"value": ["10.1.0.0/16"], "source": "a"},
        "ca.minion": {"value": ["boot"], "source": "b"},
    }
    assert list(found.values) == ["networks.control_plane", "networks.pod", "ca.minion"]
    assert found.problems == ("one", "two")
    json.dumps(found.as_dict())
