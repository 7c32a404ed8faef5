"""Render the role states and their templates for a cluster of either family.

Every address is a string of YAML, and a port follows brackets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pytest
import yaml

from tests.functional.sls_site import CLUSTER, Chunk, Site

SALT = Path(__file__).resolve().parents[2] / "salt"


@dataclass(frozen=True)
class Family:
    """The addresses of a cluster, and how they look with a port."""

    bootstrap: str
    node: str
    networks: dict[str, str]
    shown: str


FAMILIES = {
    "IPv4": Family(
        "10.200.0.10",
        "10.200.0.11",
        {"pod": "10.233.0.0/16", "service": "10.96.0.0/12", "dns": "10.96.0.10"},
        "{}",
    ),
    # YAML reads the second address as a number in base 60 unless it is quoted.
    "IPv6": Family(
        "fd00:200::10",
        "2001:1:2:3:4:5:6:7",
        {"pod": "fd00:233::/48", "service": "fd00:96::/112", "dns": "fd00:96::a"},
        "[{}]",
    ),
}
ROLES = {
    "cp-1": ("metalk8s.roles.minion", "metalk8s.roles.etcd,metalk8s.roles.master"),
    "bootstrap": ("metalk8s.roles.bootstrap",),
}


class Rendered:
    """The states of every minion of a cluster, and the text of their templates."""

    def __init__(self, family: Family, base: Path) -> None:
        self.family = family
        url = f"http://{family.shown.format(family.bootstrap)}:8080"
        cluster = {
            **CLUSTER,
            "bootstrap": {**CLUSTER["bootstrap"], "address": family.bootstrap},
            "networks": family.networks,
            "artifacts": {**CLUSTER["artifacts"], "url": url},
        }
        nodes = {"cp-1": {"profile": "control-plane", "address": family.node, "version": "2.0"}}
        self.site = Site(base, cluster, {"nodes": nodes})
        self.chunks: dict[str, list[Chunk]] = {}
        for minion, every in ROLES.items():
            found = self.site.call(minion, *(("state.show_low_sls", [sls], {}) for sls in every))
            for sls, chunks in zip(every, found, strict=True):
                assert all(isinstance(chunk, dict) for chunk in chunks), (sls, chunks)
                self.chunks.setdefault(minion, []).extend(chunks)

    def chunk(self, minion: str, identity: str) -> Chunk:
        return next(item for item in self.chunks[minion] if item["__id__"] == identity)

    def text(self, minion: str, identity: str) -> str:
        """Return what ``file.managed`` writes."""
        chunk = self.chunk(minion, identity)
        path = SALT / chunk["source"].removeprefix("salt://metalk8s/")
        environment = jinja2.Environment(extensions=["jinja2.ext.do"], autoescape=False)
        environment.filters["json"] = json.dumps
        environment.filters["yaml"] = lambda value, _: yaml.safe_dump(value)
        context = {**chunk["context"], "saltenv": "base"}
        return environment.from_string(path.read_text(encoding="utf-8")).render(context)


@pytest.fixture(scope="module", params=FAMILIES)
def rendered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rendered]:
    yield Rendered(FAMILIES[request.param], tmp_path_factory.mktemp("site"))


def test_api_proxy_lists_every_server_by_address_and_port(rendered: Rendered) -> None:
    family = rendered.family
    text = rendered.text("cp-1", "Configure the API proxy")
    for name, address in (("bootstrap", family.bootstrap), ("cp-1", family.node)):
        assert f"    server {name} {family.shown.format(address)}:6443\n" in text + "\n"


def test_minion_finds_master_of_its_family(rendered: Rendered) -> None:
    config = yaml.safe_load(rendered.text("cp-1", "Configure the minion"))
    assert config["master"] == rendered.family.bootstrap
    assert config["no_proxy"] == [rendered.family.bootstrap]
    assert config.get("ipv6", False) == (":" in rendered.family.bootstrap)


def test_etcd_states_get_addresses_as_text(rendered: Rendered) -> None:
    for identity in ("Add the etcd member as a learner", "Promote the etcd member"):
        chunk = rendered.chunk("cp-1", identity)
        assert chunk["address"] == rendered.family.node


def test_kubelet_reports_node_address(rendered: Rendered) -> None:
    unit = rendered.text("cp-1", "Install the kubelet's unit")
    assert f"--node-ip={rendered.family.node}\n" in unit


def test_api_server_is_probed_at_its_own_address(rendered: Rendered) -> None:
    pod = yaml.safe_load(rendered.text("cp-1", "Write the static Pod kube-apiserver"))
    container = pod["spec"]["containers"][0]
    assert f"--advertise-address={rendered.family.node}" in container["command"]
    assert (
        f"--service-cluster-ip-range={rendered.family.networks['service']}" in container["command"]
    )
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["host"] == rendered.family.node


def test_artifact_store_listens_where_hosts_download(rendered: Rendered) -> None:
    unit = rendered.text("bootstrap", "Install the artifact store's unit")
    assert f"--bind {rendered.family.bootstrap} --directory /srv/artifacts 8080\n" in unit
    source = rendered.chunk("cp-1", "Fetch salt-minion.tar")["source"]
    place = rendered.family.shown.format(rendered.family.bootstrap)
    assert source == f"http://{place}:8080/salt-minion.tar"


def test_host_forwards_packets_of_the_pod_network(rendered: Rendered) -> None:
    contents = rendered.chunk("cp-1", "Forward packets")["contents"].splitlines()
    both = ["net.ipv4.ip_forward = 1", "net.bridge.bridge-nf-call-iptables = 1"]
    sixth = ["net.ipv6.conf.all.forwarding = 1", "net.bridge.bridge-nf-call-ip6tables = 1"]
    assert contents == both + (sixth if ":" in rendered.family.node else [])
    check = rendered.chunk("cp-1", "Apply the kernel's settings")["done"]
    assert check.count("/proc/sys/") == len(contents)
    assert check.endswith(f'= "{" ".join(["1"] * len(contents))}"')


def test_pod_network_and_dns_are_of_the_family(rendered: Rendered) -> None:
    networks = rendered.family.networks
    flannel, proxy, dns = (
        list(yaml.safe_load_all(rendered.text("bootstrap", f"Write the add-on {name}")))
        for name in ("flannel", "kube-proxy", "coredns")
    )
    [settings] = [item for item in flannel if item["kind"] == "ConfigMap"]
    network = json.loads(settings["data"]["net-conf.json"])
    if ":" in networks["pod"]:
        assert (network["EnableIPv4"], network["EnableIPv6"]) == (False, True)
    assert network["IPv6Network" if ":" in networks["pod"] else "Network"] == networks["pod"]
    [settings] = [item for item in proxy if item["kind"] == "ConfigMap"]
    assert yaml.safe_load(settings["data"]["config.yaml"])["clusterCIDR"] == networks["pod"]
    [service] = [item for item in dns if item["kind"] == "Service"]
    assert service["spec"]["clusterIP"] == networks["dns"]


def test_flannel_finds_its_interface_by_the_address_of_the_host(rendered: Rendered) -> None:
    """The back end host-gw refuses an IPv6 address of ``--iface``."""
    objects = yaml.safe_load_all(rendered.text("bootstrap", "Write the add-on flannel"))
    [pods] = [item for item in objects if item["kind"] == "DaemonSet"]
    command = pods["spec"]["template"]["spec"]["containers"][0]["command"]
    is_ipv6 = ":" in rendered.family.networks["pod"]
    assert command[1:] == [
        "--ip-masq",
        "--kube-subnet-mgr",
        "--iface-regex=^$(HOST_IP)$" if is_ipv6 else "--iface=$(HOST_IP)",
    ]
