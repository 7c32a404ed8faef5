"""Tests of the pillar of each minion: it holds no secrets, certificates or addresses of other
nodes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.cluster import node_pillar
from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.node.spec import Node, Ssh, Taint

CLUSTER: dict[str, Any] = {
    "bootstrap": {
        "name": "boot",
        "address": "10.0.0.1",
        "roles": ["bootstrap", "master", "etcd"],
        "taints": ["bootstrap"],
    },
    "networks": {"pod": "10.233.0.0/16", "service": "10.96.0.0/12"},
}
SECRET = "THE-SECRET"


def declared(name: str, address: str, *node_roles: str) -> Node:
    return Node(
        name,
        "1",
        node_roles,
        (Taint("node-role.kubernetes.io/infra"),),
        ssh=Ssh(address),
        address=address,
    )


def observed(name: str, address: str | None, *node_roles: str, **metadata: Any) -> dict[str, Any]:
    addresses = [{"type": "Hostname", "address": name}]
    if address is not None:
        addresses.append({"type": "InternalIP", "address": address})
    labels = dict.fromkeys(roles.label_keys(node_roles), "")
    return {
        "metadata": {"name": name, "labels": labels, **metadata},
        "status": {"addresses": addresses},
    }


DECLARED = [
    declared("cp-1", "10.0.0.2", roles.MASTER, roles.ETCD),
    declared("w-1", "10.0.0.3", roles.NODE),
]


def hosts(
    *nodes: dict[str, Any], declaration: list[Node] = DECLARED
) -> dict[str, node_pillar.PillarHost]:
    return node_pillar.known_hosts(CLUSTER, declaration, nodes)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for path in (
        *node_pillar.SHARED_SECRETS.values(),
        *node_pillar.AUTHORITIES.values(),
        "pki/ca.key",
        "pki/etcd/ca.key",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("certificate" if path.endswith(".crt") else SECRET)
    return tmp_path


def pillar(
    minion: str,
    directory: Path,
    *nodes: dict[str, Any],
    registered: Any = ("boot", "cp-1", "w-1", "w-9"),
) -> Any:
    return node_pillar.node_pillar(minion, CLUSTER, hosts(*nodes), registered, str(directory))


NODE = observed("w-9", "10.0.0.9", roles.NODE)


class TestHosts:
    def test_known_hosts_come_from_all_sources(self) -> None:
        found = hosts(NODE)
        assert {name: (host.address, host.roles) for name, host in found.items()} == {
            "boot": ("10.0.0.1", ("bootstrap", "master", "etcd")),
            "cp-1": ("10.0.0.2", ("master", "etcd")),
            "w-1": ("10.0.0.3", ("node",)),
            "w-9": ("10.0.0.9", ("node",)),
        }

    def test_declaration_overrides_node_object(self) -> None:
        found = hosts(observed("w-1", "10.0.0.99", roles.MASTER, roles.ETCD, roles.BOOTSTRAP))
        assert (found["w-1"].address, found["w-1"].roles) == ("10.0.0.3", ("node",))

    def test_description_of_bootstrap_overrides_declaration_and_node_object(self) -> None:
        found = hosts(
            observed("boot", "10.0.0.99"), declaration=[declared("boot", "10.0.0.98", roles.NODE)]
        )
        assert (found["boot"].address, found["boot"].roles) == (
            "10.0.0.1",
            ("bootstrap", "master", "etcd"),
        )

    def test_moved_object_cannot_take_declared_address(self) -> None:
        assert hosts(observed("w-1", "10.0.0.1"))["boot"].address == "10.0.0.1"

    @pytest.mark.parametrize(
        "address",
        [
            pytest.param("10.0.0.1", id="the bootstrap's"),
            pytest.param("10.0.0.2", id="a declared node's"),
            pytest.param("10.0.0.9", id="another undeclared node's"),
            pytest.param("::ffff:10.0.0.1", id="the bootstrap's, as IPv6"),
            pytest.param("::ffff:a00:1", id="the bootstrap's, as IPv6 in hexadecimal"),
            pytest.param("10.96.0.1", id="the API's Service"),
            pytest.param("::ffff:10.96.0.1", id="the API's Service, as IPv6"),
            pytest.param("10.96.0.10", id="another Service"),
            pytest.param("10.233.1.1", id="a Pod"),
            pytest.param("127.0.0.1", id="the API proxy of every node"),
            pytest.param("::1", id="the same as IPv6"),
            pytest.param("::ffff:127.0.0.1", id="the same as IPv4 in IPv6"),
            pytest.param("0.0.0.0", id="every address"),
            pytest.param("169.254.1.1", id="link-local"),
            pytest.param("kubernetes", id="a name"),
            pytest.param("10.0.0.1,IP:10.0.0.2", id="several"),
            pytest.param("10.0.0.1/24", id="a network"),
            pytest.param("", id="empty"),
            pytest.param(None, id="none"),
        ],
    )
    def test_undeclared_node_cannot_have_address_of_declared_node(
        self, address: str | None, directory: Path
    ) -> None:
        thief = observed("thief", address, roles.MASTER, roles.ETCD)
        found = hosts(thief, NODE)
        assert found["thief"].address == ""
        assert found["boot"].address == "10.0.0.1"
        policies = pillar("boot", directory, thief, NODE)["x509_signing_policies"]
        assert not [name for name in policies if name.startswith("thief/")]
        data = pillar("w-1", directory, thief, NODE, registered=["boot", "thief"])["metalk8s"]
        assert "thief" not in json.dumps([data["api_servers"], data["etcd_members"]])

    @pytest.mark.parametrize(
        ("written", "address", "endpoint"),
        [
            ("10.0.0.9", "10.0.0.9", "10.0.0.9:6443"),
            ("::ffff:10.0.0.9", "10.0.0.9", "10.0.0.9:6443"),
            ("fd00::9", "fd00::9", "[fd00::9]:6443"),
            ("FD00:0::0009", "fd00::9", "[fd00::9]:6443"),
        ],
    )
    def test_address_of_either_family_is_canonical_everywhere(
        self, written: str, address: str, endpoint: str, directory: Path
    ) -> None:
        master = observed("m-9", written, roles.MASTER, roles.ETCD)
        data = pillar("m-9", directory, master, registered=["boot", "m-9"])["metalk8s"]
        server = {"name": "m-9", "address": address, "endpoint": endpoint}
        assert server in data["api_servers"]
        assert {"name": "m-9", "address": address} in data["etcd_members"]
        policies = pillar("boot", directory, master)["x509_signing_policies"]
        for purpose in ("apiserver", "etcd-server", "etcd-peer", "kubelet-server"):
            assert f"IP:{address}" in policies[f"m-9/{purpose}"]["subjectAltName"]

    def test_nodes_that_claim_the_same_address_both_lose_it(self) -> None:
        found = hosts(observed("a", "fd00::1"), observed("b", "fd00:0:0::1"))
        assert (found["a"].address, found["b"].address) == ("", "")

    def test_address_may_come_from_annotation_before_kubelet_reports(self) -> None:
        annotated = observed("w-9", None, annotations={"metalk8s.scality.com/ssh-host": "10.0.0.9"})
        assert hosts(annotated)["w-9"].address == "10.0.0.9"

    def test_only_role_taints_of_undeclared_node_count(self) -> None:
        item = observed("w-9", "10.0.0.9")
        taint = {"key": "node-role.kubernetes.io/infra", "effect": "NoSchedule"}
        item["spec"] = {"taints": [taint, {"key": "example.com/x", "effect": "NoExecute"}]}
        assert hosts(item)["w-9"].taints == (taint,)

    @pytest.mark.parametrize(
        "item", [{}, {"metadata": None}, {"metadata": {"name": "x", "labels": None}, "spec": None}]
    )
    def test_malformed_objects_are_tolerated(self, item: dict[str, Any]) -> None:
        assert {host.address for host in hosts(item).values()} == {
            "",
            "10.0.0.1",
            "10.0.0.2",
            "10.0.0.3",
        }


class TestPillar:
    @pytest.mark.parametrize("minion", ["", "nobody", "boot_master", "w-"])
    def test_unknown_minion_gets_empty_pillar(self, minion: str, directory: Path) -> None:
        assert pillar(minion, directory, NODE) == {}

    @pytest.mark.parametrize("minion", ["w-1", "w-9"])
    def test_worker_gets_no_secret(self, minion: str, directory: Path) -> None:
        found = pillar(minion, directory, NODE)
        assert set(found) == {"metalk8s"}
        data = found["metalk8s"]
        assert set(data) == {
            "node",
            "certificates",
            "certificate_contents",
            "ca_server",
            "api_servers",
            "no_proxy",
            "etcd_members",
            "authorities",
        }
        assert data["node"]["name"] == minion
        assert data["authorities"] == dict.fromkeys(
            ("kubernetes", "etcd", "front_proxy"), "certificate"
        )
        assert data["api_servers"] == [
            {"name": "boot", "address": "10.0.0.1", "endpoint": "10.0.0.1:6443"},
            {"name": "cp-1", "address": "10.0.0.2", "endpoint": "10.0.0.2:6443"},
        ]
        assert SECRET not in json.dumps(found)

    @pytest.mark.parametrize("minion", ["cp-1", "m-9"])
    def test_secrets_go_to_masters(self, minion: str, directory: Path) -> None:
        found = pillar(minion, directory, observed("m-9", "10.0.0.9", roles.MASTER))
        assert found["metalk8s"]["secrets"] == {"sa_key": SECRET, "encryption": SECRET}
        assert json.dumps(found).count(SECRET) == 2, "and the key of no authority"
        assert "x509_signing_policies" not in found

    def test_etcd_node_needs_no_secret(self, directory: Path) -> None:
        assert (
            "secrets"
            not in pillar("e-9", directory, observed("e-9", "10.0.0.9", roles.ETCD))["metalk8s"]
        )

    def test_label_of_foreign_prefix_makes_no_master(self, directory: Path) -> None:
        item = observed(
            "w-9",
            "10.0.0.9",
            labels={"metalk8s.scality.com/master": "", "node-role.kubernetes.io/master-x": ""},
        )
        assert "secrets" not in pillar("w-9", directory, item)["metalk8s"]

    def test_policies_go_to_authority_and_cover_every_node(self, directory: Path) -> None:
        found = pillar("boot", directory, NODE)
        policies = found["x509_signing_policies"]
        assert {name.partition("/")[0] for name in policies} == {"boot", "cp-1", "w-1", "w-9"}
        assert {
            policy["minions"] for name, policy in policies.items() if name.startswith("w-9/")
        } == {"w-9"}
        assert "secrets" not in found["metalk8s"], "they are its own files"
        assert SECRET not in json.dumps(found)

    def test_api_server_certificates_name_service(self, directory: Path) -> None:
        names = pillar("boot", directory)["x509_signing_policies"]["cp-1/apiserver"][
            "subjectAltName"
        ]
        assert {"IP:10.96.0.1", "IP:10.0.0.2", "DNS:kubernetes.default.svc.cluster.local"} <= set(
            names
        )
        others = pillar("boot", directory)["x509_signing_policies"]["w-1/kubelet-server"][
            "subjectAltName"
        ]
        assert others == ["DNS:w-1", "IP:10.0.0.3"]

    def test_etcd_member_must_be_registered(self, directory: Path) -> None:
        data = pillar("w-1", directory, registered=["boot", "w-1"])["metalk8s"]
        assert [item["name"] for item in data["etcd_members"]] == ["boot"]
        assert [item["name"] for item in data["api_servers"]] == ["boot", "cp-1"]

    def test_pillar_before_authorities_exist(self, tmp_path: Path) -> None:
        data = pillar("cp-1", tmp_path)["metalk8s"]
        assert (data["authorities"], data["secrets"]) == ({}, {})


class TestCertificates:
    def test_the_places_of_its_own(self, directory: Path) -> None:
        found = pillar("w-1", directory)["metalk8s"]["certificates"]
        assert found == {
            name: f"/etc/kubernetes/pki/{name}" for name in ("kubelet-client", "kubelet-server")
        }
        assert (
            pillar("cp-1", directory)["metalk8s"]["certificates"]["etcd-peer"]
            == "/etc/kubernetes/pki/etcd/peer"
        )
        assert "admin" not in pillar("cp-1", directory)["metalk8s"]["certificates"]

    def test_certificate_days_may_be_fractions(self, directory: Path) -> None:
        cluster = {**CLUSTER, "certificate_days": 0.5}
        found = node_pillar.node_pillar("boot", cluster, hosts(), ["boot"], str(directory))[
            "x509_signing_policies"
        ]
        assert {policy["days_valid"] for policy in found.values()} == {0.5}

    def test_pillar_without_api_allows_renewal_and_holds_no_other_nodes(
        self, directory: Path
    ) -> None:
        whole = pillar("boot", directory)
        found = node_pillar.without_api(whole, "it is down")
        assert found["x509_signing_policies"] == whole["x509_signing_policies"]
        assert set(whole["metalk8s"]) - set(found["metalk8s"]) == {"api_servers", "etcd_members"}
        assert found["metalk8s"]["api_error"] == "it is down"
        assert "api_error" not in whole["metalk8s"]
