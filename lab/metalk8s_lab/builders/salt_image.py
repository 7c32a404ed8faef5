"""Select the files of the Salt master's image.

They are packages of the hosts' Debian, and the master's Salt at /opt/salt. The running container
cannot write there, so the builder compiles Python beforehand.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from metalk8s_lab.builders import chroot, tarball
from metalk8s_lab.builders.tarball import Entry
from metalk8s_lab.command import run
from metalk8s_lab.settings import Settings

REFERENCE = "docker.io/metalk8s/salt-master:lab"
# Programs that Salt and its runners call, and tools to debug with. Their dependencies are added.
PACKAGES = (
    "base-files", "ca-certificates", "coreutils", "dash", "dpkg", "findutils", "grep", "libc-bin",
    "libstdc++6", "openssh-client", "procps", "python3", "sed", "tar", "util-linux",
)  # fmt: skip
# Dependencies that do nothing in a container.
_WITHOUT = {"adduser", "debconf", "init-system-helpers", "mawk", "passwd", "perl-base", "tzdata"}
_UNUSED = (
    "/usr/share/doc/",
    "/usr/share/man/",
    "/usr/share/locale/",
    "/usr/share/info/",
    "/usr/lib/systemd/",
)
_OWN = ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/tmp", "/root", "/run")
# No package lists these files: installation scripts make them. Python needs ldconfig's cache.
_MADE = ("/etc/ssl/certs/ca-certificates.crt", "/etc/ld.so.cache")
_LINKS = ("bin", "sbin", "lib", "lib64")
# The second half of the Kubernetes client, for asyncio.
_ASYNC_CLIENT = "site-packages/kubernetes/aio"
_LIBRARY = "usr/lib/python3.13"
# The image of MetalK8s has this file.
SSH = Entry("root/.ssh/config", 0o600, content=b"Host *\n    StrictHostKeyChecking no\n")


@contextmanager
def entries(settings: Settings, salt: Path) -> Iterator[list[Entry]]:
    """Yield all files of the image, with the Salt of an archive.

    Their sources exist only inside the context.
    """
    with chroot.build_root(settings, "salt-master") as system:
        run(["tar", "-C", system.root, "-xf", salt], timeout=300)
        compiling = ["-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"]
        system.run("/usr/bin/python3", *compiling, f"/{_LIBRARY}", timeout=600)
        own = tarball.tree(
            system.root / "opt/salt", "opt/salt", lambda path: _ASYNC_CLIENT not in path
        )
        yield [*_debian(system.root), SSH, *own]


def _debian(system: Path) -> Iterator[Entry]:
    yield from (Entry(name, link=f"usr/{name}") for name in _LINKS)
    yield Entry("var/run", link="/run")
    found = {
        path for package in with_dependencies(system, PACKAGES) for path in _files(system, package)
    }
    found |= set(_MADE)
    found |= {f"/{path.relative_to(system)}" for path in (system / _LIBRARY).rglob("*.pyc")}
    for path in sorted(found):
        if not path.startswith(_UNUSED) and path not in _OWN:
            yield from _entry(system, path)


def _entry(system: Path, path: str) -> Iterator[Entry]:
    source = system / path.lstrip("/")
    try:
        status = source.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode) and path.lstrip("/") not in (*_LINKS, "var/run"):
        yield Entry(path.lstrip("/"), 0o777, link=os.readlink(source))
    elif stat.S_ISREG(status.st_mode):
        yield Entry(path.lstrip("/"), status.st_mode & 0o777, source=source)


def with_dependencies(system: Path, packages: Sequence[str]) -> list[str]:
    """Return these packages and all their dependencies that are installed."""
    installed = _dependencies((system / "var/lib/dpkg/status").read_text())
    found: set[str] = set()
    left = list(packages)
    while left:
        name = left.pop()
        if name in installed and name not in found and name not in _WITHOUT:
            found.add(name)
            left += installed[name]
    return sorted(found)


def _dependencies(status: str) -> dict[str, list[str]]:
    """Return by package the names that can satisfy its dependencies."""
    found: dict[str, list[str]] = {}
    for block in status.split("\n\n"):
        fields = dict(
            line.split(": ", 1)
            for line in block.splitlines()
            if ": " in line and not line.startswith(" ")
        )
        needed = (
            ", ".join(fields.get(key, "") for key in ("Depends", "Pre-Depends"))
            .replace("|", ",")
            .split(",")
        )
        if "Package" in fields:
            found[fields["Package"]] = [
                words[0].partition(":")[0] for words in map(str.split, needed) if words
            ]
    return found


def _files(system: Path, package: str) -> list[str]:
    for path in sorted((system / "var/lib/dpkg/info").glob(f"{package}*.list")):
        if path.name.removesuffix(".list").partition(":")[0] == package:
            return [_merged(line) for line in path.read_text().splitlines()]
    return []


def _merged(path: str) -> str:
    """Return the path without the links of a merged /usr."""
    top = path.lstrip("/").partition("/")[0]
    return f"/usr{path}" if top in _LINKS and path.lstrip("/") != top else path
