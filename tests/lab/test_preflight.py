"""Introduce one fault after another into blank hosts: only the check of each fault reports it.

No check changes a host, even a faulty one. The tests compare every file and every process before
and after.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.lab import faults, inventory
from tests.lab.faults import Fault
from tests.lab.hosts import get, lab, names, on, others, runner

HOSTS = ("cp-1", "cp-2", "infra-1", "worker-1")
# The hosts share a disk that is too slow for etcd, and processors that may be busy.
DECLARED = {
    "preflight": {
        "thresholds": {
            "fsync_warning_ms": 500,
            "fsync_error_ms": 1000,
            "etcd_window_s": 30,
            "probe_timeout_s": 60,
        },
    },
}
# The hosts of the lab have no name server.
UNKNOWN = {"dns"}

BOOTSTRAP, CP_2, WORKER = "10.200.0.10", "10.200.0.12", "10.200.0.14"
OTHER_ADDRESS = "10.200.0.77"
UUID = "4c4c4544-0051-3910-8054-b7c04f533532"
KEY = "-----BEGIN PUBLIC KEY-----\nof another\n-----END PUBLIC KEY-----\n"
NO_BRIDGE = {
    "/proc/modules": "",
    "/sys/module": None,
    "/proc/sys/net/bridge": None,
    "/lib/modules": {"0.1/modules.dep": ""},
}
STALE = {"nodeInfo": {"machineID": "a" * 32, "kubeletVersion": "v1.33.0"}}


def machine_id(host: str, of: str) -> faults.Make:
    return faults.changed_file(
        host, "/etc/machine-id", lambda _: on(of, "cat", "/etc/machine-id").stdout
    )


def mac(of: str) -> faults.Make:
    """Replace the MAC in the probe's source alone.

    Two interfaces of one network with the same MAC would have no connection.
    """

    @contextmanager
    def made() -> Iterator[None]:
        path = "/sys/class/net/host0/address"
        with faults.source({path: on(of, "cat", path).stdout})():
            yield

    return made


def output(port: int, verdict: str = "drop") -> str:
    return f"ip daddr {BOOTSTRAP} tcp dport {port} {verdict}"


def inbound(words: str, rule: str, **more: Any) -> Fault:
    """Return a fault that blocks inbound connections.

    The check waits for the whole window, so the window is the default of 10 s.
    """
    window = faults.declared({"preflight": {"thresholds": {"etcd_window_s": 10}}})
    return Fault(
        "etcd-inbound", words, faults.all_of(window, faults.firewall("cp-1", "input", rule)), **more
    )


def leftover(path: str, below: str = "", host: str = "worker-1") -> Fault:
    """Return a fault that leaves a file, or a file below a directory."""
    return Fault(
        "leftovers", path, faults.new_file(host, path + below, "of an earlier life"), nodes=(host,)
    )


def workload_plane(cidr: str) -> faults.Make:
    """Give the cluster another workload-plane network in MetalK8s's configuration."""

    def change(text: str) -> str:
        document = yaml.safe_load(text)
        document["networks"]["workloadPlane"] = {"cidr": cidr}
        return json.dumps(document)

    return faults.changed_file("bootstrap", "/etc/metalk8s/bootstrap.yaml", change)


FAULTS = [
    Fault("os", "debian 11", faults.changed_file("worker-1", "/usr/lib/os-release", lambda text: text.replace('"13"', '"11"')), "warning"),
    Fault("architecture", "riscv64", faults.source({"architecture": "riscv64"})),
    Fault("python", "3.8.20", faults.new_file("worker-1", "/usr/local/bin/python3", faults.OLD_PYTHON, "755")),
    # MetalK8s's master has this script, so an old Python does not stop the expansion.
    Fault("python", "3.8.20", faults.all_of(faults.new_file("bootstrap", "/etc/salt/ssh-preflight.sh", "#!/bin/sh\n", "755"),
                                            faults.new_file("worker-1", "/usr/local/bin/python3", faults.OLD_PYTHON, "755")), "warning"),
    Fault("privilege", "uid 1000", faults.declared({"nodes": {"worker-1": {"ssh": {"user": "deploy", "sudo": False}}}})),
    Fault("systemd", "another init system", faults.source({"/run/systemd/system": None})),
    Fault("clock", "+30.", faults.source({"clock": 30})),
    Fault("clock", "-30.", faults.source({"clock": -30}), nodes=HOSTS, on=("worker-1",)),
    Fault("hostname", "strange", faults.shell("worker-1", "hostname strange", "hostname worker-1"), "warning"),
    Fault("hostname", "bootstrap, which is another node", faults.shell("worker-1", "hostname bootstrap", "hostname worker-1")),
    Fault("machine-id", "also on ", machine_id("worker-1", "infra-1"), nodes=("infra-1", "worker-1"), always=True),
    Fault("machine-id", "also on bootstrap", machine_id("worker-1", "bootstrap")),
    Fault("machine-id", "none", faults.changed_file("worker-1", "/etc/machine-id", lambda _: "")),
    Fault("product-uuid", "also on ", faults.source({"/sys/class/dmi/id/product_uuid": UUID}, "infra-1", "worker-1"), nodes=("infra-1", "worker-1")),
    Fault("mac", "also on bootstrap", mac("bootstrap")),
    Fault("mac", "also on ", mac("infra-1"), nodes=("infra-1", "worker-1")),
    Fault("address", WORKER, faults.declared({"nodes": {"worker-1": {"address": OTHER_ADDRESS, "ssh": {"host": WORKER}}}})),
    Fault("address", "also on infra-1",
          faults.all_of(faults.address("worker-1", f"{OTHER_ADDRESS}/32"), faults.address("infra-1", f"{OTHER_ADDRESS}/32"),
                        faults.declared({"nodes": {"worker-1": {"address": OTHER_ADDRESS, "ssh": {"host": WORKER}}}})),
          nodes=("infra-1", "worker-1"), on=("worker-1",)),
    Fault("address", "also on stale", faults.node("stale", {"addresses": [{"type": "InternalIP", "address": WORKER}]})),
    Fault("swap", "on", faults.source({"/proc/swaps": "Filename Type Size Used Priority\n/dev/vdb partition 1000 0 -2\n"}), "warning"),
    Fault("cgroups", "without cpuset", faults.source({"/sys/fs/cgroup/cgroup.controllers": "cpu io memory pids"})),
    Fault("kernel-modules", "br_netfilter", faults.source(NO_BRIDGE)),
    Fault("sysctls", "net.ipv4.ip_forward = 0 in /etc/sysctl.d/99-router.conf",
          faults.new_file("worker-1", "/etc/sysctl.d/99-router.conf", "net.ipv4.ip_forward = 0\n")),
    Fault("sysctls", "max_user_instances = 10", faults.source({"/proc/sys/fs/inotify/max_user_instances": "10"}), "warning"),
    Fault("cpu", "1", faults.source({"/sys/devices/system/cpu/online": "0"}, "cp-1"), nodes=("cp-1",)),
    Fault("memory", "512 MB", faults.source({"/proc/meminfo": "MemTotal:  524288 kB\n"})),
    Fault("disk", "free at /var/lib/kubelet", faults.mounted("worker-1", "/var/lib/kubelet", "size=64m"), always=True),
    Fault("disk", "inodes free at /var/lib/kubelet", faults.mounted("worker-1", "/var/lib/kubelet", "size=8g,nr_inodes=1000")),
    Fault("disk", "0 MB free at /var/lib/etcd",
          faults.all_of(faults.mounted("cp-1", "/var/lib/etcd", "size=1m"),
                        faults.shell("cp-1", "fallocate --length 1M /var/lib/etcd/full", "rm -f /var/lib/etcd/full")), nodes=("cp-1",)),
    Fault("filesystem", "tmpfs at /var/lib/containerd", faults.mounted("worker-1", "/var/lib/containerd", "size=8g")),
    Fault("filesystem", "read-only: /var/lib/kubelet",
          faults.shell("worker-1", "mount -o remount,bind,ro /var/lib/kubelet", "mount -o remount,bind,rw /var/lib/kubelet")),
    Fault("fsync", "fdatasync takes", faults.source({"fsync": 0.6}, "cp-1"), "warning", nodes=("cp-1",)),
    Fault("fsync", "fdatasync takes", faults.source({"fsync": 1.1}, "cp-1"), nodes=("cp-1",)),
    Fault("ports", "10250", faults.listening("worker-1", 10250), always=True),
    Fault("ports", "2380, 6443", faults.listening("cp-1", 2380, 6443), nodes=("cp-1",)),
    Fault("packages", "docker.io", faults.changed_file(
        "worker-1", "/var/lib/dpkg/status", lambda text: text + "Package: docker.io\nStatus: install ok installed\nVersion: 26.1\n\n")),
    Fault("services", "firewalld runs", faults.unit("worker-1", "firewalld", "/run/systemd/system", "start", "stop")),
    Fault("services", "containerd runs", faults.unit("worker-1", "containerd", "/run/systemd/system", "start", "stop")),
    Fault("services", "k3s is enabled", faults.unit("worker-1", "k3s", "/etc/systemd/system", "enable", "disable"), "warning"),
    Fault("selinux", "enforcing", faults.source({"/sys/fs/selinux/enforce": "1"})),
    Fault("network", "10.233.5.5 inside the Pod network", faults.address("worker-1", "10.233.5.5/24"), "warning"),
    Fault("planes", "no address in the workload plane (192.0.2.0/24)", workload_plane("192.0.2.0/24")),
    Fault("route", "no route", faults.shell("worker-1", "ip route delete default", "ip route add default via 10.200.0.1 dev host0 proto static")),
    Fault("dns", BOOTSTRAP, faults.changed_file("worker-1", "/etc/resolv.conf", lambda _: f"nameserver {BOOTSTRAP}\n")),
    Fault("dns", BOOTSTRAP,
          faults.all_of(faults.service("worker-1", faults.NAME_SERVER),
                        faults.changed_file("worker-1", "/etc/resolv.conf", lambda _: f"nameserver 127.0.0.1\nnameserver {BOOTSTRAP}\n")), "warning"),
    Fault("dns", "store.example.invalid", faults.configured({"artifacts": "http://store.example.invalid:8080"})),
    Fault("api", "6443", faults.firewall("worker-1", "output", output(6443))),
    Fault("artifacts", "8080: connection refused", faults.firewall("worker-1", "output", output(8080, "reject with tcp reset"))),
    Fault("salt-master", "4505", faults.firewall("worker-1", "output", output(4505))),
    Fault("salt-master", "4506", faults.firewall("worker-1", "output", output(4506, "reject with icmp port-unreachable"))),
    Fault("etcd-peers", f"bootstrap {BOOTSTRAP}:2379", faults.firewall("cp-1", "output", output(2379)), nodes=("cp-1",)),
    Fault("etcd-peers", f"bootstrap {BOOTSTRAP}:2380", faults.firewall("cp-1", "output", output(2380)), nodes=("cp-1",), always=True),
    inbound("from bootstrap to 2380: no answer", "tcp dport 2380 drop", nodes=("cp-1",)),
    inbound("from bootstrap to 2379: connection refused", "tcp dport 2379 reject with tcp reset", nodes=("cp-1",)),
    inbound("from cp-2 to 2380: no answer", f"ip saddr {CP_2} tcp dport 2380 drop", nodes=("cp-1", "cp-2"), on=("cp-1",)),
    leftover("/var/lib/etcd/member", "/snap/db", host="cp-1"),
    leftover("/etc/kubernetes/manifests", "/etcd.yaml"),
    leftover("/etc/kubernetes/kubelet.conf"),
    leftover("/etc/cni/net.d/10-calico.conflist"),
    leftover("/var/lib/kubelet/pki", "/kubelet.crt"),
    leftover("/etc/salt/pki/minion/minion.pem"),
    Fault("stale-node", "is the machine aaaa", faults.node("worker-1", STALE)),
    Fault("stale-node", "this host has no key", faults.minion_key("minions", "worker-1")),
    Fault("stale-node", "this host's key is", faults.all_of(
        faults.minion_key("minions_pre", "worker-1"), faults.new_file("worker-1", "/etc/salt/pki/minion/minion.pub", KEY))),
    Fault("version", "1.9.0", faults.declared({"nodes": {"worker-1": {"version": "1.9.0"}}})),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def declaration() -> Iterator[None]:
    """Use the declaration of the lab, with thresholds for its slow disk."""
    assert names(get("nodes")) == ["bootstrap"], (
        "these hosts are not blank: ./lab/lab destroy; ./lab/lab up"
    )
    with faults.declared(DECLARED)():
        yield


@pytest.fixture(scope="module")
def untouched() -> dict[str, Any]:
    """Return the inventory of the hosts before the first fault."""
    return inventory.of(HOSTS, contents=True)


def lists_of_metalk8s(lists: dict[str, Any]) -> faults.Make:
    """Give the saltenv of the nodes the lists of MetalK8s, in its first root."""
    version = get("node", "bootstrap")["metadata"]["labels"]["metalk8s.scality.com/version"]
    shown = on("bootstrap", "salt-run", "--out=json", "config.get", "file_roots").stdout
    [root, *_] = json.loads(shown)[f"metalk8s-{version}"]
    return faults.new_file("bootstrap", f"{root}/metalk8s/defaults.yaml", json.dumps(lists))


@pytest.mark.full
def test_conflicts_come_from_the_lists_of_the_saltenv() -> None:
    """A service of the list is an error, a package that is not in it none, SELinux may enforce."""
    lists = {"conflicting_services": ["cron-of-metalk8s"], "repo": {"conflicting_packages": {"docker-ce": None}}}  # fmt: skip
    installed = "Package: docker.io\nStatus: install ok installed\nVersion: 26.1\n\n"
    several = faults.all_of(
        faults.unit("worker-1", "cron-of-metalk8s", "/run/systemd/system", "start", "stop"),
        faults.changed_file("worker-1", "/var/lib/dpkg/status", lambda text: text + installed),
        faults.source({"/sys/fs/selinux/enforce": "1"}),
    )
    with several():
        before = [(item["check"], item["severity"]) for item in told(preflight(["worker-1"])[1])]
        with lists_of_metalk8s(lists)():
            code, found = preflight(["worker-1"])
    assert before == [("packages", "error"), ("selinux", "error")]
    assert (code, [(item["check"], item["found"]) for item in told(found)]) == (
        3,
        [("services", "cron-of-metalk8s runs")],
    )


@pytest.mark.full
def test_probe_runs_on_the_python_of_the_platform() -> None:
    """On a bare RHEL 8 ``python3`` is missing or old, and dnf has a Python of its own."""
    old = faults.new_file("worker-1", "/usr/local/bin/python3", "#!/bin/sh\nexit 1\n", "755")
    platform = faults.new_file(
        "worker-1",
        "/usr/libexec/platform-python",
        '#!/bin/sh\nexec /usr/bin/python3 "$@"\n',
        "755",
    )
    with faults.all_of(old, platform)():
        code, found = preflight(["worker-1"])
    assert (code, told(found)) == (0, [])


def preflight(nodes: Sequence[str]) -> tuple[int, dict[str, Any]]:
    code, found, done = runner("preflight", f"nodes={','.join(nodes)}")
    assert "findings" in found, json.dumps(found, indent=1) + done.stderr
    return code, found


def told(found: dict[str, Any]) -> list[dict[str, str]]:
    """Return the findings, without those that are unknown on every container."""
    return [
        item
        for item in found["findings"]
        if (item["severity"], item["check"] in UNKNOWN) != ("unknown", True)
    ]


def test_blank_hosts_have_no_findings_and_stay_unchanged(untouched: dict[str, Any]) -> None:
    """Run both commands on all declared hosts.

    They report no finding, and no file, time stamp, service or process changes.
    """
    code, found, _ = runner("check_ssh")
    assert (code, sorted(found["reached"]), found["unreachable"]) == (0, list(HOSTS), {})
    assert (len(found["warnings"]), others(found["warnings"])) == (1, [])
    code, found = preflight(HOSTS)
    assert told(found) == []
    assert (code, found["retcode"], found["hosts"], found["unreachable"]) == (
        0,
        0,
        dict.fromkeys(HOSTS, "passed"),
        {},
    )
    assert inventory.differences(untouched, inventory.of(HOSTS, contents=True)) == []


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            fault,
            marks=() if fault.always else pytest.mark.full,
            id=f"{fault.check}: {fault.words}",
        )
        for fault in FAULTS
    ],
)
def test_fault_is_found_by_its_own_check_alone(fault: Fault) -> None:
    with fault.make():
        before = inventory.of(fault.nodes)
        code, found = preflight(fault.nodes)
        changed = inventory.differences(before, inventory.of(fault.nodes))
    findings = told(found)
    expected = [(name, fault.check, fault.severity) for name in fault.told_of]
    assert [(item["node"], item["check"], item["severity"]) for item in findings] == expected, (
        json.dumps(findings, indent=1)
    )
    assert all(
        fault.words in item["found"] and item["wanted"] and item["remedy"] for item in findings
    ), findings
    fails = fault.severity == "error"
    assert code == found["retcode"] == (3 if fails else 0)
    assert found["hosts"] == {
        name: "failed" if fails and name in fault.told_of else "passed" for name in fault.nodes
    }
    assert changed == []


def test_every_check_has_a_fault() -> None:
    from metalk8s_expand.domain.preflight import findings as preflight

    assert {fault.check for fault in FAULTS} == set(preflight.NAMES)


@pytest.mark.full
def test_faults_of_several_hosts_are_printed_in_one_table() -> None:
    """The default output is a table for people."""
    several = faults.all_of(
        faults.listening("worker-1", 10250),
        faults.new_file("cp-1", "/var/lib/etcd/member/snap/db", "of an earlier life"),
        faults.firewall("infra-1", "output", output(8080)),
    )
    with several():
        done = on("bootstrap", "salt-run", "metalk8s_expand.preflight", check=False)
    assert done.returncode == 3
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["preflight", "of", "4", "hosts:", "3", "errors,", "1", "unknown"] in rows
    assert [row[:3] for row in rows if row[1:2] == ["error"]] == [
        ["cp-1", "error", "leftovers"],
        ["infra-1", "error", "artifacts"],
        ["worker-1", "error", "ports"],
    ]


@pytest.mark.full
def test_skipped_check_is_skipped_on_its_node_alone() -> None:
    skip = faults.declared({"nodes": {"worker-1": {"preflight": {"skip": ["leftovers"]}}}})
    path = "/etc/kubernetes/kubelet.conf"
    with faults.all_of(
        skip, faults.new_file("worker-1", path, ""), faults.new_file("infra-1", path, "")
    )():
        code, found = preflight(["infra-1", "worker-1"])
    assert (code, [(item["node"], item["check"]) for item in told(found)]) == (
        3,
        [("infra-1", "leftovers")],
    )


@pytest.mark.full
def test_hosts_are_as_before_all_faults(untouched: dict[str, Any]) -> None:
    """All faults are reverted; only times and sizes differ."""
    assert (
        inventory.differences(
            inventory.without_times(untouched), inventory.without_times(inventory.of(HOSTS, True))
        )
        == []
    )
    assert names(get("nodes")) == ["bootstrap"]


@pytest.fixture(scope="module")
def crashed() -> Iterator[str]:
    """Yield a host that has just crashed."""
    with faults.declared({"ssh_timeout": 5})():
        lab("kill", "infra-1")
        try:
            yield "infra-1"
        finally:
            lab("start", "infra-1")


def test_check_ssh_reports_crashed_host_and_reached_hosts(crashed: str) -> None:
    code, found, _ = runner("check_ssh")
    assert (code, found["retcode"]) == (4, 4)
    assert sorted(found["reached"]) == ["cp-1", "cp-2", "worker-1"]
    assert list(found["unreachable"]) == [crashed]
    assert crashed in found["unreachable"][crashed]["text"]
    assert found["unreachable"][crashed]["hint"]


@pytest.mark.full
def test_preflight_reports_findings_beside_crashed_host(crashed: str) -> None:
    """The unreachable host decides the exit code."""
    with faults.listening("worker-1", 10250)():
        code, found = preflight(HOSTS)
    assert (code, found["retcode"], list(found["unreachable"])) == (4, 4, [crashed])
    assert found["hosts"] == {
        "cp-1": "passed",
        "cp-2": "passed",
        "infra-1": "unreachable",
        "worker-1": "failed",
    }
    assert [(item["node"], item["check"]) for item in told(found)] == [("worker-1", "ports")]
    assert found["unreachable"][crashed]["hint"]
