"""Where the lab keeps what, and which versions it is made of: the only reader of the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from metalk8s_lab.errors import LabError

LAB_DIR = Path(__file__).resolve().parent.parent
KUBERNETES_VERSION = "v1.34.4"
SALT_VERSION = "3008.3"
_DEFAULT_NAME = "metalk8s-lab"
# Another name is another lab beside the first: its own namespace, control groups and disks; only the cache is shared.
LAB_NAME = os.environ.get("METALK8S_LAB_NAME") or _DEFAULT_NAME
KUBERNETES_CLIENT_VERSION = "37.0.2"


@dataclass(frozen=True)
class Settings:
    """The places and choices of one lab, as the environment gives them."""

    state: Path
    cache: Path
    salt_version: str
    prebuilt: Path | None
    # How this project comes to Salt's master: "synced" from file_roots, or as a "wheel" in the master's image.
    install: str = "synced"

    @property
    def keys(self) -> Path:
        """The directory of the SSH key pair that opens every host."""
        return self.state / "keys"

    @property
    def ssh_key(self) -> Path:
        """The private key of the Salt master; the public one lies beside it."""
        return self.keys / "master"

    @property
    def disk(self) -> Path:
        """The file system (one that can share blocks between files) for hosts and snapshots."""
        return self.state / "disk"

    @property
    def mounts(self) -> Path:
        """The directory with each running host's root."""
        return self.state / "mnt"

    @property
    def logs(self) -> Path:
        """What systemd-nspawn and the hosts' consoles say."""
        return self.state / "log"

    @property
    def constraints(self) -> Path:
        """The pinned versions of Salt's Python dependencies (it exists for the versions that we pin)."""
        return LAB_DIR / "salt" / f"constraints-{self.salt_version}.txt"


def from_environment() -> Settings:
    """The settings that the environment asks for, or their defaults."""
    prebuilt = os.environ.get("KUBERNETES_BINARIES")
    state = "/var/lib/metalk8s-expand-lab" + ("" if LAB_NAME == _DEFAULT_NAME else f".{LAB_NAME}")
    return Settings(
        state=Path(os.environ.get("METALK8S_LAB_STATE", state)).absolute(),
        cache=Path(
            os.environ.get("METALK8S_LAB_CACHE", "/var/cache/metalk8s-expand-lab")
        ).absolute(),
        salt_version=os.environ.get("SALT_VERSION") or SALT_VERSION,
        prebuilt=Path(prebuilt).absolute() if prebuilt else None,
        install=_install(),
    )


def _install() -> str:
    found = os.environ.get("LAB_INSTALL") or "synced"
    if found not in ("synced", "wheel"):
        raise LabError(f"LAB_INSTALL is {found!r}: write synced or wheel")
    return found
