"""Snapshots of etcd before a member comes or goes: whether, where, how many are kept, of which member, under which name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.parsing import scalars
from metalk8s_expand.domain.parsing.reader import Reader

# Neither on etcd's own path, which is wiped when a member is, nor in Salt's cache, which may be emptied.
DIRECTORY = "/var/lib/metalk8s-expand/snapshots"
ETCD_DATA = "/var/lib/etcd"
PARTIAL = ".partial"
MIB = 1024 * 1024
# What stays free: the file system is often the one that etcd writes to.
SPARE_BYTES = 512 * MIB


@dataclass(frozen=True)
class SnapshotSettings:
    """``keep`` counts snapshots of one cluster; ``timeout_s`` is for the whole, over all members that are asked."""

    enabled: bool = True
    directory: str = DIRECTORY
    keep: int = 5
    timeout_s: int = 600
    copy_to: str | None = None


def read(reader: Reader) -> SnapshotSettings:
    """The mapping ``etcd_snapshot``, with the default for what is not there; problems are noted."""
    found = SnapshotSettings(
        enabled=reader.take("enabled", scalars.boolean, True),
        directory=reader.take("directory", scalars.absolute_path, DIRECTORY),
        keep=reader.take("keep", scalars.integer(1, 1000), 5),
        timeout_s=reader.take("timeout_s", scalars.integer(10, 86400), 600),
        copy_to=reader.take("copy_to", scalars.absolute_path, None),
    )
    reader.finish()
    for key, path in (("directory", found.directory), ("copy_to", found.copy_to)):
        if path and _is_inside(path, ETCD_DATA):
            reader.note(
                reader.at(key),
                path,
                "is inside of etcd's data directory",
                f"write a path outside of {ETCD_DATA}",
            )
    if found.copy_to and (
        _is_inside(found.copy_to, found.directory) or _is_inside(found.directory, found.copy_to)
    ):
        remedy = "write a directory on another file system, such as an NFS mount"
        reader.note(reader.at("copy_to"), found.copy_to, "is no other place than directory", remedy)
    return found


def snapshot_name(cluster_id: int, run: str) -> str:
    """The file of a run. The cluster is part of it, as several may be copied to one place."""
    return f"etcd-{cluster_id:016x}-{run}.db"


def surplus(names: Iterable[str], cluster_id: int, keep: int, newest: str) -> list[str]:
    """Which of these files may go: snapshots of this cluster but for the newest ``keep``, of which one is named."""
    pattern = re.compile(rf"etcd-{cluster_id:016x}-[0-9A-Za-z_.-]+\.db")
    older = sorted(item for item in names if pattern.fullmatch(item) and item != newest)
    return older[: max(0, len(older) - (keep - 1))]


def leftovers(names: Iterable[str], cluster_id: int) -> list[str]:
    """What killed runs have left of this cluster's: nobody else writes them, since one run at a time does."""
    return [
        item
        for item in names
        if item.startswith(f".etcd-{cluster_id:016x}-") and item.endswith(PARTIAL)
    ]


def partial(file: str) -> str:
    """The name of a file that is not whole yet."""
    return f".{file}{PARTIAL}"


def sources(members: Sequence[Member], is_local: Callable[[str], bool]) -> list[Member]:
    """The voters to ask, the best first: not the leader, which has most to do; then one on this host."""
    found = [item for item in quorum.healthy_voters(members) if item.client_url]
    return sorted(found, key=lambda item: (item.leads, not is_local(item.client_url)))


def needed(members: Iterable[Member]) -> int | None:
    """How many bytes the largest store takes, with a tenth more for what is written meanwhile; None when none tells."""
    sizes = [item.db_size for item in members if item.db_size is not None]
    return max(sizes) * 11 // 10 if sizes else None


def size_text(count: float) -> str:
    """A number of bytes for people."""
    return f"{count / MIB:.1f} MiB"


def _is_inside(path: str, directory: str) -> bool:
    return f"{path}/".startswith(f"{directory}/")
