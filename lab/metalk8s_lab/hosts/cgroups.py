"""Put each host into its own control group in every hierarchy.

Kubelets that share a /kubepods kill each other's Pods. The groups are children of the caller's
group, so that the limits of the caller also apply to the hosts. The module finds the groups by name
in the whole hierarchy, because another caller may clean up than the one that started the host.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from metalk8s_lab.errors import LabError
from metalk8s_lab.settings import LAB_NAME
from metalk8s_lab.topology import is_host_name

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_PREFIX = f"{LAB_NAME}-"


def is_unified() -> bool:
    """Return whether the machine has cgroup v2 only."""
    return (_ROOT / "cgroup.controllers").exists()


def _own_groups() -> list[Path]:
    """Return this process's directory in every hierarchy.

    On a hybrid machine nspawn takes the path of a host from the v2 hierarchy and uses it in the one
    of systemd too. Without a group there, all hosts share the same groups, and their kubelets
    remove each other's.
    """
    groups = []
    for line in _OWN.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        mount = _hierarchy(controllers)
        if mount is not None and (mount / path.lstrip("/")).is_dir():
            groups.append(mount / _above_hosts(path))
    return groups


def _hierarchy(controllers: str) -> Path | None:
    if not controllers and is_unified():
        return _ROOT
    name = controllers.removeprefix("name=") or "unified"
    return _ROOT / name if (_ROOT / name).is_dir() else None


def _above_hosts(path: str) -> str:
    """Return the part of a group's path above any host of a lab, without a leading slash."""
    parts: list[str] = []
    for part in path.strip("/").split("/"):
        if part.startswith(_PREFIX):
            break
        parts.append(part)
    return "/".join(parts)


def find(host: str) -> list[Path]:
    """Return the host's group in every hierarchy, from any caller."""
    found = []
    for directory, names, _ in os.walk(_ROOT):
        if _PREFIX + host in names:
            found.append(Path(directory) / (_PREFIX + host))
        names[:] = [
            name
            for name in names
            if not name.startswith(_PREFIX) and name not in ("kubepods", "system.slice")
        ]
    return found


def left_hosts() -> set[str]:
    """Return the names of all hosts that have a group, running or not."""
    hosts: set[str] = set()
    for _, names, _ in os.walk(_ROOT):
        hosts.update(name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))
        names[:] = [name for name in names if not name.startswith(_PREFIX)]
    return {host for host in hosts if is_host_name(host)}


def create(host: str) -> list[Path]:
    """Create the host's groups and return their ``cgroup.procs`` files.

    A process joins the host's groups when its ID is written to all of these files.
    """
    files = []
    for parent in _own_groups():
        group = parent / (_PREFIX + host)
        group.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (group / name).exists() and (parent / name).exists():
                (group / name).write_text((parent / name).read_text())
        files.append(group / "cgroup.procs")
    return files


def members(host: str) -> set[int]:
    """Return the process IDs of the host in all its groups and their descendants."""
    pids: set[int] = set()
    for directory in _tree(host):
        try:
            pids.update(int(pid) for pid in (directory / "cgroup.procs").read_text().split())
        except OSError:
            continue  # deleted meanwhile, or threaded
    return pids - {0}


def thaw(host: str) -> None:
    """Thaw all groups of the host: a frozen process cannot be killed.

    The runtime freezes a container to end it, and may itself be killed meanwhile.
    """
    for directory in _tree(host):
        for name, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            # The group may be deleted meanwhile.
            with suppress(OSError):
                if (directory / name).exists():
                    (directory / name).write_text(value)


def _tree(host: str) -> Iterator[Path]:
    """Yield the host's group in every hierarchy, and the groups below."""
    for group in find(host):
        for directory, _, _ in os.walk(group):
            yield Path(directory)


def remove(host: str, timeout: float = 10) -> None:
    """Remove the host's groups from every hierarchy.

    The processes must be killed before. Raise ``LabError`` if they do not exit within ``timeout``
    seconds.
    """
    deadline = time.monotonic() + timeout
    while groups := find(host):
        for group in groups:
            for directory, _, _ in os.walk(group, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    continue
        if time.monotonic() > deadline:
            left = [str(group) for group in groups if group.exists()]
            if left:
                raise LabError(
                    f"{host}: control groups not removed within {timeout:.0f} s: {', '.join(left)}"
                )
        time.sleep(0.05)
