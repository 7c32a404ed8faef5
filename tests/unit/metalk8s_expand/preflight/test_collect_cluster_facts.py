"""Tests of the cluster facts: unknown facts stay empty, and no minion decides on roles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import salt.cache
import salt.config

from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.preflight.cluster_facts import Endpoint, ExistingNode
from metalk8s_expand.domain.salt.fingerprint import fingerprint
from metalk8s_expand.preflight import collect_cluster_facts
from tests.fakes.kube import FakeKube

SETTINGS = Settings(
    nodes={"w-1": Node("w-1", "2.0", ("node",), ()), "w-2": Node("w-2", "2.0", ("node",), ())}
)
KEY = "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n"
CLUSTER = {
    "bootstrap": {"name": "boot", "address": "10.0.0.1"},
    "artifacts": {"url": "http://10.0.0.1:8080"},
    "networks": {"pod": "10.233.0.0/16", "service": "10.96.0.0/12"},
}
BEFORE_3008, SINCE_3008 = "minions/{}", "grains"


def node(
    name: str, address: str | None = None, *roles: str, ready: bool = True, **info: str
) -> dict[str, Any]:
    labels = {
        **{f"node-role.kubernetes.io/{role}": "" for role in roles},
        "metalk8s.scality.com/version": f"2.0-{name}",
    }
    status: dict[str, Any] = {"conditions": [{"type": "Ready", "status": str(ready)}]}
    if address:
        status["addresses"] = [
            {"type": "Hostname", "address": name},
            {"type": "InternalIP", "address": address},
        ]
    if info:
        status["nodeInfo"] = {"kubeletVersion": "v1", **info}
    return {"metadata": {"name": name, "labels": labels}, "status": status}


BOOT = node("boot", "10.0.0.1", "bootstrap", "master", "etcd", machineID="m", systemUUID="u")
Make = Callable[..., ClusterContext]
pytestmark = pytest.mark.usefixtures("rendered_pillars")


@pytest.fixture
def world(tmp_path: Path) -> Make:
    """A master with this description of the cluster in its pillar, and these options."""

    def made(kube: FakeKube, cluster: Any = CLUSTER, **options: Any) -> ClusterContext:
        (tmp_path / "pillar").mkdir(exist_ok=True)
        (tmp_path / "pillar" / "top.sls").write_text(json.dumps({"base": {"*": ["cluster"]}}))
        declared = {"metalk8s": {"cluster": cluster}} if cluster else {}
        pillar = cluster if isinstance(cluster, str) else json.dumps(declared)
        (tmp_path / "pillar" / "cluster.sls").write_text(pillar)
        opts = salt.config.master_config(None)
        opts.update(id="boot", cachedir=str(tmp_path / "cache"), pki_dir=str(tmp_path / "pki"),
                    extension_modules=str(tmp_path / "ext"), pillar_roots={"base": [str(tmp_path / "pillar")]}, **options)  # fmt: skip
        opts["__role"] = "master"
        return ClusterContext(opts, kube)

    return made


def titled(found: Any, check: str) -> list[str]:
    return [f"{one.title} {one.host}:{one.port}" for one in found.endpoints if one.check == check]


def test_facts_of_node_come_from_api(world: Make) -> None:
    kube = FakeKube(BOOT, node("new", None, "node"))
    found = collect_cluster_facts.collect_cluster_facts(world(kube), SETTINGS)
    assert found.nodes["boot"] == ExistingNode(
        "boot", ("10.0.0.1",), "m", "u", (), "2.0-boot", True
    )
    assert found.nodes["new"] == ExistingNode("new", version="2.0-new")
    assert kube.lists == 1, "one list is enough"


@pytest.mark.parametrize("bank", [BEFORE_3008, SINCE_3008])
def test_macs_come_from_grains_of_minions(world: Make, bank: str) -> None:
    made = world(FakeKube(BOOT, node("w-9")))
    grains = {"hwaddr_interfaces": {"lo": "00:00:00:00:00:00", "eth0": "52:54:00:AA:00:01"}}
    if bank == SINCE_3008:
        salt.cache.factory(made.opts).store(bank, "boot", grains)
    else:
        salt.cache.factory(made.opts).store(bank.format("boot"), "data", {"grains": grains})
    found = collect_cluster_facts.collect_cluster_facts(made, SETTINGS)
    assert found.nodes["boot"].macs == ("00:00:00:00:00:00", "52:54:00:aa:00:01")
    assert found.nodes["w-9"].macs == ()


@pytest.mark.parametrize(
    "grains", [{"x": 1}, {"hwaddr_interfaces": None}, {"hwaddr_interfaces": ["a"]}, ["nonsense"]]
)
def test_malformed_grains_are_tolerated(world: Make, grains: Any) -> None:
    made = world(FakeKube(BOOT))
    salt.cache.factory(made.opts).store("grains", "boot", grains)
    assert collect_cluster_facts.collect_cluster_facts(made, SETTINGS).nodes["boot"].macs == ()


def test_missing_grains_cache_is_tolerated(world: Make) -> None:
    assert (
        collect_cluster_facts.collect_cluster_facts(
            world(FakeKube(BOOT), minion_data_cache=False), SETTINGS
        )
        .nodes["boot"]
        .macs
        == ()
    )


def test_members_of_etcd_are_the_nodes_of_that_role_that_have_an_address(world: Make) -> None:
    kube = FakeKube(
        BOOT,
        node("e-1", None, "etcd"),
        node("m-1", "10.0.0.2", "master"),
        node("e-2", "10.0.0.3", "etcd", ready=False),
    )
    assert collect_cluster_facts.collect_cluster_facts(world(kube), SETTINGS).etcd_peers == {
        "boot": "10.0.0.1",
        "e-2": "10.0.0.3",
    }


def test_minion_keys_come_from_master(world: Make, tmp_path: Path) -> None:
    made = world(FakeKube())
    for directory, name in (("minions_pre", "w-1"), ("minions_denied", "w-1"), ("minions", "w-9")):
        (tmp_path / "pki" / directory).mkdir(parents=True, exist_ok=True)
        (tmp_path / "pki" / directory / name).write_text(KEY.format(directory))
    (tmp_path / "pki" / "master.pub").write_text(KEY.format("master"))
    found = collect_cluster_facts.collect_cluster_facts(made, SETTINGS)
    assert found.keys == {"w-1": fingerprint(KEY.format("minions_pre"))}
    assert found.master_key == fingerprint(KEY.format("master"))


def test_master_without_keys_is_tolerated(world: Make) -> None:
    found = collect_cluster_facts.collect_cluster_facts(world(FakeKube()), SETTINGS)
    assert (found.keys, found.master_key) == ({}, "")


@pytest.mark.parametrize(
    ("nodes", "version"),
    [
        ([node("m", "10.0.0.2", "master"), BOOT], "2.0-boot"),
        ([node("w", "10.0.0.9", "node"), node("m", "10.0.0.2", "master")], "2.0-m"),
        ([node("w", "10.0.0.9", "node")], ""),
        ([], ""),
    ],
)
def test_the_version_is_that_of_the_control_plane(
    world: Make, nodes: list[dict[str, Any]], version: str
) -> None:
    assert (
        collect_cluster_facts.collect_cluster_facts(world(FakeKube(*nodes)), SETTINGS).version
        == version
    )


def test_networks_are_those_declared_else_those_of_the_cluster(world: Make) -> None:
    found = collect_cluster_facts.collect_cluster_facts(
        world(FakeKube(BOOT)), Settings(pod_cidr="10.1.0.0/16")
    )
    assert (found.pod_cidr, found.service_cidr) == ("10.1.0.0/16", "10.96.0.0/12")
    found = collect_cluster_facts.collect_cluster_facts(world(FakeKube(BOOT), None), Settings())
    assert (found.pod_cidr, found.service_cidr) == (None, None)


class TestEndpoints:
    def test_api_servers_of_nodes_that_are_ready(self, world: Make) -> None:
        kube = FakeKube(
            BOOT,
            node("m-1", "10.0.0.2", "master", ready=False),
            node("m-2", None, "master"),
            node("w", "10.0.0.3"),
        )
        assert titled(
            collect_cluster_facts.collect_cluster_facts(world(kube), SETTINGS), "api"
        ) == ["API server of boot 10.0.0.1:6443"]

    def test_by_the_clusters_description(self, world: Make) -> None:
        found = collect_cluster_facts.collect_cluster_facts(
            world(FakeKube(BOOT), publish_port=14505, ret_port=14506), SETTINGS
        )
        assert titled(found, "artifacts") == ["artifact store 10.0.0.1:8080"]
        assert titled(found, "salt-master") == [
            "Salt master 10.0.0.1:14505",
            "Salt master 10.0.0.1:14506",
        ]

    @pytest.mark.parametrize(
        ("url", "wanted"),
        [
            (
                "https://store.example",
                [Endpoint("artifacts", "artifact store", "store.example", 443)],
            ),
            (
                "http://[fd00::1]:8080/path",
                [Endpoint("artifacts", "artifact store", "fd00::1", 8080)],
            ),
            ("http://store.example:99999", []),
            ("http://[fd00::1", []),
            ("store", []),
            ("ftp://store", []),
        ],
    )
    def test_the_masters_configuration_wins(
        self, world: Make, url: str, wanted: list[Endpoint]
    ) -> None:
        found = collect_cluster_facts.collect_cluster_facts(
            world(FakeKube(BOOT), metalk8s_expand={"artifacts": url}), SETTINGS
        )
        assert [one for one in found.endpoints if one.check == "artifacts"] == wanted

    def test_by_the_services_of_metalk8s(self, world: Make) -> None:
        ready = {
            "endpoints": [
                {"addresses": ["10.0.0.7"]},
                {"addresses": ["10.0.0.8"], "conditions": {"ready": False}},
            ]
        }
        slices = {"repositories": {**ready, "ports": [{"name": "http", "port": 8080}]},
                  "salt-master": {**ready, "ports": [{"port": 4505}, {"port": 4506}]}}  # fmt: skip
        kube = FakeKube(BOOT)
        for service, body in slices.items():
            kube.put_slice("kube-system", service, body)
        found = collect_cluster_facts.collect_cluster_facts(world(kube, None), SETTINGS)
        assert titled(found, "artifacts") == ["artifact store 10.0.0.7:8080"]
        assert titled(found, "salt-master") == [
            "Salt master 10.0.0.7:4505",
            "Salt master 10.0.0.7:4506",
        ]

    def test_a_master_on_the_bootstrap_node(self, world: Make) -> None:
        found = collect_cluster_facts.collect_cluster_facts(world(FakeKube(BOOT), None), SETTINGS)
        assert titled(found, "salt-master") == [
            "Salt master 10.0.0.1:4505",
            "Salt master 10.0.0.1:4506",
        ]
        assert titled(found, "artifacts") == []

    @pytest.mark.parametrize("cluster", [{}, "{{ broken", {"artifacts": None, "bootstrap": None}])
    def test_unknown_endpoints_are_left_out(self, world: Make, cluster: Any) -> None:
        assert (
            collect_cluster_facts.collect_cluster_facts(
                world(FakeKube(node("w", "10.0.0.9")), cluster), SETTINGS
            ).endpoints
            == ()
        )
        assert (
            titled(
                collect_cluster_facts.collect_cluster_facts(
                    world(FakeKube(BOOT), cluster), SETTINGS
                ),
                "artifacts",
            )
            == []
        )


LISTS = """
conflicting_services: [firewalld]
repo: {port: 8080, conflicting_packages: {docker: null}}
"""


def saltenvs_of(tmp_path: Path, **trees: str) -> dict[str, Any]:
    """Return the file_roots of saltenvs with these files of lists."""
    roots = {}
    for version, text in trees.items():
        root = tmp_path / "trees" / version
        (root / "metalk8s").mkdir(parents=True)
        if text:
            (root / "metalk8s" / "defaults.yaml").write_text(text)
        roots[f"metalk8s-{version}"] = [str(root)]
    return {"file_roots": roots}


def test_lists_come_from_the_saltenvs_of_the_nodes(world: Make, tmp_path: Path) -> None:
    declared = Settings(
        nodes={name: Node(name, name, ("node",), ()) for name in ("a", "b", "c", "d", "e")}
    )
    roots = saltenvs_of(tmp_path, a=LISTS, b="", c="{", e=LISTS)
    made = world(FakeKube(BOOT), **roots)
    found = collect_cluster_facts.collect_cluster_facts(made, declared, ["a", "b", "c", "d"])
    assert set(found.lists) == {"a"}
    assert found.lists["a"].packages == {"docker": ()}


def test_repository_without_service_is_on_the_bootstrap_node(world: Make, tmp_path: Path) -> None:
    declared = Settings(nodes={"a": Node("a", "a", ("node",), ())})
    made = world(FakeKube(BOOT), None, **saltenvs_of(tmp_path, a=LISTS))
    found = collect_cluster_facts.collect_cluster_facts(made, declared)
    assert titled(found, "artifacts") == ["package repository 10.0.0.1:8080"]
