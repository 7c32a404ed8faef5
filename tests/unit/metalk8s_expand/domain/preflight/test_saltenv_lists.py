"""The lists of MetalK8s's saltenv are read in all forms that MetalK8s reads."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.preflight import facts_request, saltenv_lists
from metalk8s_expand.domain.preflight.checks import software
from metalk8s_expand.domain.preflight.cluster_facts import ClusterFacts
from metalk8s_expand.domain.preflight.saltenv_lists import ListedPort, SaltenvLists
from metalk8s_expand.domain.preflight.thresholds import Thresholds


@pytest.mark.parametrize(
    ("listed", "wanted"),
    [
        ("docker", {"docker": ()}),
        (["docker", "docker-ce"], {"docker": (), "docker-ce": ()}),
        ({"docker": None, "podman": "3.4", "runc": ["1.0", "1.1"]}, {"docker": (), "podman": ("3.4",), "runc": ("1.0", "1.1")}),
        ({}, {}),
        (None, None),
        (7, None),
    ],
)  # fmt: skip
def test_conflicting_packages(listed: Any, wanted: Any) -> None:
    assert saltenv_lists.parse({"repo": {"conflicting_packages": listed}}).packages == wanted


@pytest.mark.parametrize(
    ("listed", "wanted"), [("a", ("a",)), (["a", "b"], ("a", "b")), ([], ()), (None, None)]
)
def test_conflicting_services(listed: Any, wanted: Any) -> None:
    assert saltenv_lists.parse({"conflicting_services": listed}).services == wanted


@pytest.mark.parametrize("document", [None, [], "x", {}, {"repo": 1, "networks": []}])
def test_file_without_lists_has_none(document: Any) -> None:
    assert saltenv_lists.parse(document) == SaltenvLists()


def test_ports_of_a_node_are_those_of_its_roles_and_of_every_node() -> None:
    lists = saltenv_lists.parse(
        {
            "networks": {
                "listening_process_per_role": {
                    "master": {"control_plane_ip:6443": {"expected": "kube-apiserver"}},
                    "node": {10250: {"expected": ["kubelet", None]}, "bad": {}},
                    "bootstrap": {"control_plane_ip:8080": {"expected": "nginx("}},
                    "infra": None,
                }
            },
            "repo": {"port": 8080},
        }
    )
    assert lists.ports_of((roles.MASTER, roles.INFRA)) == (
        ListedPort("", 10250, ("kubelet",)),
        ListedPort("control_plane_ip", 6443, ("kube-apiserver",)),
    )
    [port] = lists.ports["bootstrap"]
    assert port.permits("nginx(")
    assert not port.permits("nginx")
    assert not port.permits("")
    assert lists.repository_port == 8080


def test_probe_looks_for_what_the_saltenv_lists() -> None:
    lists = saltenv_lists.parse(
        {
            "conflicting_services": ["iptables"],
            "repo": {"conflicting_packages": ["docker"]},
            "networks": {"listening_process_per_role": {"node": {"127.0.0.1:9099": {}}}},
        }
    )
    around = ClusterFacts(lists={"1": lists})
    ours = facts_request.request(Node("w", "2", (roles.NODE,), ()), around, Thresholds())
    theirs = facts_request.request(Node("w", "1", (roles.NODE,), ()), around, Thresholds())
    assert (theirs["packages"], theirs["ports"]) == (["docker"], [9099])
    assert theirs["services"] == ["iptables", *software.SERVICES]
    assert (ours["packages"], ours["services"], ours["ports"]) == (
        list(software.PACKAGES),
        list(software.SERVICES),
        [],
    )
