"""Manage the disk of the lab: an overlay for each host over a read-only system, and snapshots.

Snapshots share blocks with the disks. If the state's file system cannot share blocks between files
(ext4), the lab mounts a sparse file with XFS. A copy of a whole lab then takes seconds and almost
no space.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from metalk8s_lab.command import run, succeeds
from metalk8s_lab.errors import LabError
from metalk8s_lab.settings import Settings

# These directories need a real file system: containerd's overlays do not stack on an overlay.
DATA = {"containerd": "/var/lib/containerd", "kubelet": "/var/lib/kubelet", "etcd": "/var/lib/etcd"}
_IMAGE_SIZE = 60 * 1024**3


def shares_blocks(directory: Path) -> bool:
    """Return whether a copy in this directory can share its blocks with the original."""
    with tempfile.TemporaryDirectory(dir=directory, prefix=".reflink-") as scratch:
        source = Path(scratch) / "a"
        source.write_bytes(b"x" * 8192)
        return succeeds(["cp", "--reflink=always", source, Path(scratch) / "b"])


def is_mounted(path: Path) -> bool:
    """Return whether the path is a mount point."""
    return str(path) in mounts_below(path)


def mounts_below(path: Path) -> list[str]:
    """Return the mount points at and below a directory, the innermost first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    return [
        point for point in reversed(points) if point == str(path) or point.startswith(f"{path}/")
    ]


def unmount_below(path: Path) -> None:
    """Unmount everything at and below a directory; detach busy mounts lazily."""
    for point in mounts_below(path):
        if not succeeds(["umount", point]):
            run(["umount", "--lazy", point])


def attach(settings: Settings) -> None:
    """Make the disk ready: create and mount its XFS file if it needs one to share blocks."""
    settings.disk.mkdir(parents=True, exist_ok=True)
    image = settings.state / "disk.img"
    if is_mounted(settings.disk) or (not image.exists() and shares_blocks(settings.disk)):
        return
    if not image.exists():
        unfinished = settings.state / "disk.img.new"
        unfinished.unlink(missing_ok=True)
        with unfinished.open("wb") as file:
            file.truncate(_IMAGE_SIZE)
        run(["mkfs.xfs", "-q", "-m", "reflink=1", unfinished])
        unfinished.rename(image)
    run(["mount", "-o", "loop,noatime,nouuid", image, settings.disk])
    device = run(["findmnt", "--noheadings", "--output", "SOURCE", settings.disk]).stdout.strip()
    succeeds(
        ["losetup", "--direct-io=on", device]
    )  # where supported, it avoids a second copy in the page cache


def detach(settings: Settings) -> None:
    """Unmount the root of every host and the disk itself, also those of an earlier command."""
    unmount_below(settings.mounts)
    unmount_below(settings.disk)


def host_dir(settings: Settings, host: str) -> Path:
    """Return the directory with all that the host writes: a snapshot contains a copy of it."""
    return settings.disk / "hosts" / host


def root(settings: Settings, host: str) -> Path:
    """Return the mount point of the root of a running host."""
    return settings.mounts / host


def mount_root(settings: Settings, host: str, system: Path) -> Path:
    """Mount the host's overlay and return its root.

    A new host gets ``system`` as its lower layer and always keeps it, because the lower layer of an
    overlay must not change. Raise ``LabError`` if the recorded system no longer exists.
    """
    merged, own = root(settings, host), host_dir(settings, host)
    if is_mounted(merged):
        return merged
    own.mkdir(parents=True, exist_ok=True)
    noted = own / "system"
    if not noted.exists():
        noted.write_text(f"{system}\n")
    system = Path(noted.read_text().strip())
    if not system.is_dir():
        raise LabError(
            f"{host} was made on {system}, which is gone: make it blank again with ./lab/lab reset"
            f" {host}"
        )
    for directory in (merged, own / "upper", own / "work", *(own / "data" / name for name in DATA)):
        directory.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={system},upperdir={own / 'upper'},workdir={own / 'work'}"
    run(["mount", "-t", "overlay", "overlay", "-o", options, merged])
    return merged


def unmount_root(settings: Settings, host: str) -> None:
    """Unmount the host's overlay and all mounts below it."""
    unmount_below(root(settings, host))


def forget(settings: Settings, directory: Path) -> None:
    """Delete a directory: rename it at once and free its blocks in the background."""
    if not directory.exists():
        return
    trash = Path(tempfile.mkdtemp(dir=settings.disk, prefix=".trash-"))
    directory.rename(trash / directory.name)
    subprocess.Popen(["rm", "-rf", str(trash)], stdin=subprocess.DEVNULL, start_new_session=True)


def snapshot(settings: Settings, name: str, hosts: list[str], facts: dict[str, object]) -> None:
    """Copy all hosts, which must be stopped, to a snapshot of that name.

    The copy replaces an older snapshot of the same name only when it is complete.
    """
    final, unfinished = _snapshot_dir(settings, name), settings.disk / "snapshots" / f".new-{name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    _copy_hosts({host_dir(settings, host): unfinished / host for host in hosts})
    (unfinished / "snapshot.json").write_text(json.dumps({**facts, "hosts": hosts}))
    forget(settings, final)
    unfinished.rename(final)


def snapshot_facts(settings: Settings, name: str) -> dict[str, object]:
    """Return the facts of a snapshot; raise ``LabError`` with all names if it does not exist."""
    try:
        facts: dict[str, object] = json.loads(
            (_snapshot_dir(settings, name) / "snapshot.json").read_text()
        )
    except FileNotFoundError:
        known = ", ".join(snapshots(settings)) or "none"
        raise LabError(f"there is no snapshot {name!r}; there are: {known}") from None
    return facts


def rollback(settings: Settings, name: str, hosts: list[str]) -> None:
    """Replace the disks of the hosts, which must be stopped, with copies of the snapshot."""
    source = _snapshot_dir(settings, name)
    fresh = {host: settings.disk / "hosts" / f".new-{host}" for host in hosts}
    for directory in fresh.values():
        shutil.rmtree(directory, ignore_errors=True)
    (settings.disk / "hosts").mkdir(exist_ok=True)
    _copy_hosts({source / host: directory for host, directory in fresh.items()})
    for host, directory in fresh.items():
        forget(settings, host_dir(settings, host))
        directory.rename(host_dir(settings, host))


def snapshots(settings: Settings) -> list[str]:
    """Return the names of all snapshots."""
    return sorted(
        path.parent.name for path in (settings.disk / "snapshots").glob("[!.]*/snapshot.json")
    )


def _snapshot_dir(settings: Settings, name: str) -> Path:
    if not name.replace("-", "").replace("_", "").isalnum():
        raise LabError(f"{name!r} cannot name a snapshot: letters, digits, '-' and '_' only")
    return settings.disk / "snapshots" / name


def _copy_hosts(pairs: dict[Path, Path]) -> None:
    def copy(pair: tuple[Path, Path]) -> None:
        run(["cp", "-a", "--reflink=always", *pair], timeout=300)

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(copy, pairs.items()))
