"""Define a declared node, the value that the other modules share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from metalk8s_expand.domain.node.roles import ETCD, MASTER, Taint

__all__ = [
    "DEFAULT_KEY_DIRECTORY",
    "DEFAULT_KEY_PATH",
    "DEFAULT_PORT",
    "DEFAULT_USER",
    "KEY_NAME",
    "Node",
    "Ssh",
    "Taint",
]

DEFAULT_KEY_DIRECTORY = "/etc/metalk8s/pki"
KEY_NAME = "salt-bootstrap"
DEFAULT_KEY_PATH = f"{DEFAULT_KEY_DIRECTORY}/{KEY_NAME}"
DEFAULT_PORT = 22
DEFAULT_USER = "root"


@dataclass(frozen=True)
class Ssh:
    """SSH access from the master to a host.

    ``host_key`` is the expected public key (``ssh-ed25519 AAAA…``), if declared.
    """

    host: str
    port: int = DEFAULT_PORT
    user: str = DEFAULT_USER
    key_path: str = DEFAULT_KEY_PATH
    sudo: bool = False
    host_key: str | None = None


@dataclass(frozen=True)
class Node:
    """One declared node.

    ``address`` is its control-plane IP, ``profile`` the name of its declared profile, if any.
    """

    name: str
    version: str
    roles: tuple[str, ...]
    taints: tuple[Taint, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    ssh: Ssh = field(default_factory=lambda: Ssh(""))
    address: str = ""
    profile: str | None = None

    @property
    def is_control_plane(self) -> bool:
        return MASTER in self.roles or ETCD in self.roles

    @property
    def is_etcd(self) -> bool:
        return ETCD in self.roles

    @property
    def is_master(self) -> bool:
        return MASTER in self.roles
