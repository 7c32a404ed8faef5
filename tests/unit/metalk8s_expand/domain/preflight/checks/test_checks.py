"""Each fault is found by its own check only; a missing fact is neither a pass nor a failure."""

from __future__ import annotations

import copy
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.preflight import findings, saltenv_lists
from metalk8s_expand.domain.preflight.checks import registry
from metalk8s_expand.domain.preflight.checks.context import CheckContext, FactUnknown
from metalk8s_expand.domain.preflight.cluster_facts import ClusterFacts, Endpoint, ExistingNode
from metalk8s_expand.domain.preflight.thresholds import Thresholds
from metalk8s_expand.domain.salt.fingerprint import fingerprint
from tests.unit.metalk8s_expand.domain.preflight.checks import hosts
from tests.unit.metalk8s_expand.domain.preflight.checks.hosts import (
    ADDRESS,
    MAC,
    MASTER_KEY,
    MINION_KEY,
    NAME,
    UUID,
    checks,
    found,
    host,
    other,
)

E, W, U = findings.ERROR, findings.WARNING, findings.UNKNOWN
ROOT = Path(__file__).resolve().parents[6]


def around(**changes: Any) -> ClusterFacts:
    return dataclasses.replace(hosts.SURROUNDINGS, **changes)


def existing(name: str, **changes: Any) -> ClusterFacts:
    """Return the cluster facts with one more Node."""
    return around(nodes={**hosts.SURROUNDINGS.nodes, name: ExistingNode(name, **changes)})


def place(path: str, **changes: Any) -> dict[str, Any]:
    return {f"directories|{path}": {**hosts.EXT4, **changes}}


CONTAINERD, KUBELET, ETCD = "/var/lib/containerd", "/var/lib/kubelet", "/var/lib/etcd"
TWO_APIS = around(endpoints=(Endpoint("api", "A", "10.200.0.10", 6443), Endpoint("api", "B", "10.200.0.12", 6443),
                             *hosts.SURROUNDINGS.endpoints[1:]))  # fmt: skip
NAMED = around(
    endpoints=(
        Endpoint("artifacts", "store", "store.example.com", 80),
        *hosts.SURROUNDINGS.endpoints[:3],
    )
)

# The lists of MetalK8s's saltenv for version 2.0, in the form of 134.
LISTS = saltenv_lists.parse(
    {
        "conflicting_services": ["firewalld"],
        "repo": {"conflicting_packages": {"docker": None, "docker-ce": None, "podman": ["3.4"]}, "port": 8080},
        "networks": {"listening_process_per_role": {
            "bootstrap": {"control_plane_ip:4505": {"expected": "salt-master"}},
            "master": {"control_plane_ip:6443": {"expected": "kube-apiserver"}, "127.0.0.1:7443": {"expected": "nginx"}},
            "node": {"control_plane_ip:9100": {"expected": "node_exporter"}, "127.0.0.1:9099": {"expected": "calico-node"},
                     "control_plane_ip:10250": {"expected": "kubelet"}},
        }},
    }
)  # fmt: skip
PLANES = {"control_plane": ("192.0.2.0/24", "10.200.0.0/24"), "workload_plane": ("10.150.0.0/24",)}
METALK8S = around(
    lists={"2.0": LISTS}, control_plane=("10.200.0.0/24",), workload_plane=("10.200.0.0/16",)
)


def metalk8s(changes: dict[str, Any], *node_roles: str) -> CheckContext:
    """Return a host that MetalK8s's saltenv deploys, by default a control-plane host."""
    node = hosts.node(node_roles=node_roles) if node_roles else None
    return host({"system": ROCKY["system"], **changes}, node=node, surroundings=METALK8S)


# A bare Rocky 8.10 as its installer leaves it, from facts about the system: no such host was run.
ROCKY: dict[str, Any] = {
    "system": {"id": "rocky", "version": "8.10"},
    "python": [3, 6, 8],
    "selinux": {"mode": "enforcing", "configured": "enforcing"},
    "services": {"firewalld": {"active": True, "enabled": True}},
    "cgroups": {"version": 1, "controllers": ["cpuset", "cpu", "cpuacct", "blkio", "memory", "devices", "freezer", "pids"]},
    "modules": {"overlay": "loadable", "br_netfilter": "loadable", "nf_conntrack": "loaded"},
    "sysctls|kernel.pid_max": "32768",
    "sysctl_files": [["/usr/lib/sysctl.d/50-pid-max.conf", "kernel.pid_max", "4194304"],
                     ["/usr/lib/sysctl.d/60-libvirtd.conf", "fs.aio-max-nr", "1048576"]],
    **place("/var/lib/containerd", type="xfs", ftype=True), **place("/var/lib/kubelet", type="xfs", ftype=True),
    **place("/var/lib/etcd", type="xfs", ftype=True),
    "swap": True,
}  # fmt: skip

# Check, severity, words of the finding, and a host with one fault.
FAULTS: list[tuple[str, str, str, CheckContext]] = [
    ("os", W, "debian 11", host({"system|version": "11"})),
    ("os", W, "debian of unknown version", host({"system|version": ""})),
    ("os", W, "arch", host({"system": {"id": "arch", "version": ""}})),
    ("os", W, "an unknown system", host({"system": {"id": "", "version": "1"}})),
    ("os", W, "debian 13", metalk8s({"system": {"id": "debian", "version": "13"}})),
    ("architecture", E, "riscv64", host({"architecture": "riscv64"})),
    ("python", E, "3.8.10", host({"python": [3, 8, 10]})),
    ("python", W, "3.6.8", host({"python": [3, 6, 8]}, surroundings=around(pre_flight="/etc/salt/ssh-preflight.sh"))),
    ("privilege", E, "uid 1000", host({"uid": 1000})),
    ("systemd", E, "another init system", host({"systemd": False})),
    ("clock", E, "+5.1 s from the master", host({"time": 1005.1})),
    ("clock", E, "-100.0 s from the master", host({"time": 900.0})),
    ("hostname", W, "localhost", host({"hostname": "localhost"})),
    ("hostname", E, "bootstrap, which is another node", host({"hostname": "bootstrap"})),
    ("hostname", E, "cp-2, which is another node", host({"hostname": "cp-2"}, others={"cp-2": other(12)})),
    ("hostname", E, "cp-2.example.com, which is another", host({"hostname": "cp-2.example.com"}, others={"cp-2": other(12)})),
    ("machine-id", E, "none", host({"machine_id": ""})),
    ("machine-id", E, "also on cp-2", host(others={"cp-2": other(12, {"machine_id": "a" * 32})})),
    ("machine-id", E, "also on bootstrap", host({"machine_id": "B" * 32})),
    ("product-uuid", E, "also on cp-2", host(others={"cp-2": other(12, {"product_uuid": UUID.upper()})})),
    ("product-uuid", E, "also on bootstrap", host({"product_uuid": "UUID-B"})),
    ("mac", E, "also on cp-2", host(others={"cp-2": other(12, {"interfaces|host0|mac": MAC.upper()})})),
    ("mac", E, "also on bootstrap", host({"interfaces|host0|mac": "52:54:00:00:00:10"})),
    ("address", E, "10.200.0.99", host({"addresses": ["10.200.0.99", "127.0.0.1"]})),
    ("address", E, "none", host({"addresses": ["127.0.0.1"]})),
    ("address", E, "also on cp-2", host(others={"cp-2": other(12, {"addresses": [ADDRESS, "10.200.0.12"]})})),
    ("address", E, "also on old", host(surroundings=existing("old", addresses=(ADDRESS,)))),
    ("swap", W, "on", host({"swap": True})),
    ("cgroups", E, "version 2 without memory", host({"cgroups|controllers": ["cpuset", "cpu", "pids"]})),
    ("cgroups", E, "version 1 without cpuset, pids", host({"cgroups": {"version": 1, "controllers": ["cpu", "memory"]}})),
    ("kernel-modules", E, "no br_netfilter", host({"modules|br_netfilter": "missing", "modules|overlay": None})),
    ("sysctls", E, "ip_forward = 0 in /etc/sysctl.d/99-hard.conf",
     host({"sysctl_files": [["/etc/sysctl.d/99-hard.conf", "net.ipv4.ip_forward", "0"]]})),
    ("sysctls", W, "max_user_instances = 16", host({"sysctls|fs.inotify.max_user_instances": "16"})),
    ("cpu", E, "1", host({"cpus": 1})),
    ("memory", E, "1699 MB", host({"memory_mb": 1699})),
    ("disk", E, "4999 MB free at /data for /var/lib/containerd", host(place(CONTAINERD, mount="/data", free_mb=4999))),
    ("disk", E, "/var/lib/etcd", host(place(ETCD, mount="/etcd", free_mb=10))),
    ("disk", E, "7 inodes", host(place(KUBELET, free_inodes=7))),
    ("filesystem", E, "nfs4 at /mnt", host(place(CONTAINERD, type="nfs4", mount="/mnt", free_mb=None))),
    ("filesystem", E, "overlay at /", host(place(CONTAINERD, type="overlay"))),
    ("filesystem", E, "fuse.sshfs", host(place(CONTAINERD, type="fuse.sshfs"))),
    ("filesystem", E, "ftype=0", host(place(CONTAINERD, type="xfs", ftype=False))),
    ("filesystem", E, "read-only: /etcd", host(place(ETCD, read_only=True, mount="/etcd"))),
    ("filesystem", W, "bcachefs", host(place(CONTAINERD, type="bcachefs"))),
    ("fsync", W, "10.1 ms", host({"fsync|p99_ms": 10.1})),
    ("fsync", E, "100.1 ms", host({"fsync|p99_ms": 100.1})),
    ("ports", E, "10250", host({"ports": [22, 10250]})),
    # If another process listens on 2379, it is unknown whether the members could reach etcd there.
    ("ports", E, "2379", host({"ports": [2379], "listen|2379|problem": "EADDRINUSE"},
                              inbound={"bootstrap": {2379: "connection refused", 2380: ""}})),
    ("packages", E, "containerd.io, docker-ce", host({"packages": ["containerd.io", "docker-ce"],
                                                      "services": {"docker": {"active": True, "enabled": True}}})),
    ("services", E, "firewalld runs", host({"services": {"firewalld": {"active": True, "enabled": True}}})),
    ("services", E, "docker runs", host({"services": {"docker": {"active": True, "enabled": False}}})),
    ("services", W, "ufw is enabled", host({"services": {"ufw": {"active": False, "enabled": True}}})),
    ("selinux", E, "enforcing", host({"selinux|mode": "enforcing"})),
    ("selinux", W, "until the next boot", host({"selinux": {"mode": "permissive", "configured": "enforcing"}})),
    ("sysctls", E, "ip_forward = 0 in /etc/sysctl.d/70-x.conf",
     metalk8s({"sysctl_files": [["/etc/sysctl.d/70-x.conf", "net.ipv4.ip_forward", "0"]]})),
    ("sysctls", E, "nf-call-ip6tables = 0",
     metalk8s({"sysctl_files": [["/etc/sysctl.d/70-x.conf", "net.bridge.bridge-nf-call-ip6tables", "0"]]})),
    ("ports", E, "6443 (haproxy)", metalk8s({"ports": [22, 6443], "listeners": [["0.0.0.0", 6443, "haproxy"]]})),
    ("ports", E, "9100 (an unknown process)", metalk8s({"ports": [9100], "listeners": [[ADDRESS, 9100, ""]]}, roles.NODE)),
    ("ports", E, "9099 (nginx)", metalk8s({"ports": [9099], "listeners": [["::", 9099, "nginx"]]}, roles.NODE)),
    # Not in the list of a worker, but the deployment's own proxy needs it.
    ("ports", E, "7443", metalk8s({"ports": [7443], "listeners": []}, roles.NODE)),
    ("packages", E, "docker-ce", metalk8s({"packages": ["docker-ce"]})),
    ("packages", W, "podman is installed", metalk8s({"packages": ["podman"]})),
    ("services", E, "firewalld runs", metalk8s({"services": {"firewalld": {"active": True, "enabled": True}}})),
    ("services", E, "firewalld is enabled", metalk8s({"services": {"firewalld": {"active": False, "enabled": True}}})),
    ("services", W, "k3s runs", metalk8s({"services": {"k3s": {"active": True, "enabled": True}}})),
    ("network", E, f"{ADDRESS} inside the Pod network", host(surroundings=around(pod_cidr="10.200.0.0/16"))),
    ("network", E, f"{ADDRESS} is IPv4, but the Pod network fd00:233::/48 is IPv6",
     host(surroundings=around(pod_cidr="fd00:233::/48"))),
    ("network", W, "10.96.7.7 inside the Service", host({"interfaces|eth1": {"mac": "", "addresses": ["10.96.7.7"]}})),
    ("planes", E, "no address in the workload plane (10.150.0.0/24)", host(surroundings=around(**PLANES))),
    ("planes", E, "no address in the control plane (192.0.2.0/24)",
     host(surroundings=around(control_plane=("192.0.2.0/24",), workload_plane=("10.200.0.0/24",)))),
    ("planes", E, f"{ADDRESS} is declared and is not in the control plane (10.7.0.0/24)",
     host({"interfaces|eth1": {"mac": "", "addresses": ["10.7.0.5"]}}, surroundings=around(control_plane=("10.7.0.0/24",)))),
    ("planes", W, f"{ADDRESS}, 10.200.0.99 are all in the control plane",
     metalk8s({"interfaces|eth1": {"mac": "", "addresses": ["10.200.0.99"]}})),
    ("route", E, "none to 10.96.0.0/12: no route to the network", host({"route": "no route to the network"})),
    ("dns", E, "store.example.com: the name does not resolve",
     host({"resolve": {"store.example.com": "the name does not resolve"}, "connections|store.example.com:80": None},
          surroundings=NAMED)),
    ("dns", E, "no answer in time", host({"resolve": {"store.example.com": None}}, surroundings=NAMED)),
    ("dns", E, "no answer from 10.200.0.53", host({"name_servers": {"10.200.0.53": False}})),
    ("dns", W, "no answer from 10.0.0.1", host({"name_servers": {"10.200.0.53": True, "10.0.0.1": False}})),
    ("api", E, "API server of bootstrap 10.200.0.10:6443: no answer", host({"connections|10.200.0.10:6443": "no answer"})),
    ("api", W, "B 10.200.0.12:6443", host({"connections|10.200.0.12:6443": "no answer"}, surroundings=TWO_APIS)),
    ("artifacts", E, "8080: connection refused", host({"connections|10.200.0.10:8080": "connection refused"})),
    ("salt-master", E, "4506: no answer", host({"connections|10.200.0.10:4506": "no answer"})),
    ("etcd-peers", E, "bootstrap 10.200.0.10:2380: no answer", host({"connections|10.200.0.10:2380": "no answer"})),
    ("etcd-inbound", E, "from bootstrap to 2380: no answer", host(inbound={"bootstrap": {2379: "", 2380: "no answer"}})),
    ("etcd-inbound", E, "from cp-2 to 2380: no answer",
     host(others={"cp-2": other(12, {f"connections|{ADDRESS}:2379": "", f"connections|{ADDRESS}:2380": "no answer"})})),
    ("leftovers", E, "/var/lib/etcd/member", host({"leftovers": ["/var/lib/etcd/member"]})),
    ("leftovers", E, "of the minion w-7", host({"leftovers": ["/etc/salt/pki/minion/minion.pem"], "minion_id": "w-7"})),
    ("leftovers", E, "/etc/kubernetes/pki", host({"leftovers": ["/etc/kubernetes/pki"], "minion_id": NAME, "master_key": "xx"},
                                                 surroundings=around(master_key=fingerprint(MASTER_KEY)))),
    ("stale-node", E, "is the machine " + "c" * 32, host(surroundings=existing(NAME, machine_id="c" * 32, deployed=True))),
    ("stale-node", E, "this host has no key", host(surroundings=around(keys={NAME: fingerprint(MINION_KEY)}))),
    ("stale-node", E, "this host's key is", host({"minion_key": "other", "minion_id": NAME}, surroundings=around(keys={NAME: "ab:cd"}))),
    ("version", E, "2.0", host(surroundings=around(version="2.1"))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "severity", "words", "faulty"),
    FAULTS,
    ids=[f"{check}: {words}" for check, _, words, _ in FAULTS],
)
def test_fault_is_found_by_its_own_check_only(
    check: str, severity: str, words: str, faulty: CheckContext
) -> None:
    [finding] = found(faulty)
    assert (finding.node, finding.check, finding.severity) == (NAME, check, severity)
    assert words in finding.found
    assert finding.wanted
    assert finding.remedy
    assert (
        str(finding)
        == f"node {NAME}: {check}: found {finding.found}, wanted {finding.wanted}; {finding.remedy}"
    )


def test_faults_cover_every_check() -> None:
    assert {check for check, *_ in FAULTS} == set(findings.NAMES)


@pytest.mark.parametrize(("check", "severity", "words", "faulty"), FAULTS[::3])
def test_check_is_skipped_by_name(
    check: str, severity: str, words: str, faulty: CheckContext
) -> None:
    assert findings.findings([faulty], lambda name: {check}) == []
    assert findings.findings([faulty], lambda name: set(findings.NAMES) - {check}) != []


GOOD: list[Any] = [
    pytest.param(host(), id="a control-plane host"),
    pytest.param(host(node=hosts.node(node_roles=(roles.NODE,)), changes={"fsync": None, "listen": None}), id="a worker"),
    pytest.param(host(node=hosts.node(node_roles=hosts.ALL_ROLES)), id="all roles"),
    pytest.param(host({"python": [3, 9, 0]}), id="the oldest python"),
    pytest.param(host({"architecture": "aarch64"}), id="arm"),
    pytest.param(host({"interfaces|host0|mac": ""}), id="an interface without a MAC"),
    pytest.param(host({"name_servers": {}}, hosts.node(node_roles=(roles.NODE,))), id="no name server, and no CoreDNS"),
    pytest.param(host({"product_uuid": None}, others={"cp-2": other(12, {"product_uuid": None})},
                      surroundings=around(nodes={"bootstrap": ExistingNode("bootstrap", machine_id="b" * 32, product_uuid="B" * 32)})),
                 id="a firmware without a UUID, as those of all hosts"),
    pytest.param(host({"system": {"id": "ubuntu", "version": "22.04"}}), id="ubuntu"),
    pytest.param(host({"system": {"id": "rocky", "version": "8.10"}}), id="rocky"),
    pytest.param(host({"interfaces|eth1": {"mac": "", "addresses": ["10.150.0.5"]}}, surroundings=around(**PLANES)), id="an address in each plane"),
    pytest.param(host({"interfaces|eth1": {"mac": "", "addresses": ["10.200.0.99"]}}, surroundings=around(control_plane=("10.200.0.0/24",))),
                 id="two control-plane addresses without MetalK8s"),
    pytest.param(metalk8s({"packages": ["containerd.io", "kubelet"], "services": {"containerd": {"active": True, "enabled": True}}}),
                 id="packages of MetalK8s"),
    pytest.param(metalk8s({"ports": [9100], "listeners": [["0.0.0.0", 9100, "node_exporter"]]}), id="the process that MetalK8s expects"),
    pytest.param(metalk8s({"ports": [9100], "listeners": [["192.0.2.1", 9100, "nginx"]]}), id="a port at another address"),
    pytest.param(metalk8s({"ports": [4505], "listeners": []}), id="a port of the bootstrap node"),
    pytest.param(metalk8s({"selinux": {"mode": "enforcing", "configured": "enforcing"}}), id="SELinux on MetalK8s"),
    pytest.param(metalk8s({"sysctl_files": [["/usr/lib/sysctl.d/50-x.conf", "net.ipv4.ip_forward", "0"]]}), id="undone by MetalK8s"),
    pytest.param(host({"hostname": "CP-1.example.com"}), id="a full host name"),
    pytest.param(host({"hostname": "cp-1"}, node=hosts.node("cp-1.example.com")), id="a node with a domain"),
    pytest.param(host({"time": 1005.0}), id="5 s ahead"),
    pytest.param(host({"time": 995.0}), id="5 s behind"),
    pytest.param(host(others={"cp-2": other(12)}), id="another host beside it"),
    pytest.param(host({"interfaces|bmc0": {"mac": "b0:3a:f2:b6:05:9f", "addresses": []}},
                      others={"cp-2": other(12, {"interfaces|bmc0": {"mac": "b0:3a:f2:b6:05:9f", "addresses": []}})}),
                 id="the same management controller"),
    pytest.param(host(surroundings=existing(NAME, addresses=(ADDRESS,), machine_id="a" * 32, deployed=True)), id="its own Node"),
    pytest.param(host(surroundings=existing(NAME)), id="its own Node, registered only"),
    pytest.param(host({"memory_mb": 1700}), id="just enough memory"),
    pytest.param(host(place(CONTAINERD, free_mb=5000)), id="just enough disk"),
    pytest.param(host(place(CONTAINERD, type="btrfs", free_inodes=None)), id="a file system without inodes"),
    pytest.param(host(place(CONTAINERD, type="xfs", ftype=True)), id="xfs"),
    pytest.param(host({"fsync|p99_ms": 10.0}), id="just fast enough"),
    pytest.param(host({"ports": [22, 10257]}, node=hosts.node(node_roles=(roles.NODE,))), id="ports of other roles"),
    pytest.param(host({"sysctl_files": [["/usr/lib/sysctl.d/50-x.conf", "net.ipv4.ip_forward", "0"]]}), id="undone by ours"),
    pytest.param(host({"sysctl_files": [["/etc/sysctl.d/99-x.conf", "net.ipv4.ip_forward", "1"]]}), id="set twice"),
    pytest.param(host({"interfaces|cni0": {"mac": "", "addresses": ["10.233.1.1"]}}), id="a Pod network's own interface"),
    pytest.param(host({"leftovers": ["/etc/cni/net.d/87-podman-bridge.conflist"]}), id="podman's network"),
    pytest.param(host({"services": {"firewalld": {"active": False, "enabled": False}}}), id="a firewall that is off"),
    pytest.param(host({"selinux": {"mode": "permissive", "configured": "permissive"}}), id="permissive"),
    pytest.param(host({"listen|2380|heard": ["10.200.0.10"]}, inbound={"bootstrap": {2379: ""}}), id="heard, not asked"),
    pytest.param(host(others={"cp-2": other(12, {f"connections|{ADDRESS}:2380": ""})}), id="heard by another new one"),
    pytest.param(host(surroundings=around(keys={NAME: fingerprint(MINION_KEY)}), changes={"minion_key": MINION_KEY}), id="its key"),
]  # fmt: skip


@pytest.mark.parametrize("good", GOOD)
def test_good_host_has_no_finding(good: CheckContext) -> None:
    assert found(good) == []


def test_bare_rocky_8_lacks_what_its_operator_must_change() -> None:
    surroundings = dataclasses.replace(METALK8S, pre_flight="/etc/salt/ssh-preflight.sh")
    faulty = host(ROCKY, surroundings=surroundings)
    assert checks(faulty) == [("python", W), ("swap", W), ("services", E)]
    ready = {**ROCKY, "services": {}, "swap": False}
    assert checks(host(ready, surroundings=surroundings)) == [("python", W)]


RESUMED = {
    "minion_id": NAME, "minion_key": MINION_KEY, "master_key": MASTER_KEY, "ports": [22, 2379, 2380, 6443, 10250, 7443], "listen": {},
    "leftovers": ["/etc/kubernetes/pki", "/var/lib/etcd/member", "/etc/salt/pki/minion/minion.pem", "/etc/cni/net.d/10-flannel.conflist"],
    "packages": ["kubelet"], "services": {"kubelet": {"active": True, "enabled": True}, "containerd": {"active": True, "enabled": True}},
    "interfaces|cni0": {"mac": "0a:00:00:00:00:01", "addresses": ["10.233.1.1"]},
}  # fmt: skip


@pytest.mark.parametrize("known", ["", fingerprint(MASTER_KEY)])
def test_resumed_host_has_no_finding(known: str) -> None:
    assert (
        found(
            host(
                RESUMED,
                inbound={"bootstrap": {2379: "connection refused"}},
                surroundings=around(master_key=known),
            )
        )
        == []
    )


def test_host_of_other_cluster_with_same_name_is_not_resumed() -> None:
    faulty = host(RESUMED, surroundings=around(master_key="of:another"))
    assert {check for check, _ in checks(faulty)} == {"ports", "packages", "services", "leftovers"}


def test_foreign_runtime_on_resumed_host_is_found() -> None:
    assert checks(host({**RESUMED, "services": {"k3s": {"active": True, "enabled": True}}})) == [
        ("services", E)
    ]


FACTS_OF: dict[str, str] = {
    "os": "system", "architecture": "architecture", "python": "python", "privilege": "uid", "systemd": "systemd", "clock": "time",
    "hostname": "hostname", "machine-id": "machine_id", "product-uuid": "product_uuid", "swap": "swap", "cgroups": "cgroups",
    "kernel-modules": "modules", "cpu": "cpus", "memory": "memory_mb", "fsync": "fsync", "ports": "ports", "packages": "packages",
    "services": "services", "selinux": "selinux", "route": "route", "etcd-inbound": "listen", "leftovers": "leftovers",
}  # fmt: skip


@pytest.mark.parametrize(("check", "fact"), FACTS_OF.items())
def test_missing_fact_is_unknown(check: str, fact: str) -> None:
    [finding] = found(host({fact: None}))
    assert (finding.check, finding.severity) == (check, U)
    assert fact in finding.found
    assert f"preflight:skip: {check}" in finding.remedy


UNKNOWN: list[tuple[list[str], CheckContext]] = [
    (["mac", "network"], host({"interfaces": None})),
    (["mac"], host({"interfaces|host0|addresses": []})),
    (["mac", "address"], host({"addresses": None, "interfaces|host0|addresses": []})),
    (["sysctls"], host({"sysctl_files": None})),
    (["sysctls"], host({"sysctls": None})),
    (["disk", "filesystem"], host({"directories": None})),
    (["disk", "filesystem"], host({"directories|/var/lib/kubelet": None})),
    (["filesystem"], host(place(CONTAINERD, type="xfs", ftype=None))),
    (["kernel-modules"], host({"modules|overlay": None})),
    (["fsync"], host({"fsync": {"path": "/", "problem": "EIO"}})),
    (["dns"], host({"name_servers": {}}, hosts.node(node_roles=(roles.INFRA,)))),
    (["dns"], host({"name_servers": None})),
    (["api", "artifacts", "salt-master", "etcd-peers"], host({"connections": None})),
    (["api"], host({"connections|10.200.0.10:6443": None})),
    (["etcd-peers"], host({"connections|10.200.0.10:2379": None})),
    (["etcd-inbound"], host(inbound={})),
    (["etcd-inbound"], host({"listen|2379|problem": "EPERM"})),
    (["etcd-inbound"], host(others={"cp-2": other(12, {f"connections|{ADDRESS}:2380": None})})),
    (["etcd-peers", "etcd-inbound"], host(surroundings=around(etcd_peers={NAME: ADDRESS}))),
    (["network", "route"], host(surroundings=around(pod_cidr=None, service_cidr=None))),
    (["api", "artifacts", "salt-master"], host(surroundings=around(endpoints=()))),
    (["version"], host(surroundings=around(version=""))),
    (["planes"], host({"system": ROCKY["system"]}, surroundings=around(lists={"2.0": LISTS}))),
    (["stale-node"], host(surroundings=existing(NAME, deployed=True))),
]


@pytest.mark.parametrize(("names", "silent"), UNKNOWN)
def test_incomplete_facts_are_unknown(names: list[str], silent: CheckContext) -> None:
    assert checks(silent) == [(name, U) for name in names]


def test_minion_key_that_only_root_can_read_is_unknown() -> None:
    faulty = host({"uid": 1000}, surroundings=around(keys={NAME: "ab:cd"}))
    assert checks(faulty) == [("privilege", E), ("stale-node", U)]


@pytest.mark.parametrize("problem", ["ENOSPC", "EROFS", "EACCES"])
def test_fsync_problem_of_other_check_is_not_reported(problem: str) -> None:
    assert found(host({"fsync": {"path": "/", "problem": problem}})) == []


def test_address_of_other_host_is_reported_once() -> None:
    faulty = host({"addresses": ["10.200.0.99"], "listen|2379|problem": "EADDRNOTAVAIL", "listen|2380|problem": "EADDRNOTAVAIL",
                   "interfaces|host0|addresses": ["10.200.0.99"]}, inbound={"bootstrap": {2379: "no answer", 2380: "no answer"}})  # fmt: skip
    assert checks(faulty) == [("address", E)]


def test_new_peer_without_outbound_connections_is_reported_alone() -> None:
    """The firewall of cp-2 blocks outgoing connections to 2380, so cp-1 is not at fault."""
    inbound = {f"connections|{ADDRESS}:2379": "", f"connections|{ADDRESS}:2380": "no answer"}
    second = other(12, {**inbound, "connections|10.200.0.10:2380": "no answer", "hostname": "cp-2"})
    first = host(others={"cp-2": second})
    faulty = CheckContext(
        hosts.node("cp-2", address="10.200.0.12"),
        second,
        {NAME: first.facts},
        hosts.NOW,
        hosts.SURROUNDINGS,
        hosts.INBOUND,
    )
    assert [(item.node, item.check) for item in found(first, faulty)] == [("cp-2", "etcd-peers")]


def test_unreachable_new_peer_causes_no_finding_on_other_hosts() -> None:
    """Without SSH to the new peer, there are no connections from it or to it."""
    assert (
        found(
            host(
                {
                    "connections|10.200.0.12:2379": "no answer",
                    "connections|10.200.0.12:2380": "no answer",
                }
            )
        )
        == []
    )


@pytest.mark.parametrize(("address", "name"), [(ADDRESS, "cp-9"), ("10.200.0.12", "cp-2")])
def test_host_needs_no_connection_to_itself(address: str, name: str) -> None:
    own = around(endpoints=(*hosts.SURROUNDINGS.endpoints, Endpoint("api", "own", address, 6443)))
    reached = {"connections|10.200.0.12:6443": ""}
    assert found(host(reached, surroundings=own)) == []


def test_clones_are_both_reported() -> None:
    first, second = host(), hosts.node("cp-2", address="10.200.0.12")
    twin = other(12, {"machine_id": "a" * 32, "hostname": "cp-2"})
    both = found(
        dataclasses.replace(first, others={"cp-2": twin}),
        CheckContext(
            second, twin, {NAME: first.facts}, hosts.NOW, hosts.SURROUNDINGS, hosts.INBOUND
        ),
    )
    assert [(item.node, item.check) for item in both] == [
        (NAME, "machine-id"),
        ("cp-2", "machine-id"),
    ]


def fleet(*skews: float) -> list[CheckContext]:
    """Return workers with these clock skews, which report their facts 100 s apart."""
    made = []
    for index, skew in enumerate(skews):
        node = hosts.node(f"host-{20 + index}", (roles.NODE,), f"10.200.0.{20 + index}")
        now = hosts.NOW + index * 100
        made.append(
            CheckContext(node, other(20 + index, {"time": now + skew}), {}, now, hosts.SURROUNDINGS)
        )
    return made


@pytest.mark.parametrize(
    ("skews", "wrong"),
    [
        ((0.0, 1.0, 2.0), []),
        ((0.0, 0.0, 30.0), ["host-22"]),
        ((0.0, 30.0), ["host-21"]),
        ((0.0, 30.0, 30.0), ["host-21", "host-22"]),
        # Both are within the limit of the master's clock, but not of each other's.
        ((4.0, -4.0), ["host-20"]),
        # The last host is within the limit of the master's clock, but not of the other hosts'.
        ((4.0, 4.0, -4.0), ["host-22"]),
        # The master's clock differs from all hosts.
        ((30.0, 30.0, 30.0), ["host-20", "host-21", "host-22"]),
    ],
)
def test_clocks_are_compared_with_master_and_with_each_other(
    skews: tuple[float, ...], wrong: list[str]
) -> None:
    told = [item for item in found(*fleet(*skews)) if item.severity != U]
    assert [(item.node, item.check) for item in told] == [(name, "clock") for name in wrong]


def test_master_clock_that_differs_from_all_hosts_is_recognizable() -> None:
    assert "+30.0 s from the master, +0.0 s from the median" in found(*fleet(30.0, 30.0))[0].found


@pytest.mark.parametrize(
    ("check", "changes", "thresholds"),
    [
        ("clock", {"time": 1004.0}, {"clock_skew_s": 3}),
        ("cpu", {}, {"cpus": {roles.ETCD: 3}}),
        ("memory", {}, {"memory_mb": {roles.MASTER: 4001}}),
        ("disk", {}, {"disk_mb": {roles.MASTER: 50_001}}),
        ("disk", {}, {"disk_inodes": 3_000_001}),
        ("fsync", {}, {"fsync_warning_ms": 1}),
        ("fsync", {}, {"fsync_warning_ms": 1, "fsync_error_ms": 1}),
    ],
)
def test_threshold_changes_result_of_its_check(
    check: str, changes: dict[str, Any], thresholds: dict[str, Any]
) -> None:
    [finding] = found(host(changes, thresholds=Thresholds(**thresholds)))
    assert finding.check == check


def test_checks_of_other_roles_are_not_run() -> None:
    worker = hosts.node(node_roles=(roles.NODE,))
    slow = {
        "fsync|p99_ms": 5000.0,
        "cpus": 1,
        "memory_mb": 900,
        "ports": [2379, 6443],
        **place(ETCD, free_mb=1),
    }
    assert (
        found(host({**slow, "connections|10.200.0.10:2379": "no answer"}, node=worker, inbound={}))
        == []
    )


def test_full_mount_is_reported_once() -> None:
    small = {path: {**hosts.EXT4, "free_mb": 1} for path in (CONTAINERD, KUBELET, ETCD)}
    [finding] = found(host({"directories": small}))
    assert finding.found.count("1 MB free at /") == 1


def test_exception_in_check_does_not_stop_other_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    def swap(host: CheckContext) -> None:
        raise KeyError("oops")

    monkeypatch.setitem(findings.CHECKS, "swap", swap)  # type: ignore[arg-type]
    faults = found(host({"uid": 5}))
    assert [(item.check, item.severity) for item in faults] == [("privilege", E), ("swap", E)]
    assert "KeyError('oops')" in faults[1].found
    assert "preflight:skip: swap" in faults[1].remedy


@pytest.mark.parametrize("nonsense", ["a text", 5, [1], {"x": {}}, {}])
@pytest.mark.parametrize("fact", sorted(hosts.FACTS))
def test_malformed_fact_raises_no_exception(fact: str, nonsense: Any) -> None:
    """The checks return findings or none, but raise no exception."""
    assert all(item.remedy for item in found(host({fact: nonsense})))


def test_host_without_facts_has_only_unknown_findings() -> None:
    told = findings.findings([CheckContext(hosts.node(), {}, {}, 0.0)])
    assert {item.severity for item in told} == {U}
    # Some checks do not apply without facts of the cluster.
    assert len(told) >= len(findings.NAMES) - 3


def test_check_is_skipped_on_named_node_only() -> None:
    second = CheckContext(
        hosts.node("host-12", address="10.200.0.12"),
        other(12, {"uid": 5}),
        {},
        hosts.NOW,
        hosts.SURROUNDINGS,
        hosts.INBOUND,
    )
    told = findings.findings(
        [host({"uid": 5}), second], lambda name: {"privilege"} if name == NAME else ()
    )
    assert [(item.node, item.check) for item in told] == [("host-12", "privilege")]


def test_findings_of_all_hosts_are_in_order() -> None:
    assert checks(host({"uid": 5, "cpus": 1, "systemd": False}), host({"selinux|mode": "enforcing"})) == [
        ("privilege", E), ("systemd", E), ("cpu", E), ("selinux", E),
    ]  # fmt: skip


def test_errors_leave_out_warnings_and_unknown_facts() -> None:
    told = found(host({"uid": 5, "swap": True, "selinux": None}))
    assert [item.severity for item in told] == [E, W, U]
    assert [item.check for item in findings.errors(told)] == ["privilege"]


def test_finding_as_dict_has_all_fields() -> None:
    [finding] = found(host({"uid": 5}))
    assert finding.as_dict() == {
        "node": NAME, "check": "privilege", "found": "uid 5", "wanted": "uid 0",
        "remedy": "set ssh:sudo to true, or ssh:user to root", "severity": "error",
    }  # fmt: skip


def test_second_check_of_same_name_is_refused() -> None:
    def disk(host: CheckContext) -> None:
        raise FactUnknown("never called")

    with pytest.raises(ValueError, match="two preflight checks are called disk"):
        registry.check(disk)


def test_documentation_has_place_of_every_check() -> None:
    text = (ROOT / "docs/troubleshooting/preflight.rst").read_text(encoding="utf-8")
    assert re.findall(r"^\.\. check:: ([a-z-]+)$", text, re.M) == list(findings.NAMES)


def test_500_hosts_and_5000_nodes_are_compared_by_index() -> None:
    """The index compares every host with every other one without a loop over all pairs."""
    nodes = {f"n-{index}": ExistingNode(f"n-{index}", (f"10.1.{index // 250}.{index % 250}",), f"{index:032x}", "", (), "2.0", True)
             for index in range(5000)}  # fmt: skip
    surroundings = around(nodes=nodes)
    made = [CheckContext(hosts.node(f"w-{index}", (roles.NODE,), f"10.2.{index // 250}.{index % 250}"),
                 other(20, {"machine_id": f"m{index}", "product_uuid": f"u{index}"}), {}, hosts.NOW, surroundings)
            for index in range(500)]  # fmt: skip
    twins = [item for item in found(*made) if item.check == "machine-id"]
    assert twins == []


V6 = "fd00:200::11"
V6_AROUND = around(
    pod_cidr="fd00:233::/48",
    service_cidr="fd00:96::/112",
    etcd_peers={"bootstrap": "fd00:200::10"},
    endpoints=tuple(
        Endpoint(check, title, "fd00:200::10", port)
        for check, title, port in (
            ("api", "API server of bootstrap", 6443),
            ("artifacts", "artifact store", 8080),
            ("salt-master", "Salt master", 4505),
            ("salt-master", "Salt master", 4506),
        )
    ),
)
V6_FACTS = {
    "interfaces|host0|addresses": [V6, "fe80::1", "10.200.0.11"],
    "addresses": [V6, "::1", "fe80::1", "10.200.0.11"],
    "connections": {f"[fd00:200::10]:{port}": "" for port in (6443, 8080, 4505, 4506, 2379, 2380)},
}


def v6(**changes: Any) -> CheckContext:
    """Return a good host of an IPv6 control-plane network, with changed facts."""
    return host(
        {**copy.deepcopy(V6_FACTS), **changes}, hosts.node(address=V6), surroundings=V6_AROUND
    )


def test_host_of_ipv6_network_passes_every_check() -> None:
    assert found(v6()) == []


@pytest.mark.parametrize(
    ("check", "words", "faulty"),
    [
        ("api", "bootstrap [fd00:200::10]:6443: no answer",
         v6(**{"connections|[fd00:200::10]:6443": "no answer"})),
        ("artifacts", "[fd00:200::10]:8080: no answer",
         v6(**{"connections|[fd00:200::10]:8080": "no answer"})),
        ("salt-master", "[fd00:200::10]:4506: no answer",
         v6(**{"connections|[fd00:200::10]:4506": "no answer"})),
        ("etcd-peers", "bootstrap [fd00:200::10]:2380: no answer",
         v6(**{"connections|[fd00:200::10]:2380": "no answer"})),
        ("address", "10.200.0.11", v6(addresses=["::1", "fe80::1", "10.200.0.11"])),
    ],
)  # fmt: skip
def test_fault_of_ipv6_host_is_found(check: str, words: str, faulty: CheckContext) -> None:
    [finding] = [item for item in found(faulty) if item.check == check]
    assert words in finding.found
