"""Build in a temporary copy of the hosts' system.

A program that is built there runs on the hosts, and the system itself stays clean.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from metalk8s_lab.builders import rootfs
from metalk8s_lab.command import run
from metalk8s_lab.hosts import disk
from metalk8s_lab.settings import Settings

_AUTHORITIES = "etc/ssl/certs/ca-certificates.crt"
_PASSED = (
    "PIP_",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
)


@dataclass(frozen=True)
class Chroot:
    """A system to run commands in, and the read-only system below it."""

    root: Path
    system: Path

    def run(self, *argv: str, timeout: float = 60) -> str:
        """Run a command inside and return its standard output."""
        env = {name: value for name, value in os.environ.items() if name.startswith(_PASSED)}
        env.update(
            PATH="/usr/sbin:/usr/bin:/sbin:/bin",
            HOME="/root",
            LC_ALL="C.UTF-8",
            DEBIAN_FRONTEND="noninteractive",
        )
        return run(["chroot", self.root, *argv], timeout=timeout, env=env).stdout

    def install(self, *packages: str) -> None:
        """Install Debian packages inside, without starting their services."""
        self.run("apt-get", "update", "-qq", timeout=300)
        self.run(
            "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages, timeout=900
        )

    def libraries(self, program: str) -> list[str]:
        """Return the paths inside of a program's shared libraries; a static program has none."""
        lines = run(["chroot", self.root, "ldd", program], check=False).stdout.splitlines()
        words = [word for line in lines for word in line.split() if word.startswith("/")]
        return sorted({word for word in words if not word.endswith(":")})


@contextmanager
def build_root(settings: Settings, name: str) -> Iterator[Chroot]:
    """Yield a writable copy of the system with the machine's network, and remove it afterwards."""
    system = rootfs.build(settings)
    place = settings.cache / "build" / name
    root = place / "root"
    _remove(place)
    for directory in ("upper", "work", "root"):
        (place / directory).mkdir(parents=True)
    try:
        options = f"lowerdir={system},upperdir={place / 'upper'},workdir={place / 'work'}"
        run(["mount", "-t", "overlay", "overlay", "-o", options, root])
        for special in ("proc", "dev"):
            run(["mount", "--bind", f"/{special}", root / special])
        _lend_network(root)
        yield Chroot(root, system)
    finally:
        _remove(place)


def _remove(place: Path) -> None:
    disk.unmount_below(place)
    shutil.rmtree(place, ignore_errors=True)


def _lend_network(root: Path) -> None:
    """Let the copy reach the machine's registries.

    Copy name resolution, certificate authorities and the settings of apt and pip.
    """
    (root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    pip = [
        Path("/etc/pip.conf"),
        Path.home() / ".pip/pip.conf",
        Path.home() / ".config/pip/pip.conf",
    ]
    settings = [
        path for path in sorted(Path("/etc/apt/apt.conf.d").glob("*")) if _is_about_fetching(path)
    ]
    copies = {Path("/", name): name for name in ("etc/resolv.conf", "etc/hosts", _AUTHORITIES)}
    copies |= {path: f"etc/apt/apt.conf.d/{path.name}" for path in settings}
    copies |= dict.fromkeys(pip, "etc/pip.conf")
    for source, target in copies.items():
        if source.exists():
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, root / target)


def _is_about_fetching(path: Path) -> bool:
    text = path.read_text(errors="replace")
    return "Acquire::" in text and "Invoke" not in text
