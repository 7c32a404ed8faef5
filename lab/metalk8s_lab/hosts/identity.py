"""Create the identity of a host: its name, machine ID, address and SSH host keys.

The keys and the machine ID are made once. A host that is made blank again keeps them.
"""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from metalk8s_lab.command import run
from metalk8s_lab.settings import Settings
from metalk8s_lab.topology import Host, gateways

_HOST_KEY = "ssh_host_ed25519_key"


def make_key(path: Path, comment: str) -> None:
    """Make an ed25519 key pair without a passphrase unless it exists."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.with_suffix(".pub").exists():
        path.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])


def create(settings: Settings, host: Host) -> Path:
    """Return the directory with the host's keys and machine ID; create them if they are missing."""
    directory = settings.state / "identity" / host.name
    make_key(directory / _HOST_KEY, f"root@{host.name}")
    machine_id = directory / "machine-id"
    if not machine_id.exists():
        machine_id.write_text(f"{uuid.uuid4().hex}\n")
    return directory


def install(settings: Settings, host: Host, root: Path) -> None:
    """Write the host's identity into its root.

    Authorize the master's key for root and ``deploy``.
    """
    identity = create(settings, host)
    for name in (_HOST_KEY, f"{_HOST_KEY}.pub"):
        shutil.copy(identity / name, root / "etc/ssh" / name)
    shutil.copy(identity / "machine-id", root / "etc/machine-id")
    (root / "etc/hostname").write_text(f"{host.name}\n")
    names = "".join(f"{address} {host.name}\n" for address in host.addresses)
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{names}")
    (root / "etc/systemd/network/10-host0.network").write_text(_network(host, settings.family))
    public = settings.ssh_key.with_suffix(".pub").read_text()
    for home, owner in (("root", 0), ("home/deploy", (root / "home/deploy").stat().st_uid)):
        _authorize(root / home / ".ssh", owner, public)


def _network(host: Host, family: str) -> str:
    """Return the network configuration: the host's addresses and gateways without a way out.

    Without a gateway the kernel has no route to ClusterIPs that rules could redirect. A host with
    IPv6 has a link-local address, as real ones do.
    """
    pairs = zip(host.addresses, gateways(family), strict=True)
    lines = [
        f"Address={address}/{length}\nGateway={gateway}" for address, (gateway, length) in pairs
    ]
    local = "no" if family == "ipv4" else "ipv6"
    lines += [f"LinkLocalAddressing={local}", "IPv6AcceptRA=no"]
    return "[Match]\nName=host0\n\n[Network]\n" + "\n".join(lines) + "\n"


def _authorize(directory: Path, owner: int, public_key: str) -> None:
    directory.mkdir(exist_ok=True, mode=0o700)
    file = directory / "authorized_keys"
    file.write_text(public_key)
    file.chmod(0o600)
    for path in (directory, file):
        shutil.chown(path, owner, owner)
