"""Policy of the etcd snapshot before a membership change: settings, source, name, retention."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.parsing import scalars
from metalk8s_expand.domain.parsing.reader import Reader

# MetalK8s mounts /var/cache/salt into its Salt master, so the directory outlives the container. It
# is not in etcd's data directory, which is deleted with the member, and not in the master's cache,
# /var/cache/salt/master, which may be cleared.
DIRECTORY = "/var/cache/salt/metalk8s-expand/snapshots"
ETCD_DATA = "/var/lib/etcd"
PARTIAL = ".partial"
MIB = 1024 * 1024
# This space stays free, because etcd often writes to the same file system.
SPARE_BYTES = 512 * MIB


@dataclass(frozen=True)
class SnapshotSettings:
    """Settings of snapshots.

    ``keep`` counts snapshots of one cluster. ``timeout_s`` limits the attempts on all members
    together.
    """

    enabled: bool = True
    directory: str = DIRECTORY
    keep: int = 5
    timeout_s: int = 600
    copy_to: str | None = None


def read(reader: Reader) -> SnapshotSettings:
    """Return the settings in the mapping ``etcd_snapshot``, with defaults for absent keys.

    The reader notes its problems.
    """
    settings = SnapshotSettings(
        enabled=reader.take("enabled", scalars.boolean, True),
        directory=reader.take("directory", scalars.absolute_path, DIRECTORY),
        keep=reader.take("keep", scalars.integer(1, 1000), 5),
        timeout_s=reader.take("timeout_s", scalars.integer(10, 86400), 600),
        copy_to=reader.take("copy_to", scalars.absolute_path, None),
    )
    reader.finish()
    for key, path in (("directory", settings.directory), ("copy_to", settings.copy_to)):
        if path and _is_inside(path, ETCD_DATA):
            reader.note(
                reader.at(key),
                path,
                "is inside etcd's data directory",
                f"write a path outside {ETCD_DATA}",
            )
    if settings.copy_to and (
        _is_inside(settings.copy_to, settings.directory)
        or _is_inside(settings.directory, settings.copy_to)
    ):
        remedy = "write a directory on another file system, such as an NFS mount"
        reader.note(
            reader.at("copy_to"), settings.copy_to, "is inside directory, or contains it", remedy
        )
    return settings


def snapshot_name(cluster_id: int, run: str) -> str:
    """Return the file name of a run's snapshot.

    The name contains the cluster ID, since several clusters may copy to the same directory.
    """
    return f"etcd-{cluster_id:016x}-{run}.db"


def surplus(names: Iterable[str], cluster_id: int, keep: int, newest: str) -> list[str]:
    """Return the files to delete: snapshots of this cluster except the newest ``keep``.

    ``newest`` is one of those to keep.
    """
    pattern = re.compile(rf"etcd-{cluster_id:016x}-[0-9A-Za-z_.-]+\.db")
    older = sorted(name for name in names if pattern.fullmatch(name) and name != newest)
    return older[: max(0, len(older) - (keep - 1))]


def leftovers(names: Iterable[str], cluster_id: int) -> list[str]:
    """Return the partial files that killed runs of this cluster left behind.

    Only one run writes snapshots at a time, so no other process is writing these files.
    """
    prefix = f".etcd-{cluster_id:016x}-"
    return [name for name in names if name.startswith(prefix) and name.endswith(PARTIAL)]


def partial(file: str) -> str:
    """Return the name of a file that is not complete yet."""
    return f".{file}{PARTIAL}"


def sources(members: Sequence[Member], is_local: Callable[[str], bool]) -> list[Member]:
    """Return the healthy voters to take the snapshot from, the best first.

    The leader is last because it has the most load. A voter on this host is preferred.
    """
    reachable = [voter for voter in quorum.healthy_voters(members) if voter.client_url]
    return sorted(reachable, key=lambda voter: (voter.leads, not is_local(voter.client_url)))


def needed(members: Iterable[Member]) -> int | None:
    """Return the size of the largest store in bytes plus a tenth; None if all are unknown.

    The tenth is for data that clients write during the snapshot.
    """
    sizes = [item.db_size for item in members if item.db_size is not None]
    return max(sizes) * 11 // 10 if sizes else None


def size_text(count: float) -> str:
    """Return a number of bytes as text in MiB."""
    return f"{count / MIB:.1f} MiB"


def _is_inside(path: str, directory: str) -> bool:
    return f"{path}/".startswith(f"{directory}/")
