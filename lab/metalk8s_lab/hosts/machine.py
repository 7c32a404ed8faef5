"""Check that this machine can run the lab.

All checks run before the first change. The result lists every problem with its remedy.
"""

from __future__ import annotations

import gzip
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from metalk8s_lab.command import run, succeeds
from metalk8s_lab.errors import LabError
from metalk8s_lab.hosts import cgroups
from metalk8s_lab.progress import working
from metalk8s_lab.settings import Settings

_GIB = 1024**3
_MEMORY_GIB = 8
_DISK_GIB_COLD = 25
_DISK_GIB_WARM = 10
_WATCHERS = 4096
_KERNEL = {
    "overlay": "OVERLAY_FS",
    "bridge": "BRIDGE",
    "veth": "VETH",
    "nf_tables": "NF_TABLES",
    "loop": "BLK_DEV_LOOP",
}
# A program, and the Debian package that contains it.
_PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "mkfs.xfs": "xfsprogs",
    "gcc": "gcc",
    "ip": "iproute2",
    "ssh-keygen": "openssh-client",
    "nsenter": "util-linux",
    "git": "git",
}
_FILES = {
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "/usr/include/stdlib.h": "libc6-dev",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
}


@dataclass(frozen=True)
class Facts:
    """The facts about the machine; ``memory`` and ``disk`` are free bytes."""

    system: str
    is_root: bool
    has_apt: bool
    memory: int
    disk: int
    cache_is_full: bool
    lab_runs: bool
    lacking_kernel: tuple[str, ...]


def problems(facts: Facts) -> list[str]:
    """Return all reasons why this machine cannot run the lab, each with its remedy."""
    if facts.system != "Linux":
        return [
            f"the lab needs Linux, this is {facts.system}: use a Debian machine or a virtual one"
        ]
    found = []
    if not facts.is_root:
        found.append("root is needed for namespaces, mounts and packages: run it with sudo")
    if not facts.has_apt:
        found.append(
            "apt-get is not here: the lab is made from Debian packages; use Debian 12 or newer (or"
            " Ubuntu 24.04)"
        )
    if facts.memory < _MEMORY_GIB * _GIB and not facts.lab_runs:
        remedy = "stop something or add memory"
        found.append(
            f"{facts.memory / _GIB:.1f} GiB of memory are free, {_MEMORY_GIB} are needed: {remedy}"
        )
    need = _DISK_GIB_WARM if facts.cache_is_full else _DISK_GIB_COLD
    if facts.disk < need * _GIB:
        remedy = "free some, or point METALK8S_LAB_STATE and METALK8S_LAB_CACHE to a larger disk"
        found.append(f"{facts.disk / _GIB:.1f} GiB of disk are free, {need} are needed: {remedy}")
    found += [
        f"the kernel lacks {name} (CONFIG_{_KERNEL[name]}): use a kernel with it"
        for name in facts.lacking_kernel
    ]
    return found


def check(settings: Settings) -> None:
    """Raise ``LabError`` with all problems if this machine cannot run the lab."""
    found = problems(_look(settings))
    if found:
        raise LabError(
            "this machine cannot hold the lab; nothing was changed:\n"
            + "\n".join(f"  - {each}" for each in found)
        )


def check_root() -> None:
    """Raise ``LabError`` without root."""
    if os.geteuid() != 0:
        raise LabError("root is needed for namespaces, mounts and packages: run it with sudo")


def let_watch(limit: Path = Path("/proc/sys/fs/inotify/max_user_instances")) -> None:
    """Raise the limit of inotify instances to 4096, so that all hosts can watch files.

    The systemd, the kubelet and containerd of each host watch files, and they all count for root of
    this machine. With the kernel's default of 128, the hosts of a second lab do not boot. A higher
    limit stays.
    """
    if int(limit.read_text()) < _WATCHERS:
        limit.write_text(str(_WATCHERS))


def missing_packages() -> list[str]:
    """Return the Debian packages that the lab needs and the machine lacks."""
    programs = [
        package for program, package in _PROGRAMS.items() if not shutil.which(program, path=_path())
    ]
    return programs + [package for file, package in _FILES.items() if not Path(file).exists()]


def install_packages() -> None:
    """Install the missing Debian packages."""
    packages = missing_packages()
    if not packages:
        return
    with working(f"installing Debian packages: {' '.join(packages)}"):
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-qq"], timeout=300, env=env)
        run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
            timeout=900,
            env=env,
        )


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"


def _look(settings: Settings) -> Facts:
    linux = platform.system() == "Linux"
    disks = [shutil.disk_usage(_existing(place)).free for place in (settings.state, settings.cache)]
    return Facts(
        system=platform.system(),
        is_root=os.geteuid() == 0,
        has_apt=shutil.which("apt-get", path=_path()) is not None,
        memory=_free_memory() if linux else 0,
        disk=min(disks),
        cache_is_full=any((settings.cache / "artifacts").glob("[!.]*")),
        lab_runs=linux and bool(cgroups.left_hosts()),
        lacking_kernel=tuple(name for name in _KERNEL if not _kernel_has(name)) if linux else (),
    )


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _free_memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _kernel_has(name: str) -> bool:
    """Return whether the kernel has a feature, as a module or built in.

    Return True if the kernel's configuration cannot be read.
    """
    if Path("/sys/module", name).exists() or succeeds(["modprobe", "--dry-run", name]):
        return True
    config = _kernel_config()
    return (
        not config
        or f"\nCONFIG_{_KERNEL[name]}=y" in config
        or f"\nCONFIG_{_KERNEL[name]}=m" in config
    )


def _kernel_config() -> str:
    built_in, on_disk = Path("/proc/config.gz"), Path(f"/boot/config-{platform.release()}")
    if built_in.exists():
        return gzip.decompress(built_in.read_bytes()).decode()
    return on_disk.read_text() if on_disk.exists() else ""
