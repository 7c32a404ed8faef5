"""Preflight thresholds and time limits: the numbers that an operator can set, with defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from metalk8s_expand.domain.node.roles import DECLARABLE, ETCD, INFRA, MASTER, NODE
from metalk8s_expand.domain.parsing import scalars
from metalk8s_expand.domain.parsing.reader import Reader

LARGE = 1_000_000_000


def _cpus() -> dict[str, int]:
    return {MASTER: 2, ETCD: 2, INFRA: 1, NODE: 1}


def _memory() -> dict[str, int]:
    return {MASTER: 1_700, ETCD: 900, INFRA: 900, NODE: 900}


def _disk() -> dict[str, int]:
    return dict.fromkeys(DECLARABLE, 5_000)


@dataclass(frozen=True)
class Thresholds:
    """Thresholds by name; the name ends with the unit.

    For a threshold by role, the largest value among the node's roles applies.
    """

    clock_skew_s: int = 5
    cpus: Mapping[str, int] = field(default_factory=_cpus)
    memory_mb: Mapping[str, int] = field(default_factory=_memory)
    disk_mb: Mapping[str, int] = field(default_factory=_disk)
    disk_inodes: int = 50_000
    # etcd recommends 10 ms; its leader sends a heartbeat every 100 ms.
    fsync_warning_ms: int = 10
    fsync_error_ms: int = 100
    connect_timeout_s: int = 3
    etcd_window_s: int = 10
    probe_timeout_s: int = 20


# The smallest and the largest value that the pillar may set for each number.
RANGES: Mapping[str, tuple[int, int]] = {
    "clock_skew_s": (1, 3_600),
    "cpus": (1, 4_096),
    "memory_mb": (0, LARGE),
    "disk_mb": (0, LARGE),
    "disk_inodes": (0, LARGE),
    "fsync_warning_ms": (1, 60_000),
    "fsync_error_ms": (1, 60_000),
    "connect_timeout_s": (1, 60),
    "etcd_window_s": (1, 60),
    "probe_timeout_s": (5, 120),
}


def read(reader: Reader) -> Thresholds:
    """Return the thresholds of ``preflight: thresholds``, with defaults for missing keys.

    The reader notes problems.
    """
    plain = Thresholds()
    values: dict[str, Any] = {}
    for key, limits in RANGES.items():
        default = getattr(plain, key)
        if isinstance(default, Mapping):
            values[key] = _roles(reader.section(key), limits, default)
        else:
            values[key] = reader.take(key, scalars.integer(*limits), default)
    reader.finish()
    thresholds = Thresholds(**values)
    _refuse_contradictions(reader, thresholds)
    return thresholds


def largest(by_role: Mapping[str, int], roles: Iterable[str]) -> int:
    """Return the largest value among these roles; a role that is not declarable counts as 0."""
    return max((by_role.get(role, 0) for role in roles), default=0)


def _roles(reader: Reader, limits: tuple[int, int], defaults: Mapping[str, int]) -> dict[str, int]:
    by_role = {}
    for role, default in defaults.items():
        by_role[role] = reader.take(role, scalars.integer(*limits), default)
    reader.finish()
    return by_role


def _refuse_contradictions(reader: Reader, thresholds: Thresholds) -> None:
    if thresholds.fsync_error_ms < thresholds.fsync_warning_ms:
        remedy = f"write at least {thresholds.fsync_warning_ms}, the value of fsync_warning_ms"
        reader.note(
            reader.at("fsync_error_ms"),
            thresholds.fsync_error_ms,
            "is smaller than fsync_warning_ms",
            remedy,
        )
    # The probe must finish its waits early enough to send its answer in time.
    for key in ("connect_timeout_s", "etcd_window_s"):
        if getattr(thresholds, key) >= thresholds.probe_timeout_s:
            remedy = f"write less than {thresholds.probe_timeout_s}, the value of probe_timeout_s"
            reader.note(
                reader.at(key),
                getattr(thresholds, key),
                "is not shorter than the time limit of the probe",
                remedy,
            )
