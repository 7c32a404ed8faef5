"""Take a snapshot of etcd before a run changes its membership for the first time.

The operator restores the cluster from it if everything else fails. A snapshot that cannot be
restored is worthless, so the run stops before the change if none can be taken and verified.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalk8s_expand.clients.etcd import bolt_file, snapshot_stream
from metalk8s_expand.clients.etcd.api import Etcd
from metalk8s_expand.clients.etcd.bolt_file import VerifiedSnapshot
from metalk8s_expand.clients.etcd.snapshot_directory import SnapshotFiles, contents
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.etcd import quorum, snapshot_policy
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.etcd.snapshot_policy import SnapshotSettings, size_text
from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.domain.expansion.plan import Plan
from metalk8s_expand.errors import ConflictError, PreflightError, QuorumError, UnreachableError

STEP = "snapshot"
# Seconds to verify and copy a snapshot, in addition to the time to take it.
COPY_S = 300.0
SWITCH = "metalk8s_expand:etcd_snapshot"
LOG = "/var/log/pods/kube-system_etcd-*/etcd/*.log on the control-plane nodes"
Progress = Callable[[str, str, str], object]


@dataclass(frozen=True)
class Snapshot:
    """A verified file; ``size`` in bytes.

    ``member`` is empty when an earlier call of the same run took the snapshot.
    """

    path: str
    size: int
    sha256: str
    revision: int
    member: str
    copied_to: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "bytes": self.size,
            "sha256": self.sha256,
            "revision": self.revision,
            "member": self.member,
            "copied_to": self.copied_to,
        }


def adds_member(expansion: Plan) -> bool:
    """Return whether the plan deploys a node of the role etcd."""
    return any(item.node.is_etcd and item.has(plan.DEPLOY) for item in expansion.nodes)


def take_etcd_snapshot(
    world: ClusterContext,
    declared: Settings,
    run: str,
    clock: Clock,
    progress: Progress | None = None,
) -> dict[str, Any] | None:
    """Return a verified snapshot of the cluster's etcd, as data for the report.

    Returns None when the declaration disables snapshots, or there is no etcd yet. Raises what
    ``take`` raises.
    """
    etcd = world.access().etcd if declared.etcd_snapshot.enabled else None
    if etcd is None:
        return None
    return take(etcd, declared.etcd_snapshot, run, clock, progress).as_dict()


def take(
    etcd: Etcd,
    settings: SnapshotSettings,
    run: str,
    clock: Clock,
    progress: Progress | None = None,
) -> Snapshot:
    """Take a snapshot and verify the written file, or return a valid one of the same run.

    Raises PreflightError when there is no space for it, UnreachableError when no member delivers a
    valid snapshot, QuorumError when the members are not one cluster.
    """
    members = etcd.members()
    cluster, sources = _sources(members)
    files = SnapshotFiles(settings.directory, "directory")
    files.prepare(create=True)
    files.remove(snapshot_policy.leftovers(files.names(), cluster))
    file = _SnapshotFile(files, snapshot_policy.snapshot_name(cluster, run))
    tell = progress or (lambda node, step, what: None)
    checked, member = _kept(file), ""
    if checked is None:
        _make_room(files, members)
        checked, member = _first_sound(
            etcd, sources, file, _Patience(settings.timeout_s, clock), tell
        )
    copied = _copied(file, checked, settings, cluster, tell) if settings.copy_to else None
    _prune(file, cluster, settings.keep)
    return Snapshot(str(file.path), checked.size, checked.sha256, checked.revision, member, copied)


@dataclass(frozen=True)
class _SnapshotFile:
    """One file in a directory of snapshots; it may not exist yet."""

    files: SnapshotFiles
    name: str

    @property
    def path(self) -> Path:
        return self.files.path(self.name)


class _Patience:
    """The time that is left for all members together."""

    def __init__(self, timeout: float, clock: Clock) -> None:
        self.clock = clock
        self._deadline = clock.monotonic() + timeout

    def left(self) -> float:
        return self._deadline - self.clock.monotonic()


def _sources(members: Sequence[Member]) -> tuple[int, list[Member]]:
    """Return the cluster's ID and the members to try."""
    problems = quorum.cluster_problems(members)
    if problems:
        raise QuorumError("cannot take a snapshot of etcd", problems=problems, log=LOG)
    sources = snapshot_policy.sources(members, snapshot_stream.is_local)
    if not sources or sources[0].cluster_id is None:
        ill = [f"{item.title}: {item.error or 'not healthy'}" for item in quorum.voters(members)]
        raise UnreachableError(
            "no voting etcd member is healthy, so no snapshot can be taken", problems=ill, log=LOG
        )
    return sources[0].cluster_id, sources


def _kept(file: _SnapshotFile) -> VerifiedSnapshot | None:
    if file.name not in file.files.names():
        return None
    try:
        return bolt_file.verify_snapshot(file.path)
    except (ConflictError, OSError):
        # The caller takes a new snapshot, which replaces this file.
        return None


def _make_room(files: SnapshotFiles, members: Sequence[Member]) -> None:
    size = snapshot_policy.needed(members)
    if size is None:
        raise UnreachableError(
            "no etcd member reports the size of its store, so the free space for a snapshot cannot"
            " be checked",
            log=LOG,
        )
    _check_space(files, size, snapshot_policy.SPARE_BYTES)


def _check_space(files: SnapshotFiles, size: int, spare: int) -> None:
    free = files.free()
    if free < size + spare:
        raise PreflightError(
            f"{files.directory} has {size_text(free)} free, but the snapshot of etcd needs"
            f" {size_text(size)}" + (f", and {size_text(spare)} must stay free" if spare else ""),
            hint=(
                f"free space there, name another directory in {SWITCH}:{files.setting}, or keep"
                f" fewer ({SWITCH}:keep)"
            ),
        )


def _first_sound(
    etcd: Etcd,
    sources: Sequence[Member],
    file: _SnapshotFile,
    patience: _Patience,
    tell: Progress,
) -> tuple[VerifiedSnapshot, str]:
    """Return the first snapshot that verifies."""
    problems = []
    for member in sources:
        if patience.left() <= 0:
            problems.append(f"{member.title}: was not asked because the time limit was reached")
            continue
        tell("", STEP, f"saving a snapshot of etcd member {member.name} to {file.path}")
        try:
            etcd.catch_up(member.client_url)
            pieces = snapshot_stream.pieces(
                etcd, member.client_url, patience.left(), patience.clock
            )
            return file.files.save(file.name, pieces, bolt_file.verify_snapshot), member.name
        except (UnreachableError, ConflictError) as exc:
            problems.append(f"{member.title}: {exc.message}")
    raise UnreachableError(
        "no etcd member delivers a valid snapshot, so no member is added or removed",
        problems=problems,
        hint=f"fix these problems; to continue without a snapshot, set {SWITCH}:enabled: false",
        log=LOG,
    )


def _copied(
    file: _SnapshotFile,
    original: VerifiedSnapshot,
    settings: SnapshotSettings,
    cluster: int,
    tell: Progress,
) -> str:
    """Copy the file to the second directory and verify the copy."""
    place = SnapshotFiles(settings.copy_to or "", "copy_to")
    place.prepare(create=False)
    if place.is_beside(file.files):
        raise PreflightError(
            f"{place.directory} is on the same file system as {file.files.directory}, "
            "so a copy there protects from nothing",
            hint=f"mount another file system there, or set {SWITCH}:copy_to to another directory",
        )
    place.remove(snapshot_policy.leftovers(place.names(), cluster))
    copy = _SnapshotFile(place, file.name)
    if _kept(copy) != original:
        tell("", STEP, f"copying the snapshot to {place.directory}")
        _check_space(place, original.size, 0)
        place.save(copy.name, contents(file.path), lambda path: _same(path, original))
    _prune(copy, cluster, settings.keep)
    return str(copy.path)


def _same(path: Path, original: VerifiedSnapshot) -> VerifiedSnapshot:
    copy = bolt_file.verify_snapshot(path)
    if copy != original:
        raise ConflictError(
            f"{path} differs from the snapshot that was copied there",
            hint="check the file system there",
        )
    return copy


def _prune(newest: _SnapshotFile, cluster: int, keep: int) -> None:
    files = newest.files
    files.remove(snapshot_policy.surplus(files.names(), cluster, keep, newest.name))
