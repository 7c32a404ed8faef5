"""The disk of the lab: one overlay a host over one read-only system, and snapshots that share blocks with it.

Where the state's file system cannot share blocks between files (ext4), a sparse file with XFS is mounted for it: a
copy of a whole lab then takes seconds and next to no room.
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

# Directories that need a real file system below them: containerd's overlays do not stack on an overlay.
DATA = {"containerd": "/var/lib/containerd", "kubelet": "/var/lib/kubelet", "etcd": "/var/lib/etcd"}
_IMAGE_SIZE = 60 * 1024**3


def shares_blocks(directory: Path) -> bool:
    """Whether a copy in this directory can share its blocks with the original."""
    with tempfile.TemporaryDirectory(dir=directory, prefix=".reflink-") as scratch:
        source = Path(scratch) / "a"
        source.write_bytes(b"x" * 8192)
        return succeeds(["cp", "--reflink=always", source, Path(scratch) / "b"])


def is_mounted(path: Path) -> bool:
    """Whether something is mounted exactly there."""
    return str(path) in mounts_below(path)


def mounts_below(path: Path) -> list[str]:
    """The mount points at and below a directory, the innermost first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    return [
        point for point in reversed(points) if point == str(path) or point.startswith(f"{path}/")
    ]


def unmount_below(path: Path) -> None:
    """Unmount everything at and below a directory; what is busy is detached."""
    for point in mounts_below(path):
        if not succeeds(["umount", point]):
            run(["umount", "--lazy", point])


def attach(settings: Settings) -> None:
    """Make the disk ready for use, unless it is."""
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
    )  # no second copy of everything in memory, where it is supported


def detach(settings: Settings) -> None:
    """Unmount every host's root and the disk itself, whoever mounted them."""
    unmount_below(settings.mounts)
    unmount_below(settings.disk)


def host_dir(settings: Settings, host: str) -> Path:
    """Everything that the host has written: the part of it that snapshots hold."""
    return settings.disk / "hosts" / host


def root(settings: Settings, host: str) -> Path:
    """Where the host's root is mounted while it runs."""
    return settings.mounts / host


def mount_root(settings: Settings, host: str, system: Path) -> Path:
    """Mount the host's overlay; return its root.

    A new host gets ``system`` as its lower layer and keeps the one that it began with ever after: an overlay must not
    change what lies below it.
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
            f"{host} was made on {system}, which is gone: make it blank again with ./lab/lab reset {host}"
        )
    for directory in (merged, own / "upper", own / "work", *(own / "data" / name for name in DATA)):
        directory.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={system},upperdir={own / 'upper'},workdir={own / 'work'}"
    run(["mount", "-t", "overlay", "overlay", "-o", options, merged])
    return merged


def unmount_root(settings: Settings, host: str) -> None:
    """Unmount the host's overlay and what hangs below it."""
    unmount_below(root(settings, host))


def forget(settings: Settings, directory: Path) -> None:
    """Delete a directory: out of the way at once, its blocks in the background."""
    if not directory.exists():
        return
    trash = Path(tempfile.mkdtemp(dir=settings.disk, prefix=".trash-"))
    directory.rename(trash / directory.name)
    subprocess.Popen(["rm", "-rf", str(trash)], stdin=subprocess.DEVNULL, start_new_session=True)


def snapshot(settings: Settings, name: str, hosts: list[str], facts: dict[str, object]) -> None:
    """Keep a copy of all (stopped) hosts under a name; an older one of that name is replaced once this one is whole."""
    final, unfinished = _snapshot_dir(settings, name), settings.disk / "snapshots" / f".new-{name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    _copy_hosts({host_dir(settings, host): unfinished / host for host in hosts})
    (unfinished / "snapshot.json").write_text(json.dumps({**facts, "hosts": hosts}))
    forget(settings, final)
    unfinished.rename(final)


def snapshot_facts(settings: Settings, name: str) -> dict[str, object]:
    """What was noted down with a snapshot, or an error that lists the snapshots there are."""
    try:
        facts: dict[str, object] = json.loads(
            (_snapshot_dir(settings, name) / "snapshot.json").read_text()
        )
    except FileNotFoundError:
        known = ", ".join(snapshots(settings)) or "none"
        raise LabError(f"there is no snapshot {name!r}; there are: {known}") from None
    return facts


def rollback(settings: Settings, name: str, hosts: list[str]) -> None:
    """Put the copies back in place of the (stopped) hosts."""
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
    """The names of all snapshots."""
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
