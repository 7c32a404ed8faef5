"""Who a host is: its name, machine ID, address and SSH host keys. Made once and kept when a host is made blank again."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from metalk8s_lab.command import run
from metalk8s_lab.settings import Settings
from metalk8s_lab.topology import GATEWAY, SUBNET, Host

_HOST_KEY = "ssh_host_ed25519_key"


def make_key(path: Path, comment: str) -> None:
    """Make an ed25519 key pair without a passphrase, unless it is there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.with_suffix(".pub").exists():
        path.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])


def create(settings: Settings, host: Host) -> Path:
    """The directory with the host's keys and machine ID, made if it is not there."""
    directory = settings.state / "identity" / host.name
    make_key(directory / _HOST_KEY, f"root@{host.name}")
    machine_id = directory / "machine-id"
    if not machine_id.exists():
        machine_id.write_text(f"{uuid.uuid4().hex}\n")
    return directory


def install(settings: Settings, host: Host, root: Path) -> None:
    """Write into a host's root what makes it this host, and let the master in as root and as ``deploy``."""
    identity = create(settings, host)
    for name in (_HOST_KEY, f"{_HOST_KEY}.pub"):
        shutil.copy(identity / name, root / "etc/ssh" / name)
    shutil.copy(identity / "machine-id", root / "etc/machine-id")
    (root / "etc/hostname").write_text(f"{host.name}\n")
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{host.address} {host.name}\n")
    (root / "etc/systemd/network/10-host0.network").write_text(_network(host))
    public = settings.ssh_key.with_suffix(".pub").read_text()
    for home, owner in (("root", 0), ("home/deploy", (root / "home/deploy").stat().st_uid)):
        _authorize(root / home / ".ssh", owner, public)


def _network(host: Host) -> str:
    """The host's address, and a gateway that leads nowhere: without one ClusterIPs have no route that could be redirected."""
    address = f"Address={host.address}/{SUBNET.prefixlen}\nGateway={GATEWAY}"
    return f"[Match]\nName=host0\n\n[Network]\n{address}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"


def _authorize(directory: Path, owner: int, public_key: str) -> None:
    directory.mkdir(exist_ok=True, mode=0o700)
    file = directory / "authorized_keys"
    file.write_text(public_key)
    file.chmod(0o600)
    for path in (directory, file):
        shutil.chown(path, owner, owner)
