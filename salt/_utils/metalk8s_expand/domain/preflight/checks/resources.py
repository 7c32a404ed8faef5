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
    cpus, wanted = host.fact("cpus"), largest(host.thresholds.cpus, host.node.roles)
    if cpus >= wanted:
        return None
    return CheckFailure(
        f"{cpus}", f"{wanted}", "use a larger host, or lower preflight:thresholds:cpus"
    )


@check
def memory(host: CheckContext) -> CheckFailure | None:
    """Check that the host has enough memory for the node's roles."""
    size, wanted = host.fact("memory_mb"), largest(host.thresholds.memory_mb, host.node.roles)
    if size >= wanted:
        return None
    return CheckFailure(
        f"{size} MB", f"{wanted} MB", "use a larger host, or lower preflight:thresholds:memory_mb"
    )


@check
def disk(host: CheckContext) -> CheckFailure | None:
    """Check that the file systems of images, Pods and etcd have enough free space and inodes."""
    wanted = largest(host.thresholds.disk_mb, host.node.roles)
    inodes = host.thresholds.disk_inodes
    short: dict[str, str] = {}
    for path, directory in _directories(host).items():
        free, left = directory.get("free_mb"), directory.get("free_inodes")
        if free is not None and free < wanted:
            short[directory["mount"]] = f"{free} MB free at {directory['mount']} for {path}"
        elif left is not None and left < inodes:
            short[directory["mount"]] = f"{left} inodes free at {directory['mount']} for {path}"
    if not short:
        return None
    remedy = "free disk space, or lower preflight:thresholds:disk_mb and disk_inodes"
    return CheckFailure("; ".join(short.values()), f"{wanted} MB and {inodes} inodes", remedy)


@check
def filesystem(host: CheckContext) -> CheckFailure | None:
    """Check that the container runtime can unpack images and that the directories are writable."""
    directories = _directories(host)
    runtime = directories[CONTAINERD]
    read_only = [item["mount"] for item in directories.values() if item["read_only"]]
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
    result = host.fact("fsync")
    if result["problem"] in TOLD_ELSEWHERE:
        return None
    if result["problem"]:
        raise FactUnknown(f"no file can be written at {result['path']} ({result['problem']})")
    limits, p99 = host.thresholds, result["p99_ms"]
    if p99 <= limits.fsync_warning_ms:
        return None
    severity = ERROR if p99 > limits.fsync_error_ms else WARNING
    wanted = f"at most {limits.fsync_error_ms if severity == ERROR else limits.fsync_warning_ms} ms"
    text = f"fdatasync takes {p99:.1f} ms (p99 of {result['writes']} writes at {result['path']})"
    return CheckFailure(
        text, wanted, f"give {ETCD} a fast dedicated disk, without other load", severity
    )


def _directories(host: CheckContext) -> dict[str, Mapping[str, Any]]:
    """Return the facts of the directories that the node uses.

    FactUnknown if the host does not report the file system of one of them.
    """
    directories = host.fact("directories")
    used = [path for path in DIRECTORIES if path != ETCD or host.node.is_etcd]
    unknown = [path for path in used if not directories.get(path)]
    if unknown:
        raise FactUnknown(
            f"the host does not report the file system of {', '.join(unknown)}",
            "findmnt --target DIRECTORY; df",
        )
    return {path: directories[path] for path in used}


def _xfs(directory: Mapping[str, Any]) -> CheckFailure | None:
    if directory.get("ftype") is None:
        mount = directory["mount"]
        raise FactUnknown(f"the XFS at {mount} does not report its ftype", f"xfs_info {mount}")
    if directory["ftype"]:
        return None
    return CheckFailure(
        f"XFS with ftype=0 at {directory['mount']}",
        "ftype=1",
        "create the file system again: mkfs.xfs -n ftype=1",
    )
