"""Checks that the host is large and fast enough for the roles of its node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.preflight.checks.context import CheckContext, FactUnknown
from metalk8s_expand.domain.preflight.checks.registry import ERROR, WARNING, CheckFailure, check
from metalk8s_expand.domain.preflight.thresholds import largest

CONTAINERD, KUBELET, ETCD = "/var/lib/containerd", "/var/lib/kubelet", "/var/lib/etcd"
DIRECTORIES = (CONTAINERD, KUBELET, ETCD)
GOOD_FILESYSTEMS = ("ext4", "xfs", "btrfs", "zfs", "f2fs", "ext3")
# The runtime unpacks images into overlays, which work neither on another overlay nor on a network
# file system. A reboot clears what is in memory.
BAD_FILESYSTEMS = (
    "overlay", "aufs", "ecryptfs", "tmpfs", "ramfs", "vfat", "exfat", "ntfs", "squashfs", "iso9660",
    "nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "afs", "virtiofs", "gfs2", "ocfs2",
)  # fmt: skip
# Other checks report these: a full disk, a read-only file system, a user that is not root.
TOLD_ELSEWHERE = ("ENOSPC", "EROFS", "EACCES", "EPERM")


@check
def cpu(host: CheckContext) -> CheckFailure | None:
    """Check that the host has enough CPUs for the node's roles."""
    found, wanted = host.fact("cpus"), largest(host.thresholds.cpus, host.node.roles)
    if found >= wanted:
        return None
    return CheckFailure(
        f"{found}", f"{wanted}", "use a larger host, or lower preflight:thresholds:cpus"
    )


@check
def memory(host: CheckContext) -> CheckFailure | None:
    """Check that the host has enough memory for the node's roles."""
    found, wanted = host.fact("memory_mb"), largest(host.thresholds.memory_mb, host.node.roles)
    if found >= wanted:
        return None
    return CheckFailure(
        f"{found} MB", f"{wanted} MB", "use a larger host, or lower preflight:thresholds:memory_mb"
    )


@check
def disk(host: CheckContext) -> CheckFailure | None:
    """Check that the file systems of images, Pods and etcd have enough free space and inodes."""
    wanted = largest(host.thresholds.disk_mb, host.node.roles)
    inodes = host.thresholds.disk_inodes
    short: dict[str, str] = {}
    for path, found in _directories(host).items():
        free, left = found.get("free_mb"), found.get("free_inodes")
        if free is not None and free < wanted:
            short[found["mount"]] = f"{free} MB free at {found['mount']} for {path}"
        elif left is not None and left < inodes:
            short[found["mount"]] = f"{left} inodes free at {found['mount']} for {path}"
    if not short:
        return None
    remedy = "free disk space, or lower preflight:thresholds:disk_mb and disk_inodes"
    return CheckFailure("; ".join(short.values()), f"{wanted} MB and {inodes} inodes", remedy)


@check
def filesystem(host: CheckContext) -> CheckFailure | None:
    """Check that the container runtime can unpack images and that the directories are writable."""
    found = _directories(host)
    runtime = found[CONTAINERD]
    read_only = [item["mount"] for item in found.values() if item["read_only"]]
    if read_only:
        return CheckFailure(
            f"read-only: {', '.join(dict.fromkeys(read_only))}",
            "writable",
            "check dmesg and /etc/fstab",
        )
    kind, remedy = runtime["type"], f"mount an ext4 or XFS file system at {CONTAINERD}"
    if kind in BAD_FILESYSTEMS or kind.startswith("fuse"):
        return CheckFailure(
            f"{kind} at {runtime['mount']}", f"ext4 or XFS below {CONTAINERD}", remedy
        )
    if kind == "xfs":
        return _xfs(runtime)
    if kind not in GOOD_FILESYSTEMS:
        return CheckFailure(
            f"{kind} at {runtime['mount']}", f"ext4 or XFS below {CONTAINERD}", remedy, WARNING
        )
    return None


@check
def fsync(host: CheckContext) -> CheckFailure | None:
    """Check that the disk of an etcd node is fast enough for etcd's log. Other nodes pass."""
    if not host.node.is_etcd:
        return None
    found = host.fact("fsync")
    if found["problem"] in TOLD_ELSEWHERE:
        return None
    if found["problem"]:
        raise FactUnknown(f"no file can be written at {found['path']} ({found['problem']})")
    limits, p99 = host.thresholds, found["p99_ms"]
    if p99 <= limits.fsync_warning_ms:
        return None
    severity = ERROR if p99 > limits.fsync_error_ms else WARNING
    wanted = f"at most {limits.fsync_error_ms if severity == ERROR else limits.fsync_warning_ms} ms"
    text = f"fdatasync takes {p99:.1f} ms (p99 of {found['writes']} writes at {found['path']})"
    return CheckFailure(
        text, wanted, f"give {ETCD} a fast dedicated disk, without other load", severity
    )


def _directories(host: CheckContext) -> dict[str, Mapping[str, Any]]:
    """Return the facts of the directories that the node uses.

    FactUnknown if the host does not report the file system of one of them.
    """
    found = host.fact("directories")
    used = [path for path in DIRECTORIES if path != ETCD or host.node.is_etcd]
    unknown = [path for path in used if not found.get(path)]
    if unknown:
        raise FactUnknown(
            f"the host does not report the file system of {', '.join(unknown)}",
            "findmnt --target DIRECTORY; df",
        )
    return {path: found[path] for path in used}


def _xfs(found: Mapping[str, Any]) -> CheckFailure | None:
    if found.get("ftype") is None:
        raise FactUnknown(
            f"the XFS at {found['mount']} does not report its ftype", f"xfs_info {found['mount']}"
        )
    if found["ftype"]:
        return None
    return CheckFailure(
        f"XFS with ftype=0 at {found['mount']}",
        "ftype=1",
        "create the file system again: mkfs.xfs -n ftype=1",
    )
