"""Inventories of a host: every file and directory, every process and unit.

A comparison of two inventories shows what changed on the host.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.lab.hosts import on

# LEFT_OUT holds what a login or the running system always changes: logs, sessions, terminals.
SCRIPT = r"""
import hashlib, json, os, stat, subprocess, sys
LEFT_OUT = {"/proc", "/sys", "/var/log", "/run/log", "/run/motd.dynamic", "/run/systemd/journal", "/run/systemd/transient", "/dev/pts"}
contents = sys.argv[1] == "contents"

def digest(path, status):
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    if not contents or not stat.S_ISREG(status.st_mode):
        return None
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()

files = {}
for top, directories, names in os.walk("/"):
    directories[:] = [name for name in directories if os.path.join(top, name) not in LEFT_OUT]
    for path in (os.path.join(top, name) for name in (*directories, *names)):
        if path in LEFT_OUT:
            continue
        try:
            status = os.lstat(path)
            what = [status.st_mode, status.st_uid, status.st_gid, digest(path, status)]
        except FileNotFoundError:
            continue
        times = [] if path == "/run" else [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
        files[path] = {"what": what, "times": times}

processes = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open("/proc/" + pid + "/cmdline", "rb") as stream:
            words = stream.read().replace(b"\0", b" ").decode().strip()
    except OSError:
        continue
    if int(pid) != os.getpid():
        processes.append(pid + " " + words)
units = subprocess.run(["systemctl", "list-units", "--plain", "--no-legend", "--full"], capture_output=True, text=True, check=True)
states = sorted(" ".join(line.split()[:4]) for line in units.stdout.splitlines())
print(json.dumps({"files": files, "processes": sorted(processes), "units": states}))
"""
# The processes of a closed SSH connection end with a delay.
PATIENCE_S = 10

Inventory = Mapping[str, Any]


def of(hosts: Sequence[str], contents: bool = False) -> dict[str, Inventory]:
    """Return the inventory of each host, taken when no login session is left.

    With ``contents``, the inventory includes a digest of every file.
    """
    mode = "contents" if contents else "names"
    with ThreadPoolExecutor() as pool:
        return dict(zip(hosts, pool.map(lambda host: _quiet(host, mode), hosts), strict=True))


def without_times(inventories: Mapping[str, Inventory]) -> dict[str, Inventory]:
    """Return the inventories without times and sizes.

    Files on these hosts were written and restored. The size of a directory depends on what it held
    before.
    """
    return {
        host: {
            **found,
            "files": {path: {"what": entry["what"]} for path, entry in found["files"].items()},
        }
        for host, found in inventories.items()
    }


def differences(before: Mapping[str, Inventory], after: Mapping[str, Inventory]) -> list[str]:
    """Return one line for each entry that was added, removed or changed."""
    return [line for host in before for line in _of_host(host, before[host], after[host])]


def _of_host(host: str, before: Inventory, after: Inventory) -> Iterator[str]:
    old, new = before["files"], after["files"]
    for path in sorted(old.keys() | new.keys()):
        if old.get(path) != new.get(path):
            yield f"{host}: {path}: {old.get(path)} became {new.get(path)}"
    for kind in ("processes", "units"):
        if before[kind] != after[kind]:
            yield f"{host}: {kind}: {sorted(set(before[kind]) ^ set(after[kind])) or after[kind]}"


def _quiet(host: str, mode: str) -> Inventory:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found: Inventory = json.loads(on(host, "python3", "-", mode, stdin=SCRIPT).stdout)
        sessions = [
            words for words in found["processes"] if " sshd" in words and "[listener]" not in words
        ]
        if not sessions or time.monotonic() > deadline:
            return found
        time.sleep(0.2)
