"""Test the reset script below a directory that replaces /: what it wipes, what it keeps, which hosts it refuses."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.ssh import remote_script
from metalk8s_expand.remote import host_facts, reset_host

SOURCE = Path(reset_host.__file__).read_text(encoding="utf-8")
MOUNT = "36 35 98:0 / {} rw,noatime - ext4 /dev/x rw\n"
UNIT = "[Service]\nExecStart=/usr/local/bin/kubelet --hostname-override=w-1 --node-ip=10.0.0.3\n"
NODE: dict[str, str] = {
    "/etc/kubernetes/manifests/etcd.yaml": "a Pod",
    "/etc/kubernetes/manifests/kube-apiserver.yaml": "a Pod",
    "/etc/kubernetes/pki/kubelet-client.key": "secret",
    "/etc/systemd/system/kubelet.service": UNIT,
    "/etc/salt/minion": "id: w-1\nmaster: 10.0.0.1\n",
    "/etc/salt/pki/minion/minion.pem": "secret",
    "/etc/salt/pki/minion/minion_master.pub": "the master's\n",
    "/etc/metalk8s/apiserver-proxy.cfg": "listen",
    "/var/lib/etcd/member/wal/0.wal": "data",
    "/var/lib/kubelet/pods/uid/volumes/x": "data",
    "/var/cache/metalk8s/node.tar.unpacked": "kept",
    "/var/log/pods/x.log": "kept",
    "/etc/salt/other": "kept",
}


class Host(reset_host.Host):  # type: ignore[misc]
    """A host with fake programs that return given answers and record their calls."""

    def __init__(self, request: dict[str, Any], answers: dict[str, tuple[int, str]]) -> None:
        super().__init__(request)
        self.answers = answers
        self.called: list[str] = []
        self.inputs: dict[str, str] = {}

    def command(self, *arguments: str, **options: Any) -> tuple[int, str]:
        line = " ".join(arguments)
        if options.get("text"):
            self.inputs[line] = options["text"]
        self.called.append(line)
        return next(
            (answer for start, answer in self.answers.items() if line.startswith(start)),
            (127, "does not exist"),
        )


class Place:
    """A host's files below a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write({"/run/x": "", "/proc/self/mountinfo": "", "/etc/hostname": "w-1"})

    def write(self, files: dict[str, str]) -> None:
        for path, text in files.items():
            target = self.at(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def mount(self, *points: str) -> None:
        self.write({"/proc/self/mountinfo": "".join(MOUNT.format(point) for point in points)})

    def files(self) -> set[str]:
        """All but what the script's own turn and the kernel leave."""
        found = {
            f"/{path.relative_to(self.root)}"
            for path in self.root.rglob("*")
            if not path.is_dir() or path.is_symlink()
        }
        return {path for path in found if not path.startswith(("/run", "/proc"))}

    def host(self, answers: dict[str, tuple[int, str]] | None = None, **request: Any) -> Host:
        return Host(
            {"mode": "retire", "node": "w-1", "root": str(self.root), "seconds": 2, **request},
            answers or {},
        )

    def work(self, **request: Any) -> dict[str, Any]:
        found: dict[str, Any] = reset_host.work(self.host(**request))
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def node(place: Place) -> Place:
    place.write(NODE)
    return place


KEPT = {
    "/var/cache/metalk8s/node.tar.unpacked",
    "/var/log/pods/x.log",
    "/etc/salt/other",
    "/etc/hostname",
}


def test_reset_wipes_only_listed_paths(node: Place) -> None:
    answer = node.work()
    assert (answer["refused"], answer["failed"], answer["left"]) == ("", [], [])
    assert node.files() == KEPT
    assert "wiped /var/lib/etcd" in answer["changes"]


def test_a_second_run_changes_nothing(node: Place) -> None:
    node.work()
    assert node.work() == {"changes": [], "left": [], "failed": [], "refused": ""}


def test_identity_files_are_wiped_last() -> None:
    assert set(reset_host.PATHS[-2:]) < set(reset_host.IDENTITY)
    assert set(reset_host.IDENTITY) < set(reset_host.PATHS)


def test_link_is_removed_and_its_target_is_kept(node: Place) -> None:
    node.write({"/data/etcd/member/wal": "kept", "/data/x": "kept"})
    link = node.at("/etc/kubernetes/link")
    link.symlink_to(node.at("/data"))
    directory = node.at("/var/lib/etcd")
    directory.rename(node.at("/var/lib/was"))
    directory.symlink_to(node.at("/data/etcd"))
    answer = node.work()
    assert node.files() - KEPT == {
        "/data/etcd/member/wal",
        "/data/x",
        "/var/lib/was/member/wal/0.wal",
    }
    assert len(answer["left"]) == 1
    assert "/data/etcd, the target of the link /var/lib/etcd" in answer["left"][0]


def test_listed_mount_point_is_emptied_and_kept(node: Place) -> None:
    node.mount("/var/lib/etcd")
    assert node.work()["left"] == []
    assert node.at("/var/lib/etcd").is_dir()
    assert not list(node.at("/var/lib/etcd").iterdir())
    assert node.work()["changes"] == []


def test_mount_below_listed_path_is_never_entered(node: Place) -> None:
    node.write({"/var/lib/etcd/disk/data": "kept", "/etc/kubernetes/deep/disk/data": "kept"})
    node.mount("/var/lib/etcd/disk", "/etc/kubernetes/deep/disk")
    answer = node.work()
    assert node.files() - KEPT == {"/var/lib/etcd/disk/data", "/etc/kubernetes/deep/disk/data"}
    assert len(answer["left"]) == 2
    assert answer["failed"] == []
    again = node.work()
    assert (again["changes"], again["refused"]) == ([], "")
    assert reset_host.traces(node.host()) == [], "what must stay is no reason to come again"


def test_volumes_of_pods_are_unmounted_before_and_their_data_stays(node: Place) -> None:
    points = [
        "/var/lib/kubelet/pods/uid/volumes",
        "/var/lib/kubelet/pods/uid/volumes/x",
        "/var/lib/kubelet",
        "/var/lib/kubelet/pods",
    ]
    node.mount(*points)
    host = node.host({"umount": (0, "")})
    reset_host.work(host)
    assert [line for line in host.called if line.startswith("umount")] == [
        f"umount --no-canonicalize {points[1]}",
        f"umount --no-canonicalize {points[0]}",
    ]


def test_volume_that_stays_mounted_is_reported_and_not_wiped(node: Place) -> None:
    node.mount("/var/lib/kubelet/pods/uid/volumes")
    answer = node.work()
    assert any("is still mounted" in item for item in answer["failed"])
    assert "/var/lib/kubelet/pods/uid/volumes/x" in node.files()
    assert {"/etc/salt/minion", "/etc/systemd/system/kubelet.service"} <= node.files(), (
        "the next run must know this host"
    )


def test_the_kubelet_is_stopped_before_its_containers(node: Place) -> None:
    state = {
        "systemctl show": (0, "ActiveState=active\nUnitFileState=enabled"),
        "systemctl": (0, ""),
    }
    runtime = {"ctr --namespace k8s.io containers list": (0, "a\nb\n"), "ctr": (0, "")}
    host = node.host({**state, **runtime})
    answer = reset_host.work(host)
    order = [host.called.index(line) for line in (
        "systemctl disable --now kubelet.service", "ctr --namespace k8s.io containers delete a",
        "systemctl disable --now containerd.service", "systemctl disable --now salt-minion.service",
    )]  # fmt: skip
    assert order == sorted(order)
    assert "removed 2 containers" in answer["changes"]
    assert "systemctl daemon-reload" in host.called


def test_process_that_outlives_runtime_is_found_by_control_group() -> None:
    assert reset_host.is_ours("0::/kubepods.slice/kubepods-burstable.slice/x", "sleep 1 ")
    assert reset_host.is_ours("1:name=systemd:/system.slice/salt-minion.service", "python ")
    assert reset_host.is_ours(
        "0::/x", "/usr/local/bin/containerd-shim-runc-v2 -namespace k8s.io -id a "
    )
    assert not reset_host.is_ours(
        "0::/x", "/usr/bin/containerd-shim-runc-v2 -namespace moby -id a "
    )
    assert not reset_host.is_ours("0::/user.slice/session-1.scope", "python3 -BIS - ")


def test_network_leftovers(node: Place) -> None:
    node.write(
        {"/run/flannel/subnet.env": "FLANNEL_NETWORK=10.233.0.0/16\n", "/sys/class/net/cni0/x": ""}
    )
    tables = "table ip kube-proxy\ntable inet filter\ntable ip flannel-ipv4\n"
    answers = {
        "nft list tables": (0, tables),
        "nft delete": (0, ""),
        "ip route": (0, "10.233.1.0/24 via 10.0.0.1"),
        "ip link": (0, ""),
    }
    host = node.host(answers)
    changes = reset_host.work(host)["changes"]
    assert [line for line in host.called if line.startswith(("ip ", "nft delete"))] == [
        "ip link delete cni0",
        "ip route show root 10.233.0.0/16",
        "ip route flush root 10.233.0.0/16",
        "nft delete table ip kube-proxy",
        "nft delete table ip flannel-ipv4",
    ]
    assert "removed 1 routes to Pods" in changes


# A worker that MetalK8s 134 has deployed on Rocky 8, from facts about its tree: no such host was run.
LOCKS = """
# Added lock on Mon Nov 23 10:00:00 2026
kernel-0:4.18.0-553.el8.*

# Added lock on Mon Nov 23 10:10:00 2026
kubelet-0:1.34.7-150500.1.1.*
# Added lock on Mon Nov 23 10:10:01 2026
salt-minion-0:3006.26-0.*
!salt-minion-0:3007.1-0.*
0:containerd.io-2.2.5-1.el8.*
salt-minion-tools-0:1-1.*
"""
UNLOCKED = """
# Added lock on Mon Nov 23 10:00:00 2026
kernel-0:4.18.0-553.el8.*

!salt-minion-0:3007.1-0.*
salt-minion-tools-0:1-1.*
"""
ROCKY: dict[str, str] = {
    "/etc/kubernetes/manifests/apiserver-proxy.yaml": "a Pod",
    "/etc/kubernetes/kubelet.conf": "secret",
    "/var/lib/kubelet/kubeadm-flags.env": 'KUBELET_KUBEADM_ARGS="--hostname-override=w-1 --node-ip=10.0.0.3"',
    "/var/lib/kubelet/config.yaml": "x",
    "/var/lib/metalk8s/apiserver-proxy.conf": "stream {}",
    "/var/lib/metalk8s/storage/sparse/8f2b": "kept",
    "/etc/systemd/system/metalk8s-sparse-volume@.service": "kept",
    "/etc/cni/net.d/10-calico.conflist": "{}",
    "/etc/cni/net.d/calico-kubeconfig": "secret",
    "/var/lib/calico/nodename": "w-1",
    "/etc/containerd/config.toml": "version = 2",
    "/etc/crictl.yaml": "x",
    "/etc/metalk8s/pki/nginx-ingress/ca.crt": "x",
    "/etc/sysctl.d/60-metalk8s.conf": "net.ipv4.ip_forward = 1",
    "/etc/yum.repos.d/metalk8s-kubernetes.repo": "[metalk8s-kubernetes]",
    "/etc/yum.repos.d/metalk8s-saltstack.repo": "[metalk8s-saltstack]",
    "/etc/yum.repos.d/Rocky-BaseOS.repo": "kept",
    "/etc/yum/vars/metalk8s_osmajorrelease": "8",
    "/etc/dnf/plugins/versionlock.list": LOCKS,
    "/etc/systemd/system/containerd.service.d/50-metalk8s.conf": "x",
    "/etc/systemd/system/kubelet.service.d/09-standalone.conf": "x",
    "/etc/systemd/system/kubelet.service.d/10-metalk8s.conf": "x",
    "/etc/salt/minion": "# of the package",
    "/etc/salt/grains": "metalk8s:\n  control_plane_ip: 10.0.0.3\n  workload_plane_ip: 10.0.0.3\nsite: north\n",
    "/etc/salt/minion.d/99-metalk8s.conf": "master: 10.0.0.1\nid: w-1\n",
    "/etc/salt/minion.d/beacons.conf": "beacons: {}",
    "/etc/salt/minion.d/site.conf": "kept",
    "/etc/salt/pki/minion/minion.pem": "secret",
    "/etc/salt/pki/minion/minion_master.pub": "the master's\n",
}  # fmt: skip
RULES = """*filter
:FORWARD ACCEPT [1:2]
:KUBE-FORWARD - [0:0]
:cali-FORWARD - [0:0]
-A FORWARD -m comment --comment "cali:wUHhoiAYhphO9Mso" -j cali-FORWARD
-A FORWARD -s 192.0.2.0/24 -j DROP
-A FORWARD -m comment --comment "cali:S93hcgKJrXEqnTfs" -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
*nat
:CNI-HOSTPORT-DNAT - [0:0]
:CNI-DN-4f21 - [0:0]
:CNI-DN-9b7e - [0:0]
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"k8s-pod-network\\" id: \\"e1\\"" -j CNI-DN-4f21
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"podman\\" id: \\"e2\\"" -j CNI-DN-9b7e
-A CNI-DN-4f21 -p tcp --dport 80 -j DNAT --to-destination 10.233.1.7:80
-A CNI-DN-9b7e -p tcp --dport 8088 -j DNAT --to-destination 10.88.0.7:80
COMMIT
"""
KEPT_RULES = """*filter
:FORWARD ACCEPT [1:2]
-A FORWARD -s 192.0.2.0/24 -j DROP
COMMIT
*nat
:CNI-HOSTPORT-DNAT - [0:0]
:CNI-DN-9b7e - [0:0]
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"podman\\" id: \\"e2\\"" -j CNI-DN-9b7e
-A CNI-DN-9b7e -p tcp --dport 8088 -j DNAT --to-destination 10.88.0.7:80
COMMIT
"""


class TestNodeOfMetalk8s:
    @pytest.fixture
    def rocky(self, place: Place) -> Place:
        place.write(ROCKY)
        return place

    def test_kept_are_volumes_and_files_of_the_system(self, rocky: Place) -> None:
        answer = rocky.work(master_key="the master's")
        assert (answer["refused"], answer["failed"], answer["left"]) == ("", [], [])
        assert rocky.files() == {
            "/etc/hostname",
            "/var/lib/metalk8s/storage/sparse/8f2b",
            "/etc/systemd/system/metalk8s-sparse-volume@.service",
            "/etc/yum.repos.d/Rocky-BaseOS.repo",
            "/etc/dnf/plugins/versionlock.list",
            "/etc/salt/grains",
            "/etc/salt/minion.d/site.conf",
        }
        assert rocky.at("/etc/dnf/plugins/versionlock.list").read_text() == UNLOCKED
        assert rocky.at("/etc/salt/grains").read_text() == "site: north\n"
        assert rocky.work()["changes"] == []

    @pytest.mark.parametrize("flags", [True, False])
    def test_name_is_in_the_flags_of_the_kubelet_and_in_the_minion(
        self, rocky: Place, flags: bool
    ) -> None:
        if not flags:
            rocky.at(reset_host.KUBELET_FLAGS).unlink()
        else:
            rocky.at(reset_host.MINION_OF_METALK8S).unlink()
        assert rocky.work(mode="look")["names"] == ["w-1"]
        assert "this host is w-1, not w-2" in rocky.work(node="w-2")["refused"]

    def test_interrupted_wipe_is_recognized_by_the_minion(self, rocky: Place) -> None:
        rocky.mount("/run/containerd/x")
        assert rocky.work()["failed"]
        assert "/etc/salt/minion.d/99-metalk8s.conf" in rocky.files()
        rocky.mount()
        assert rocky.work()["failed"] == []
        assert rocky.work(mode="look")["names"] == []

    def test_file_that_cannot_be_written_is_a_failure_and_the_host_stays_known(
        self, rocky: Place
    ) -> None:
        rocky.at("/etc/salt/grains.new").mkdir()
        answer = rocky.work()
        assert answer["failed"] == ["/etc/salt/grains: Is a directory"]
        assert "/etc/salt/minion.d/99-metalk8s.conf" in rocky.files()
        rocky.at("/etc/salt/grains.new").rmdir()
        assert rocky.work()["failed"] == []

    def test_packages_that_stay_are_named(self, rocky: Place) -> None:
        host = rocky.host({"rpm": (1, "package runc is not installed\nkubelet\ncontainerd.io")})
        left = reset_host.work(host)["left"]
        assert left == [
            "the packages containerd.io kubelet; to remove them: dnf remove containerd.io kubelet"
        ]

    def test_network_of_calico_is_removed(self, rocky: Place) -> None:
        rocky.mount("/run/calico/cgroup")
        host = rocky.host(
            {
                "umount": (0, ""),
                "ip route show proto bird": (
                    0,
                    "blackhole 10.233.1.0/26\n10.233.2.0/26 via 10.0.0.1",
                ),
                "ip -oneline address show dev tunl0": (0, "7: tunl0 inet 10.233.1.1/32"),
                "ip ": (0, ""),
                "ipset list -name": (0, "cali40all-ipam-pools\nsite"),
                "ipset destroy": (0, ""),
            }
        )
        changes = reset_host.work(host)["changes"]
        assert "umount --no-canonicalize /run/calico/cgroup" in host.called
        for command in ("ip route flush proto bird", "ip address flush dev tunl0"):
            assert command in host.called
        assert [line for line in host.called if "destroy" in line] == [
            "ipset destroy cali40all-ipam-pools"
        ]
        assert "removed 2 routes to Pods" in changes

    def test_routes_and_tunnel_of_a_host_without_calico_stay(self, node: Place) -> None:
        host = node.host({"ip ": (0, "something")})
        reset_host.work(host)
        assert [line for line in host.called if "bird" in line or "tunl0" in line] == []

    def test_rules_of_the_cluster_are_removed_and_others_stay(self, rocky: Place) -> None:
        host = rocky.host({"iptables-save": (0, RULES), "iptables-restore": (0, ""), "ip6tables-save": (0, KEPT_RULES)})  # fmt: skip
        assert "removed 8 rules of iptables" in reset_host.work(host)["changes"]
        assert host.inputs == {"iptables-restore": KEPT_RULES}
        assert "ip6tables-restore" not in host.called


@pytest.mark.parametrize(
    ("files", "request_", "words"),
    [
        ({"/etc/kubernetes/pki/ca.key": "x"}, {}, "bootstrap"),
        ({"/etc/salt/minion": "id: w-2\n"}, {}, "this host is w-1 and w-2, not w-1"),
        (
            {"/etc/salt/minion": "id: w-2\n", "/etc/systemd/system/kubelet.service": ""},
            {},
            "this host is w-2",
        ),
        ({}, {"node": "w-2"}, "this host is w-1, not w-2"),
        ({}, {"master_key": "another's"}, "another Salt master"),
        ({"/etc/metalk8s/expand-epoch": "8\n"}, {"epoch": 7}, "epoch 8"),
        ({"/etc/metalk8s/expand-epoch": "garbage\n"}, {"epoch": 7}, "garbage"),
        (
            {"/etc/salt/minion": "", "/etc/systemd/system/kubelet.service": ""},
            {},
            "does not report the name w-1",
        ),
    ],
)
@pytest.mark.parametrize("mode", ["retire", "withdraw"])
def test_refused_host_is_not_changed(
    node: Place, files: dict[str, str], request_: dict[str, Any], words: str, mode: str
) -> None:
    node.write(files)
    before = node.files()
    answer = node.work(**{"mode": mode, **request_})
    assert words in answer["refused"]
    assert (answer["changes"], node.files()) == ([], before)


def test_epoch_file_outlives_the_wipe(node: Place) -> None:
    node.work(epoch=7, master_key="the master's")
    assert node.at(reset_host.EPOCH).read_text() == "7\n"
    assert oct(node.at(reset_host.EPOCH).stat().st_mode & 0o777) == "0o600"
    assert node.work(epoch=6)["refused"]
    assert node.work(epoch=8)["refused"] == ""


def test_concurrent_calls_are_refused(node: Place) -> None:
    with node.at(reset_host.TURN).open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        assert "still running" in node.work(seconds=0.4)["refused"]


def listening(port: int) -> str:
    return f"  sl  local_address rem_address   st\n   0: 00000000:{port:04X} 00000000:0000 0A 00000000\n"


def test_withdraw_waits_until_the_port_is_closed(node: Place) -> None:
    node.write({"/proc/net/tcp": listening(6443)})
    host = node.host({"systemctl show": (0, "ActiveState=active")}, mode="withdraw", seconds=17)
    closing = threading.Timer(0.3, lambda: node.write({"/proc/net/tcp": listening(22)}))
    closing.start()
    answer = reset_host.work(host)
    assert answer["changes"] == [
        "removed /etc/kubernetes/manifests/kube-apiserver.yaml",
        "the API server has stopped",
    ]
    assert "/etc/kubernetes/manifests/etcd.yaml" in node.files()
    assert node.work(mode="withdraw")["changes"] == []


def test_withdraw_stops_container_without_kubelet(node: Place) -> None:
    node.write({"/proc/net/tcp": listening(6443)})
    host = node.host({"ctr --namespace k8s.io containers list": (0, "a")}, mode="withdraw")
    answer = reset_host.work(host)
    assert (
        'ctr --namespace k8s.io containers list --quiet labels."io.kubernetes.container.name"==kube-apiserver'
        in host.called
    )
    assert answer["failed"] == ["a process still serves port 6443"]


def test_look_reports_identity_and_changes_nothing(node: Place) -> None:
    node.write({"/etc/machine-id": "m\n"})
    before = node.files()
    found = node.work(mode="look")
    assert (found["names"], found["machine_id"], found["master_key"]) == (
        ["w-1"],
        "m",
        "the master's",
    )
    assert (found["authority"], found["api_server"]) == (False, True)
    assert "/etc/kubernetes" in found["traces"]
    assert node.files() == before


def test_a_blank_host_has_no_trace(place: Place) -> None:
    for path in reset_host.DIRECTORIES:
        place.at(path).mkdir(parents=True)
    found = place.work(mode="look")
    assert (found["names"], found["traces"], found["services"], found["containers"]) == (
        [],
        [],
        [],
        0,
    )


def interpreters() -> list[str]:
    beside = [str(path) for path in sorted(Path(sys.base_prefix).parent.glob("3.*/bin/python3"))]
    return [
        sys.executable,
        *beside,
        *(path for path in ("/usr/bin/python3",) if os.path.exists(path)),
    ]


@pytest.mark.parametrize("python", interpreters())
def test_script_runs_as_sent_over_ssh(python: str, node: Place) -> None:
    request = {"mode": "look", "node": "w-1", "root": str(node.root)}
    command = [python, *remote_script.OPTIONS, json.dumps(request)]
    done = subprocess.run(
        command, input=SOURCE, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert host_facts.answer("noise\n" + done.stdout, reset_host.MARK)["names"] == ["w-1"]
    assert host_facts.answer("noise", reset_host.MARK) is None
    assert host_facts.answer(reset_host.MARK + "no JSON", reset_host.MARK) is None


def test_real_mounts_are_never_entered(node: Place) -> None:
    """Of another device and of the same one, of a directory and of a file, and one at a listed path."""
    node.write({"/disk/data": "kept", "/disk/file": "kept", "/disk/etcd/member": "taken"})
    for path in ("/etc/kubernetes/bound", "/var/lib/cni/tmpfs", "/run/flannel"):
        node.at(path).mkdir(parents=True)
    node.write({"/etc/salt/pki/minion/file": ""})
    info = node.at("/proc/self/mountinfo")
    info.unlink()
    info.symlink_to("/proc/self/mountinfo")
    mounts = [
        f"mount --bind {node.at('/disk')} {node.at('/etc/kubernetes/bound')}",
        f"mount -t tmpfs none {node.at('/var/lib/cni/tmpfs')}",
        f"touch {node.at('/var/lib/cni/tmpfs/kept')}",
        f"mount --bind {node.at('/disk/file')} {node.at('/etc/salt/pki/minion/file')}",
        f"mount --bind {node.at('/disk/etcd')} {node.at('/var/lib/etcd')}",
    ]
    request = json.dumps({"mode": "retire", "node": "w-1", "root": str(node.root), "grace": 0})
    script = "\n".join(["set -e", *mounts, 'exec "$0" -BIS - "$1"'])
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("mounts need root")
    empty = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script.replace("exec ", "PATH=/nowhere exec "), sys.executable, request],
        input=SOURCE.replace(reset_host.ENVIRONMENT["PATH"], "/nowhere"),
        capture_output=True, text=True, timeout=30, check=False, env=empty,
    )  # fmt: skip
    found = host_facts.answer(done.stdout, reset_host.MARK)
    assert found is not None, done.stderr
    assert found["refused"] == ""
    assert sorted(item.rpartition(str(node.root))[2] for item in found["left"]) == [
        "/etc/kubernetes/bound is a mount point",
        "/etc/salt/pki/minion/file is a mount point",
        "/var/lib/cni/tmpfs is a mount point",
    ]
    assert node.files() - KEPT == {
        "/disk/data",
        "/disk/file",
        "/etc/salt/pki/minion/file",
        "/var/lib/etcd/member/wal/0.wal",
    }
