"""Define the paths and the versions of the lab. Only this module reads environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from metalk8s_lab.errors import LabError

LAB_DIR = Path(__file__).resolve().parent.parent
KUBERNETES_VERSION = "v1.34.4"
SALT_VERSION = "3006.28"
_DEFAULT_NAME = "metalk8s-lab"
# Another name makes a second lab beside the first. It has its own namespace, control groups and
# disks; the labs share only the cache.
LAB_NAME = os.environ.get("METALK8S_LAB_NAME") or _DEFAULT_NAME
KUBERNETES_CLIENT_VERSION = "37.0.2"


@dataclass(frozen=True)
class Settings:
    """The paths and options of a lab, from environment variables."""

    state: Path
    cache: Path
    salt_version: str
    prebuilt: Path | None
    # How the Salt master gets this project: "synced" from file_roots, or as a "wheel" in its image.
    install: str = "synced"
    # Whose deployment of a node the master serves: the project's "own", or one with the interface
    # of MetalK8s "134".
    tree: str = "own"
    # The addresses of the hosts: "ipv4", "ipv6", or "dual" for an IPv6 cluster on hosts of both.
    family: str = "ipv4"

    @property
    def keys(self) -> Path:
        """The directory of the SSH key pair that opens every host."""
        return self.state / "keys"

    @property
    def ssh_key(self) -> Path:
        """The private key of the Salt master; the public key is beside it."""
        return self.keys / "master"

    @property
    def disk(self) -> Path:
        """The file system for hosts and snapshots; it can share blocks between files."""
        return self.state / "disk"

    @property
    def mounts(self) -> Path:
        """The directory with the root of each running host."""
        return self.state / "mnt"

    @property
    def logs(self) -> Path:
        """The directory with the output of systemd-nspawn and of the hosts' consoles."""
        return self.state / "log"

    @property
    def constraints(self) -> Path:
        """The pinned versions of Salt's dependencies; the file exists only for a pinned version."""
        return LAB_DIR / "salt" / f"constraints-{self.salt_version}.txt"


def from_environment() -> Settings:
    """Return the settings from environment variables, or their defaults."""
    prebuilt = os.environ.get("KUBERNETES_BINARIES")
    state = "/var/lib/metalk8s-expand-lab" + ("" if LAB_NAME == _DEFAULT_NAME else f".{LAB_NAME}")
    return Settings(
        state=Path(os.environ.get("METALK8S_LAB_STATE", state)).absolute(),
        cache=Path(
            os.environ.get("METALK8S_LAB_CACHE", "/var/cache/metalk8s-expand-lab")
        ).absolute(),
        salt_version=os.environ.get("SALT_VERSION") or SALT_VERSION,
        prebuilt=Path(prebuilt).absolute() if prebuilt else None,
        install=_one_of("LAB_INSTALL", "synced", "wheel"),
        tree=_one_of("LAB_TREE", "own", "134"),
        family=_one_of("LAB_FAMILY", "ipv4", "ipv6", "dual"),
    )


def _one_of(variable: str, *allowed: str) -> str:
    """Return the value of an environment variable; the first allowed one is the default."""
    found = os.environ.get(variable) or allowed[0]
    if found not in allowed:
        raise LabError(f"{variable} is {found!r}: write {' or '.join(allowed)}")
    return found
