"""Test the script on every installed Python, on files of other systems, and with calls that hang."""

from __future__ import annotations

import ast
import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.ssh import remote_script
from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.preflight import findings
from metalk8s_expand.domain.preflight.cluster_facts import ClusterFacts, Endpoint
from metalk8s_expand.domain.preflight.findings import CheckContext
from metalk8s_expand.domain.preflight.thresholds import Thresholds
from metalk8s_expand.remote import host_facts
from tests.unit.metalk8s_expand.conftest import free_port

SOURCE = Path(host_facts.__file__).read_text(encoding="utf-8")
LOCAL = "127.0.0.1"
# Longer than a DNS label may be, so the resolver sends no query for it.
NOBODY = "x" * 64
ROOTS = ("etc", "proc", "sys", "run", "var", "usr", "lib")


def interpreters() -> list[str]:
    """The Pythons beside the one that runs this, as version managers lay them out, and that of the system."""
    beside = [str(path) for path in sorted(Path(sys.base_prefix).parent.glob("3.*/bin/python3"))]
    system = [path for path in ("/usr/bin/python3",) if Path(path).exists()]
    return [sys.executable, *beside, *system]


def run(
    request: dict[str, Any], python: str = sys.executable, timeout: float = 30
) -> dict[str, Any]:
    """The probe as it is run on a host."""
    command = [python, *remote_script.OPTIONS, json.dumps(request)]
    done = subprocess.run(
        command, input=SOURCE, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = host_facts.answer(done.stdout)
    assert found is not None
    return found


@pytest.fixture
def place(tmp_path: Path) -> Any:
    """Make a host of files below a directory: ``place({"/etc/os-release": "ID=x"}, key=value of the request)``."""

    def make(files: dict[str, str], **request: Any) -> host_facts.InspectedHost:
        for path, text in files.items():
            target = tmp_path / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        sources = {f"/{name}": str(tmp_path / name) for name in ROOTS}
        return host_facts.InspectedHost(
            {"sources": {**sources, **request.pop("sources", {})}, **request}
        )

    return make


# The whole.


@pytest.mark.parametrize("python", interpreters())
def test_script_runs_on_every_python(python: str) -> None:
    around = ClusterFacts(
        endpoints=(Endpoint("api", "API", LOCAL, free_port()),),
        etcd_peers={"b": LOCAL},
        service_cidr="127.0.0.0/8",
        version="1",
    )
    node = Node("w-1", "1", (roles.MASTER, roles.ETCD), (), address="127.0.0.77")
    request = findings.request(
        node, around, Thresholds(), {"c": "127.0.0.78"}, {"/etc/resolv.conf": os.devnull}
    )
    found = run(
        {**request, "window": 0.2, "fsync": {"path": "/tmp", "writes": 3, "seconds": 1}}, python
    )
    assert {key for key, value in found.items() if value is None} <= {
        "product_uuid",
        "minion_id",
        "minion_key",
        "master_key",
        "packages",
        "services",
        "swap",
    }
    assert found["python"][0] == 3
    assert LOCAL in found["addresses"]
    assert LOCAL in found["interfaces"]["lo"]["addresses"]
    assert abs(found["time"] - time.time()) < 60
    assert found["connections"]["127.0.0.78:2380"] is not None
    assert found["fsync"]["writes"] == 3
    told = findings.findings([CheckContext(node, found, {}, time.time(), around)])
    assert [item.found for item in told if "the check itself failed" in item.found] == []


def test_script_has_syntax_of_python_3_6() -> None:
    ast.parse(SOURCE, feature_version=(3, 6))


def test_script_does_not_import_slow_modules() -> None:
    """Importing each of these costs more than gathering all facts."""
    program = f"{SOURCE.rpartition('if __name__')[0]}\nfacts({{}})\nprint(*sys.modules)\n"
    done = subprocess.run(
        [sys.executable, "-BIS", "-"],
        input=program,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    heavy = {
        "subprocess",
        "platform",
        "ipaddress",
        "hashlib",
        "tempfile",
        "shutil",
        "random",
        "logging",
        "encodings.idna",
        "ssl",
    }
    assert heavy.isdisjoint(done.stdout.split())


def test_script_leaves_no_files(tmp_path: Path) -> None:
    """Neither compiled modules nor the file it measures with."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "etcd").mkdir()
    request = {"fsync": {"path": str(tmp_path / "etcd" / "member"), "writes": 5, "seconds": 1}}
    command = [
        sys.executable,
        "-X",
        f"pycache_prefix={tmp_path / 'cache'}",
        *remote_script.OPTIONS,
        json.dumps(request),
    ]
    done = subprocess.run(
        command, input=SOURCE, capture_output=True, text=True, timeout=30, cwd=tmp_path, check=True
    )
    assert '"writes": 5' in done.stdout
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "cache", tmp_path / "etcd"]


def test_script_without_request_answers() -> None:
    assert run({})["architecture"] == os.uname().machine


def test_hanging_call_is_abandoned(tmp_path: Path) -> None:
    """Opening a pipe without a writer hangs forever."""
    os.mkfifo(tmp_path / "pipe")
    started = time.monotonic()
    found = run(
        {
            "seconds": 1,
            "sources": {"/etc/os-release": str(tmp_path / "pipe"), "/etc/resolv.conf": os.devnull},
        }
    )
    assert time.monotonic() - started < 10
    assert (found["system"], found["architecture"]) == (None, os.uname().machine)


def test_failure_of_a_fact_does_not_affect_other_facts(place: Any) -> None:
    found = host_facts.facts(
        place(
            {"/proc/meminfo": "nonsense", "/proc/cgroups": "a b", "/proc/sys/kernel/hostname": "h"}
        ).request
    )
    assert (found["memory_mb"], found["cgroups"], found["swap"], found["hostname"]) == (
        None,
        None,
        None,
        "h",
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"Last login\n{host_facts.MARK}" + '{"a": 1}\n', {"a": 1}),
        (f'{host_facts.MARK}{{"a": 1}}\n{host_facts.MARK}{{"a": 2}}\nbye', {"a": 2}),
        (f"{host_facts.MARK}[1]", None),
        (f"{host_facts.MARK}{{", None),
        (f'x{host_facts.MARK}{{"a": 1}}', None),
        ("", None),
    ],
)
def test_answer_is_found_among_other_output(text: str, found: Any) -> None:
    assert host_facts.answer(text) == found


def test_the_clock_is_shifted() -> None:
    assert 100 < run({"sources": {"clock": 120.5}})["time"] - time.time() < 130


# Files of other systems.


@pytest.mark.parametrize(
    ("look", "files", "request_", "wanted"),
    [
        ("system", {"/etc/os-release": 'ID="rocky"\nVERSION_ID="8.10"\nNAME=x\n'}, {}, {"id": "rocky", "version": "8.10"}),
        ("system", {"/usr/lib/os-release": "ID=debian"}, {}, {"id": "debian", "version": ""}),
        ("system", {}, {}, None),
        ("machine_id", {"/etc/machine-id": "abc\n"}, {}, "abc"),
        ("machine_id", {}, {}, ""),
        ("product_uuid", {"/sys/class/dmi/id/product_uuid": "u-1\n"}, {}, "u-1"),
        ("cpus", {"/sys/devices/system/cpu/online": "0-3,6,8-9\n"}, {}, 7),
        ("memory_mb", {"/proc/meminfo": "MemFree: 1 kB\nMemTotal:       2048000 kB\n"}, {}, 2000),
        ("swap", {"/proc/swaps": "Filename Type\n/dev/sda2 partition\n"}, {}, True),
        ("swap", {"/proc/swaps": "Filename Type\n"}, {}, False),
        ("systemd", {"/run/systemd/system/x": ""}, {}, True),
        ("systemd", {}, {}, False),
        ("cgroups", {"/sys/fs/cgroup/cgroup.controllers": "cpu memory\n"}, {}, {"version": 2, "controllers": ["cpu", "memory"]}),
        ("cgroups", {"/proc/cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\nmemory\t0\t1\t0\n"}, {},
         {"version": 1, "controllers": ["cpu"]}),
        ("selinux", {"/sys/fs/selinux/enforce": "1", "/etc/selinux/config": "# SELINUX=x\nSELINUX=enforcing\nSELINUXTYPE=targeted"}, {},
         {"mode": "enforcing", "configured": "enforcing"}),
        ("selinux", {"/sys/fs/selinux/enforce": "0"}, {}, {"mode": "permissive", "configured": ""}),
        ("selinux", {}, {}, {"mode": "disabled", "configured": ""}),
        ("sysctls", {"/proc/sys/a/b": "5\n"}, {"sysctls": ["a.b", "a.c"]}, {"a.b": "5", "a.c": None}),
        ("sysctl_files", {"/etc/sysctl.d/99-z.conf": "# a.b = 0\na.b=1\n-a/c = 2\nother=3\n", "/usr/lib/sysctl.d/10-y.conf": "a.b = 7",
                          "/usr/lib/sysctl.d/99-z.conf": "a.b = hidden", "/etc/sysctl.d/README": "a.b = 9"}, {"sysctls": ["a.b", "a.c"]},
         [["/usr/lib/sysctl.d/10-y.conf", "a.b", "7"], ["/etc/sysctl.d/99-z.conf", "a.b", "1"], ["/etc/sysctl.d/99-z.conf", "a.c", "2"]]),
        ("minion_id", {"/etc/salt/minion": "#id: no\nid: w-1 # mine\n"}, {}, "w-1"),
        ("minion_id", {"/etc/salt/minion": "id: w-1", "/etc/salt/minion.d/99-metalk8s.conf": "id: 'w-2'"}, {}, "w-2"),
        ("minion_id", {"/etc/salt/minion_id": "w-3\n"}, {}, "w-3"),
        ("minion_id", {}, {}, None),
        ("minion_key", {"/etc/salt/pki/minion/minion.pub": "KEY\n"}, {}, "KEY"),
        ("leftovers", {"/etc/a/x": "", "/etc/b": "", "/etc/c/d/e": "", "/etc/n/1": "", "/etc/n/2": ""},
         {"leftovers": ["/etc/a", "/etc/b", "/etc/c", "/etc/absent", "/etc/n/*", "/etc/m/*"]},
         ["/etc/a", "/etc/b", "/etc/c", "/etc/n/1", "/etc/n/2"]),
    ],
)  # fmt: skip
def test_files(
    place: Any, look: str, files: dict[str, str], request_: dict[str, Any], wanted: Any
) -> None:
    assert host_facts.attempt(host_facts.QUICK[look], place(files, **request_)) == wanted


def test_empty_directory_is_not_a_leftover(place: Any, tmp_path: Path) -> None:
    (tmp_path / "etc" / "empty").mkdir(parents=True)
    assert host_facts.leftovers(place({}, leftovers=["/etc/empty", "/etc/empty/*"])) == []


def test_architecture_of_another_machine(place: Any) -> None:
    assert host_facts.architecture(place({}, sources={"architecture": "riscv64"})) == "riscv64"


LISTS = {
    "/lib/modules/6.1/modules.dep": "kernel/fs/overlayfs/overlay.ko.xz:\nkernel/net/x/br_netfilter.ko: kernel/net/bridge/bridge.ko\n",
    "/lib/modules/6.1/modules.builtin": "kernel/net/netfilter/nf_conntrack.ko\n",
    "/proc/sys/kernel/osrelease": "6.1\n",
}


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (LISTS, ["loadable", "loadable", "builtin"]),
        ({**LISTS, "/lib/modules/6.1/modules.dep": ""}, ["missing", "missing", "builtin"]),
        ({**LISTS, "/proc/sys/kernel/modules_disabled": "1"}, ["missing", "missing", "builtin"]),
        ({**LISTS, "/proc/modules": "overlay 1 0 - Live 0x0\n"}, ["loaded", "loadable", "builtin"]),
        (
            {**LISTS, "/proc/filesystems": "nodev\toverlay\n\txfs\n"},
            ["loaded", "loadable", "builtin"],
        ),
        (
            {**LISTS, "/proc/sys/net/bridge/bridge-nf-call-iptables": "1"},
            ["loadable", "loaded", "builtin"],
        ),
        ({**LISTS, "/sys/module/br_netfilter/refcnt": "1"}, ["loadable", "loaded", "builtin"]),
        # A newer kernel was installed and its predecessor removed.
        ({**LISTS, "/proc/sys/kernel/osrelease": "6.0"}, ["missing", "missing", "missing"]),
        # A container has no modules of its own.
        (
            {"/proc/sys/kernel/osrelease": "6.1", "/proc/sys/net/netfilter/nf_conntrack_max": "1"},
            [None, None, "loaded"],
        ),
    ],
)
def test_modules(place: Any, files: dict[str, str], wanted: list[Any]) -> None:
    names = ["overlay", "br_netfilter", "nf_conntrack"]
    assert list(host_facts.modules(place(files, modules=names)).values()) == wanted


TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:1D13 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
  12: 0A00C80A:94A2 0B00C80A:280A 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
"""
TCP6 = """  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000000000000:280A 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
"""


def test_listening_ports(place: Any) -> None:
    assert host_facts.listening(place({"/proc/net/tcp": TCP, "/proc/net/tcp6": TCP6})) == [
        22,
        7443,
        10250,
    ]


def test_listeners_of_asked_ports_with_their_processes(place: Any, tmp_path: Path) -> None:
    lines = TCP.replace("    0 2 1 0 100", "    0 777 1 0 100")
    files = {"/proc/net/tcp": lines, "/proc/net/tcp6": "", "/proc/44/comm": "kube-controller\n",
             "/proc/44/cmdline": "/usr/local/bin/kube-controller-manager\0--x\0", "/proc/45/comm": "sh"}  # fmt: skip
    host = place(files, ports=[7443, 22])
    (tmp_path / "proc" / "44" / "fd").mkdir()
    (tmp_path / "proc" / "44" / "fd" / "3").symlink_to("socket:[777]")
    (tmp_path / "proc" / "44" / "fd" / "4").symlink_to("/dev/null")
    inodes = [line.split()[9] for line in lines.splitlines()[1:3]]
    assert inodes[1] == "777"
    assert host_facts.listeners(host) == [
        ["0.0.0.0", 22, ""],
        ["127.0.0.1", 7443, "kube-controller-manager"],
    ]
    assert host_facts.listeners(place(files)) == []


@pytest.mark.parametrize("address", [LOCAL, "::1"])
def test_a_listener_of_this_machine(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        [found] = host_facts.listeners(host_facts.InspectedHost({"ports": [port]}))
    assert found[:2] == [address, port]
    assert found[2]


def test_a_listening_port_of_this_machine() -> None:
    with socket.create_server((LOCAL, 0)) as server:
        assert server.getsockname()[1] in host_facts.listening(host_facts.InspectedHost({}))


MOUNTS = """22 1 0:21 / / rw,relatime - ext4 /dev/root rw
23 22 0:22 / /var rw shared:1 - xfs /dev/sdb rw
24 22 0:23 / /var/lib rw - nfs4 server:/x rw
25 22 0:24 / /var/lib rw - overlay overlay ro
26 22 0:25 / /mnt/a\\040b rw - btrfs /dev/sdc rw
"""


@pytest.mark.parametrize(
    ("path", "mount", "kind", "read_only"),
    [
        ("/", "/", "ext4", False),
        ("/variable", "/", "ext4", False),
        ("/var", "/var", "xfs", False),
        ("/var/lib", "/var/lib", "overlay", True),
        ("/var/lib/etcd", "/var/lib", "overlay", True),
        ("/mnt/a b/c", "/mnt/a b", "btrfs", False),
    ],
)
def test_the_mount_of_a_path(
    place: Any, monkeypatch: Any, path: str, mount: str, kind: str, read_only: bool
) -> None:
    monkeypatch.setattr(
        os, "statvfs", lambda path: os.statvfs_result((4096, 4096, 0, 0, 512, 0, 0, 9, 0, 255))
    )
    found = host_facts.directory(
        path, host_facts.mount_table(place({"/proc/self/mountinfo": MOUNTS}))
    )
    assert (found["mount"], found["type"], found["read_only"]) == (mount, kind, read_only)
    assert (found["free_mb"], found["free_inodes"]) == (2, None)


def test_network_file_system_is_not_queried_for_space(place: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: pytest.fail("the server may be gone"))
    mounts = host_facts.mount_table(
        place({"/proc/self/mountinfo": MOUNTS.replace("overlay overlay", "nfs4 x")})
    )
    assert "free_mb" not in host_facts.directory("/var/lib", mounts)


def test_directories_that_are_not_there_yet(tmp_path: Path) -> None:
    path = str(tmp_path / "not" / "yet")
    found = host_facts.directories(host_facts.InspectedHost({"directories": [path]}))[path]
    assert found["free_mb"] > 0
    assert found["type"]


# Commands of other systems.


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a command of this name first in the PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def make(name: str, text: str) -> None:
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)

    return make


STATUS = """Package: docker.io
Essential: no
Status: install ok installed
Version: 1

Package: containerd
Status: deinstall ok config-files
Version: 1

Package: kubelet
Status: hold ok installed
Description: x
 Package: cri-o
"""
RPM = (
    """echo containerd.io; echo "package docker-ce is not installed"; echo docker-ce-cli; exit 3"""
)
NAMES = ["docker.io", "containerd", "containerd.io", "kubelet", "cri-o", "docker-ce"]


def test_packages_of_dpkg(place: Any) -> None:
    assert host_facts.packages(place({"/var/lib/dpkg/status": STATUS}, packages=NAMES)) == [
        "docker.io",
        "kubelet",
    ]


@pytest.mark.parametrize(
    "database", ["/var/lib/rpm/Packages", "/usr/lib/sysimage/rpm/rpmdb.sqlite"]
)
def test_packages_of_rpm(place: Any, script: Any, database: str) -> None:
    script("rpm", f'echo "$@" >> "$0.called"; {RPM}')
    assert host_facts.packages(place({database: ""}, packages=NAMES)) == ["containerd.io"]


def test_packages_of_neither(place: Any, script: Any) -> None:
    script("rpm", "echo docker-ce")
    assert host_facts.packages(place({}, packages=NAMES)) is None


def test_packages_of_an_rpm_that_cannot_be_run(place: Any) -> None:
    broken = place({"/var/lib/rpm/Packages": ""}, packages=NAMES)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", "/nonexistent")
        assert host_facts.attempt(host_facts.packages, broken) is None


SYSTEMCTL = """test "$1" = show || exit 9
for unit; do case "$unit" in
  firewalld.service) printf 'Id=%s\\nActiveState=active\\nUnitFileState=enabled\\n\\n' "$unit";;
  docker.service) printf 'Id=%s\\nActiveState=inactive\\nUnitFileState=enabled\\n\\n' "$unit";;
  crio.service) printf 'Id=%s\\nActiveState=failed\\nUnitFileState=masked\\n\\n' "$unit";;
esac; done"""
UNITS = {
    "/usr/lib/systemd/system/firewalld.service": "",
    "/etc/systemd/system/docker.service": "",
    "/lib/systemd/system/crio.service": "",
    "/lib/systemd/system/ufw.service": "",
}


def test_services(place: Any, script: Any) -> None:
    script("systemctl", SYSTEMCTL)
    assert host_facts.services(
        place(UNITS, services=["firewalld", "ufw", "absent", "docker", "crio"])
    ) == {
        "firewalld": {"active": True, "enabled": True},
        "docker": {"active": False, "enabled": True},
        "crio": {"active": False, "enabled": False},
    }


def test_ufw_counts_when_its_own_file_says_so(place: Any, script: Any) -> None:
    script("systemctl", "printf 'Id=ufw.service\\nActiveState=active\\nUnitFileState=enabled\\n'")
    enabled = place({**UNITS, "/etc/ufw/ufw.conf": "# x\nENABLED=yes\n"}, services=["ufw"])
    assert host_facts.services(enabled) == {"ufw": {"active": True, "enabled": True}}


def test_systemctl_does_not_run_without_installed_service(place: Any, script: Any) -> None:
    script("systemctl", "sleep 60")
    assert host_facts.services(place({}, services=["firewalld"])) == {}


def test_hanging_command_is_killed(script: Any) -> None:
    script("hang", "exec sleep 60")
    started = time.monotonic()
    assert host_facts.attempt(host_facts.command, ["hang"], 0.2) is None
    assert time.monotonic() - started < 10


# The network.


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue is full: who connects gets no answer."""
    with socket.create_server((LOCAL, 0), backlog=0) as server:
        waiting = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(server.getsockname())
            waiting.append(client)
        yield server.getsockname()[1]
        for client in waiting:
            client.close()


def test_connections(silent_port: int, full_port: int) -> None:
    closed = free_port()
    host = host_facts.InspectedHost(
        {
            "connect": [[LOCAL, silent_port], [LOCAL, closed], [LOCAL, full_port], [NOBODY, 1]],
            "timeout": 1,
        }
    )
    started = time.monotonic()
    assert host_facts.connections(host) == {
        f"{LOCAL}:{silent_port}": "",
        f"{LOCAL}:{closed}": "connection refused",
        f"{LOCAL}:{full_port}": "no answer",
        f"{NOBODY}:1": "the name does not resolve",
    }
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        (errno.ENETUNREACH, "no route to the network"),
        (errno.EACCES, "EACCES"),
        (99999, "EIO"),
        (None, "no answer"),
    ],
)
def test_reasons(number: int | None, wanted: str) -> None:
    assert host_facts.reason(OSError(number, "x") if number else OSError("timed out")) == wanted


def later(port: int, after: float, seconds: float) -> threading.Thread:
    """Something begins to listen after a while."""

    def listen() -> None:
        time.sleep(after)
        with socket.create_server((LOCAL, port)):
            time.sleep(seconds)

    thread = threading.Thread(target=listen)
    thread.start()
    return thread


def test_connecting_until_it_works() -> None:
    port, never = free_port(), free_port()
    listener = later(port, 0.5, 1.5)
    started = time.monotonic()
    assert host_facts.connect_all([(LOCAL, port), (LOCAL, never)], 2) == {
        f"{LOCAL}:{port}": "",
        f"{LOCAL}:{never}": "connection refused",
    }
    assert 1.5 < time.monotonic() - started < 4
    listener.join()


def etcd_request(ports: list[int], peers: list[str], **changes: Any) -> dict[str, Any]:
    return {
        "node": "a",
        "window": 5,
        "listen": {"address": LOCAL, "ports": ports, "peers": peers},
        **changes,
    }


def test_two_new_members_hear_each_other() -> None:
    """Both listen and connect, and neither waits for the end of the window."""
    first, second = [free_port(), free_port()], [free_port(), free_port()]
    requests = [
        etcd_request(own, [LOCAL], retry=[[LOCAL, port] for port in others])
        for own, others in ((first, second), (second, first))
    ]
    found: list[Any] = [None, None]
    started = time.monotonic()
    threads = [
        threading.Thread(target=lambda n=n: found.__setitem__(n, run(requests[n]))) for n in (0, 1)
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.3)
    for thread in threads:
        thread.join()
    assert time.monotonic() - started < 5
    for own, others, told in ((first, second, found[0]), (second, first, found[1])):
        assert told["listen"] == {str(port): {"problem": "", "heard": [LOCAL]} for port in own}
        assert told["connections"] == {f"{LOCAL}:{port}": "" for port in others}
        assert set(own).isdisjoint(told["ports"])


def test_listening_ends_with_the_window() -> None:
    started = time.monotonic()
    ports = [free_port(), free_port()]
    found = host_facts.listen(
        host_facts.InspectedHost(etcd_request(ports, ["127.0.0.9"], window=1))
    )
    assert 0.9 < time.monotonic() - started < 3
    assert found == {str(port): {"problem": "", "heard": []} for port in ports}


def test_listening_without_peers_does_not_wait() -> None:
    started = time.monotonic()
    host_facts.listen(host_facts.InspectedHost(etcd_request([free_port()], [])))
    assert time.monotonic() - started < 2


def test_a_port_that_is_taken(silent_port: int) -> None:
    free = free_port()
    found = host_facts.listen(
        host_facts.InspectedHost(etcd_request([silent_port, free], ["127.0.0.9"], window=1))
    )
    assert {port: entry["problem"] for port, entry in found.items()} == {
        str(silent_port): "EADDRINUSE",
        str(free): "",
    }


def test_address_of_another_host_is_reported() -> None:
    request = etcd_request([free_port()], [])
    request["listen"]["address"] = "192.0.2.77"
    assert [
        entry["problem"] for entry in host_facts.listen(host_facts.InspectedHost(request)).values()
    ] == ["EADDRNOTAVAIL"]


def test_host_of_an_earlier_run_does_not_listen(place: Any) -> None:
    assert (
        host_facts.listen(
            place({"/etc/salt/minion": "id: a"}, **etcd_request([free_port()], [LOCAL]))
        )
        == {}
    )


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert host_facts.resolve(host_facts.InspectedHost({"resolve": ["localhost", NOBODY]})) == {
        "localhost": "", NOBODY: "the name does not resolve",
    }  # fmt: skip
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments: time.sleep(30))
    assert host_facts.resolve(host_facts.InspectedHost({"resolve": ["slow"], "timeout": 0.1})) == {
        "slow": None
    }


def test_name_servers_of_resolv_conf(place: Any) -> None:
    """Nothing listens there, and only the first three are ever asked."""
    text = "search x\n nameserver 127.0.0.71\nnameserver 127.0.0.72 # x\n#nameserver 127.0.0.70\nnameserver ::1\nnameserver 127.0.0.74\n"
    found = host_facts.name_servers(place({"/etc/resolv.conf": text}, timeout=0.2))
    assert list(found) == ["127.0.0.71", "127.0.0.72", "::1"]


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [(lambda asked: asked[:2] + b"\x81\x82", True), (lambda asked: b"no", False), (None, False)],
)
def test_name_server_with_any_reply_counts_as_answering(reply: Any, wanted: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((LOCAL, 0))
        server.settimeout(5)

        def serve() -> None:
            asked, client = server.recvfrom(512)
            if reply:
                server.sendto(reply(asked), client)

        thread = threading.Thread(target=serve)
        thread.start()
        assert host_facts.answers(LOCAL, 0.5, server.getsockname()[1]) is wanted
        thread.join()


def test_a_route() -> None:
    assert host_facts.route(host_facts.InspectedHost({"route": "127.0.0.9"})) == ""
    assert host_facts.route(host_facts.InspectedHost({})) is None
    # Where every machine has a route, the kernel refuses an ordinary socket its broadcasts.
    assert host_facts.route(host_facts.InspectedHost({"route": "255.255.255.255"})) == "EACCES"


def test_no_route(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(errno.ENETUNREACH, "x")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert (
        host_facts.route(host_facts.InspectedHost({"route": "10.96.0.1"}))
        == "no route to the network"
    )


# The disk.


def test_fsync_is_measured(tmp_path: Path) -> None:
    request = {
        "fsync": {"path": str(tmp_path), "writes": 20, "seconds": 5},
        "sources": {"fsync": 0.02},
    }
    found = host_facts.fsync(host_facts.InspectedHost(request))
    assert (found["path"], found["problem"], found["writes"]) == (str(tmp_path), "", 20)
    assert 20 <= found["p99_ms"] < 2000


def test_fsync_of_a_slow_disk_ends(tmp_path: Path) -> None:
    request = {
        "fsync": {"path": str(tmp_path), "writes": 1000, "seconds": 0.3},
        "sources": {"fsync": 0.1},
    }
    started = time.monotonic()
    assert host_facts.fsync(host_facts.InspectedHost(request))["writes"] < 10
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_fsync_where_nothing_can_be_written(tmp_path: Path, monkeypatch: Any, number: int) -> None:
    def refuse(*arguments: Any) -> int:
        raise OSError(number, "x")

    monkeypatch.setattr(host_facts.os, "open", refuse)
    found = host_facts.fsync(
        host_facts.InspectedHost({"fsync": {"path": str(tmp_path), "writes": 1, "seconds": 1}})
    )
    assert found == {"path": str(tmp_path), "problem": errno.errorcode[number]}


def test_fsync_on_a_full_disk(tmp_path: Path, monkeypatch: Any) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "x")

    monkeypatch.setattr(host_facts.os, "posix_fallocate", full)
    found = host_facts.fsync(
        host_facts.InspectedHost({"fsync": {"path": str(tmp_path), "writes": 1, "seconds": 1}})
    )
    assert found["problem"] == "ENOSPC"


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EISDIR])
def test_a_file_without_a_name_where_the_file_system_has_none(
    tmp_path: Path, monkeypatch: Any, number: int
) -> None:
    really = os.open

    def old(path: str, flags: int, *arguments: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(number, "x")
        return really(path, flags, *arguments)

    monkeypatch.setattr(host_facts.os, "open", old)
    os.close(host_facts.nameless_file(str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_fsync_is_not_measured_unless_asked() -> None:
    assert host_facts.fsync(host_facts.InspectedHost({})) is None
