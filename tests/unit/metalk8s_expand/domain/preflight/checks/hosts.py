"""Facts of a host that passes every check, and functions that change single facts."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.preflight import findings
from metalk8s_expand.domain.preflight.cluster_facts import ClusterFacts, Endpoint, ExistingNode
from metalk8s_expand.domain.preflight.findings import CheckContext, Finding
from metalk8s_expand.domain.preflight.thresholds import Thresholds

NAME, ADDRESS, MAC = "cp-1", "10.200.0.11", "52:54:00:00:00:11"
UUID = "4c4c4544-0031-3010-8051-b4c04f4d3232"
NOW = 1000.0
ALL_ROLES = (roles.MASTER, roles.ETCD, roles.INFRA, roles.NODE)
EXT4 = {
    "mount": "/",
    "type": "ext4",
    "read_only": False,
    "free_mb": 50_000,
    "free_inodes": 3_000_000,
}
MASTER_KEY = "-----BEGIN PUBLIC KEY-----\nbWFzdGVy\n-----END PUBLIC KEY-----"
MINION_KEY = "-----BEGIN PUBLIC KEY-----\nbWluaW9u\n-----END PUBLIC KEY-----"

FACTS: dict[str, Any] = {
    "python": [3, 13, 5],
    "architecture": "x86_64",
    "system": {"id": "debian", "version": "13"},
    "hostname": NAME,
    "uid": 0,
    "machine_id": "a" * 32,
    "product_uuid": UUID,
    "interfaces": {
        "lo": {"mac": "00:00:00:00:00:00", "addresses": ["127.0.0.1", "::1"]},
        "host0": {"mac": MAC, "addresses": [ADDRESS, "fe80::1"]},
    },
    "addresses": [ADDRESS, "127.0.0.1", "::1", "fe80::1"],
    "route": "",
    "cpus": 2,
    "memory_mb": 4_000,
    "swap": False,
    "systemd": True,
    "cgroups": {"version": 2, "controllers": ["cpuset", "cpu", "io", "memory", "pids"]},
    "modules": {"overlay": "loaded", "br_netfilter": "loadable", "nf_conntrack": "builtin"},
    "sysctls": {
        "net.ipv4.ip_forward": "0",
        "net.bridge.bridge-nf-call-iptables": None,
        "fs.inotify.max_user_instances": "128",
        "fs.inotify.max_user_watches": "192536",
        "kernel.pid_max": "4194304",
    },
    "sysctl_files": [["/usr/lib/sysctl.d/50-pid-max.conf", "kernel.pid_max", "4194304"]],
    "selinux": {"mode": "disabled", "configured": ""},
    "directories": {"/var/lib/containerd": EXT4, "/var/lib/kubelet": EXT4, "/var/lib/etcd": EXT4},
    "leftovers": [],
    "minion_id": None,
    "minion_key": None,
    "master_key": None,
    "ports": [22],
    "listeners": [],
    "connections": {
        "10.200.0.10:6443": "",
        "10.200.0.10:4505": "",
        "10.200.0.10:4506": "",
        "10.200.0.10:8080": "",
        "10.200.0.10:2379": "",
        "10.200.0.10:2380": "",
    },
    "listen": {"2379": {"problem": "", "heard": []}, "2380": {"problem": "", "heard": []}},
    "resolve": {},
    "name_servers": {"10.200.0.53": True},
    "fsync": {"path": "/var/lib", "problem": "", "writes": 500, "p99_ms": 2.0},
    "packages": [],
    "services": {},
    "elapsed": 0.1,
    "time": NOW,
}

SURROUNDINGS = ClusterFacts(
    nodes={
        "bootstrap": ExistingNode(
            "bootstrap", ("10.200.0.10",), "b" * 32, "uuid-b", ("52:54:00:00:00:10",), "2.0", True
        )
    },
    endpoints=(
        Endpoint("api", "API server of bootstrap", "10.200.0.10", 6443),
        Endpoint("salt-master", "Salt master, publisher", "10.200.0.10", 4505),
        Endpoint("salt-master", "Salt master, requests", "10.200.0.10", 4506),
        Endpoint("artifacts", "artifact store", "10.200.0.10", 8080),
    ),
    etcd_peers={"bootstrap": "10.200.0.10"},
    version="2.0",
    pod_cidr="10.233.0.0/16",
    service_cidr="10.96.0.0/12",
)
INBOUND: Mapping[str, Mapping[int, str]] = {"bootstrap": {2379: "", 2380: ""}}


def node(
    name: str = NAME,
    node_roles: tuple[str, ...] = (roles.MASTER, roles.ETCD),
    address: str = ADDRESS,
) -> Node:
    return Node(name, "2.0", node_roles, (), address=address)


def facts(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the facts of the good host with these changes.

    A path such as ``selinux|mode`` names a nested value.
    """
    found = copy.deepcopy(FACTS)
    for path, value in (changes or {}).items():
        place: Any = found
        *parents, last = path.split("|")
        for parent in parents:
            place = place[parent]
        place[last] = value
    return found


def host(
    changes: Mapping[str, Any] | None = None,
    node: Node | None = None,
    others: Mapping[str, Mapping[str, Any]] | None = None,
    surroundings: ClusterFacts = SURROUNDINGS,
    inbound: Mapping[str, Mapping[int, str]] = INBOUND,
    thresholds: Thresholds | None = None,
) -> CheckContext:
    """Return the context of a host with changed facts; by default a good control-plane host."""
    return CheckContext(
        node or globals()["node"](),
        facts(changes),
        others or {},
        NOW,
        surroundings,
        inbound,
        thresholds or Thresholds(),
    )


def other(number: int, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the facts of another good host."""
    address, mac = f"10.200.0.{number}", f"52:54:00:00:00:{number}"
    own = {
        "hostname": f"host-{number}",
        "machine_id": f"{number}" * 16,
        "product_uuid": f"uuid-{number}",
        "interfaces": {"host0": {"mac": mac, "addresses": [address]}},
        "addresses": [address, "127.0.0.1"],
    }
    return facts({**own, **(changes or {})})


def found(*hosts: CheckContext) -> list[Finding]:
    return findings.findings(hosts)


def checks(*hosts: CheckContext) -> list[tuple[str, str]]:
    """Return (check, severity) of every finding."""
    return [(item.check, item.severity) for item in found(*hosts)]
