"""Build the system of a blank host: Debian with systemd, sshd, Python and sudo.

It contains no part of a cluster.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from metalk8s_lab.builders.cache import cached, digest
from metalk8s_lab.command import run
from metalk8s_lab.settings import Settings

_SUITE = "trixie"
_MIRROR = "http://deb.debian.org/debian"
_PACKAGES = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "python3",
    "sudo",
    "iproute2",
    "iputils-ping",
    "kmod",
    "procps",
    "ca-certificates",
    "curl",
    "nftables",
    "iptables",
    "conntrack",
    "ethtool",
    "socat",
]
_MASKED = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-tmpfiles-clean.timer",
    "console-getty.service",
    "getty.target",
    "systemd-udevd.service",
    "systemd-firstboot.service",
    "systemd-networkd-persistent-storage.service",
    "systemd-pcrlock-make-policy.service",
    "systemd-hostnamed.socket",
    "systemd-networkd-wait-online.service",
    "nftables.service",
    "sshd-keygen.service",
]
_FILES = {
    "etc/hostname": "",
    "etc/resolv.conf": "",
    "etc/ssh/sshd_config.d/lab.conf": (
        "UseDNS no\nMaxStartups 100\nMaxSessions 100\nPasswordAuthentication no\n"
    ),
    "etc/sudoers.d/deploy": "deploy ALL=(ALL) NOPASSWD: ALL\n",
    "etc/systemd/system.conf.d/lab.conf": "[Manager]\nDefaultTimeoutStopSec=10s\n",
    "etc/systemd/journald.conf.d/lab.conf": (
        "[Journal]\nSystemMaxUse=200M\nRateLimitIntervalSec=0\n"
    ),
    # Without this, networkd removes the routes of other programs, such as a CNI, when it restarts.
    "etc/systemd/networkd.conf.d/lab.conf": (
        "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n"
    ),
    # The kubelet reads the kernel's log; a container has none.
    "etc/tmpfiles.d/lab.conf": "L+ /dev/kmsg - - - - /dev/console\n",
    "etc/systemd/system/lab-host.service": (
        """\
[Unit]
Description=What a machine has and a container lacks: control groups to write to, sysctls that kubelet finds as it likes
DefaultDependencies=no
Before=basic.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/lab-host

[Install]
WantedBy=sysinit.target
"""
    ),
    "usr/local/sbin/lab-host": (
        """\
#!/bin/sh
set -eu
if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
    for controller in /sys/fs/cgroup/*/; do
        mount -o remount,bind,rw "$controller" || true
    done
fi
mkdir -p /run/lab-sysctl
bind() { echo "$2" >"/run/lab-sysctl/$1"; mount --bind "/run/lab-sysctl/$1" "/proc/sys/$(echo "$1" | tr . /)"; }
bind vm.overcommit_memory 1
bind kernel.panic 10
bind kernel.panic_on_oops 1
"""
    ),
}
_EXECUTABLE = {"usr/local/sbin/lab-host": 0o755, "etc/sudoers.d/deploy": 0o440}


def key() -> str:
    """Return a digest of the input of the system."""
    return digest(_SUITE, _MIRROR, _PACKAGES, _MASKED, _FILES, _steps(Path("/")))


def build(settings: Settings) -> Path:
    """Return the directory of the read-only system; build it if it is not in the cache."""
    place = settings.cache / "rootfs" / key()
    return cached(place, "Debian system for the hosts (mmdebstrap, about 70 s)", _make)


def _make(directory: Path) -> None:
    directory.rmdir()
    include = ",".join(_PACKAGES)
    options = ["--quiet", "--variant=minbase", f"--include={include}"]
    run(["mmdebstrap", *options, _SUITE, str(directory), _MIRROR], timeout=1200)
    for name, content in _FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(content)
        path.chmod(_EXECUTABLE.get(name, 0o644))
    for step in _steps(directory):
        run(step)
    for path in [
        *directory.glob("etc/ssh/ssh_host_*"),
        directory / "etc/machine-id",
        directory / "var/lib/dbus/machine-id",
    ]:
        path.unlink(missing_ok=True)
    shutil.rmtree(directory / "var/cache/apt/archives", ignore_errors=True)
    directory.chmod(0o755)


def _steps(directory: Path) -> list[list[str | Path]]:
    enter: list[str | Path] = ["chroot", directory]
    return [
        [*enter, "useradd", "--create-home", "--shell", "/bin/bash", "deploy"],
        [
            *enter,
            "systemctl",
            "enable",
            "--quiet",
            "systemd-networkd.service",
            "ssh.service",
            "lab-host.service",
        ],
        [*enter, "systemctl", "mask", "--quiet", *_MASKED],
    ]
