"""A host with an etcd member: its files, its kubelet and its power switch.

The kubelet starts and restarts the static Pod.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalk8s_expand.clients.etcd.api import Credentials, Etcd
from metalk8s_expand.clients.etcd.member_files import MemberFiles
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.parsing import addresses
from metalk8s_expand.minion import etcd_member
from metalk8s_expand.minion.etcd_member import DesiredMember
from tests.integration.daemons import Daemon, eventually

PORTS = (2379, 2380, 2381)
_BACK_OFF = 0.2


@dataclass(frozen=True)
class Site:
    """The data that all hosts share."""

    programs: dict[str, Path]
    pki: Path
    network: str

    def credentials(self) -> Credentials:
        """Return a client certificate that etcd accepts."""
        return Credentials(
            str(self.pki / "ca.crt"), str(self.pki / "client.crt"), str(self.pki / "client.key")
        )


class Host:
    """One host; ``number`` is the last part of its name and, by default, of its address."""

    def __init__(self, site: Site, root: Path, number: int, address: str = "") -> None:
        self.site = site
        self.root = root
        self.name = f"host-{number}"
        self.address = address or f"{site.network}.{number}"
        self.manifest = root / "manifests" / "etcd.yaml"
        self.manifest.parent.mkdir(parents=True, exist_ok=True)
        self.files = MemberFiles(
            str(root / "data"), str(root / "etcd.yaml"), str(self.manifest), self.address
        )
        self.exits: list[int] = []
        self._kubelet: threading.Thread | None = None
        self._off = threading.Event()

    # The states of the role.

    def wanted(self, **limits: Any) -> DesiredMember:
        """Return the desired member as the state module does, with the paths of this host."""
        peer, client = quorum.peer_url(self.address), quorum.client_url(self.address)
        certificates = {
            f"{key}-file": str(self.site.pki / f"server.{end}")
            for key, end in (("cert", "crt"), ("key", "key"))
        }
        security = {
            **certificates,
            "trusted-ca-file": str(self.site.pki / "ca.crt"),
            "client-cert-auth": True,
        }
        base = {
            "data-dir": str(self.files.data),
            "listen-peer-urls": peer,
            "listen-client-urls": client,
            "listen-metrics-urls": addresses.url("http", self.address, 2381),
            "advertise-client-urls": client,
            "initial-advertise-peer-urls": peer,
            "client-transport-security": security,
            "peer-transport-security": security,
            "snapshot-count": 10000,
            # Half of the defaults, for faster tests.
            "heartbeat-interval": 50,
            "election-timeout": 500,
        }
        return DesiredMember(
            self.name, peer, base, **{"timeout": 20.0, "start_timeout": 20.0, **limits}
        )

    def etcd(self, others: Sequence[Host], own: bool, kind: type[Etcd] = Etcd) -> Etcd:
        """Return a client as the state module does; with ``own``, the own member comes first."""
        hosts = [*([self] if own else []), *(host for host in others if host is not self)]
        urls = [quorum.client_url(host.address) for host in hosts]
        return kind(urls, self.site.credentials(), timeout=3.0)

    def add(self, others: Sequence[Host], kind: type[Etcd] = Etcd, **limits: Any) -> dict[str, Any]:
        """Run the state ``member_added``."""
        client = self.etcd(others, self.files.has_data(), kind)
        return etcd_member.add_learner(client, self.files, self.wanted(**limits), Clock())

    def promote(
        self, others: Sequence[Host], kind: type[Etcd] = Etcd, **limits: Any
    ) -> dict[str, Any]:
        """Run the state ``member_promoted``."""
        client = self.etcd(others, self.files.has_data() or not others, kind)
        return etcd_member.promote_learner(client, self.files, self.wanted(**limits), Clock())

    def pending(self, others: Sequence[Host]) -> list[str]:
        """Run the state ``member_added`` under test=True."""
        return etcd_member.pending_changes(
            self.etcd(others, self.files.has_data()), self.files, self.wanted()
        )

    def deploy(
        self, others: Sequence[Host], kind: type[Etcd] = Etcd, **limits: Any
    ) -> dict[str, Any]:
        """Add the member, run the static Pod and promote the member; return all changes."""
        changes = self.add(others, kind, **limits)
        self.write_manifest()
        return {**changes, **self.promote(others, kind, **limits)}

    def write_manifest(self) -> None:
        """Write the manifest of the static Pod for the kubelet."""
        self.manifest.write_text("the static Pod\n")

    # The machine.

    def power_on(self) -> Host:
        """Start the kubelet."""
        self._off = threading.Event()
        self._kubelet = threading.Thread(
            target=self._keep_pod, args=(self._off,), name=self.name, daemon=True
        )
        self._kubelet.start()
        return self

    def power_off(self) -> None:
        """Kill the kubelet and the member at once."""
        self._off.set()
        if self._kubelet is not None:
            self._kubelet.join(20)
            assert not self._kubelet.is_alive()

    def wipe(self) -> None:
        """Delete the data of etcd, as the loss of its disk does."""
        shutil.rmtree(self.files.data)

    def log(self) -> str:
        """Return the log of etcd since its first start."""
        path = self.root / "etcd.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _keep_pod(self, off: threading.Event) -> None:
        daemon: Daemon | None = None
        while not off.wait(0.02):
            if daemon is not None and daemon.exit_code() is not None:
                self.exits.append(daemon.exit_code() or 0)
                daemon = None
                off.wait(_BACK_OFF)
            if daemon is None and self.manifest.exists() and not off.is_set():
                argv = [str(self.site.programs["etcd"]), f"--config-file={self.files.config}"]
                daemon = Daemon(argv, self.root / "etcd.log")
            elif daemon is not None and not self.manifest.exists():
                daemon.stop()
                daemon = None
        if daemon is not None:
            daemon.crash()

    # The view of an observer.

    def members(self) -> list[Member]:
        """Return all members as the member of this host lists them."""
        return self.etcd([], own=True).members()

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run etcdctl against the member of this host only."""
        paths = self.site.credentials()
        tls = [f"--cacert={paths.ca}", f"--cert={paths.cert}", f"--key={paths.key}"]
        argv = [
            str(self.site.programs["etcdctl"]),
            f"--endpoints={quorum.client_url(self.address)}",
            *tls,
            "--command-timeout=3s",
        ]
        return subprocess.run(
            [*argv, *arguments], capture_output=True, text=True, timeout=20, check=False
        )

    def put(self, key: str, value: str) -> None:
        """Write a key; return after etcd acknowledged it."""
        done = self.ctl("put", key, value)
        assert done.returncode == 0, done.stderr

    def get(self, key: str) -> str:
        """Read a key linearizably; repeat the read while there is no leader."""
        answers: list[subprocess.CompletedProcess[str]] = []

        def ask() -> bool:
            answers.append(self.ctl("get", key, "--print-value-only"))
            return answers[-1].returncode == 0

        eventually(f"{self.name} answers a read", ask, 15)
        return answers[-1].stdout.strip()

    def revision(self) -> int:
        """Return the revision of the store, which every write increases."""
        return int(self._status()["header"]["revision"])

    def leads(self) -> bool:
        """Return whether the member is the leader."""
        status = self._status()
        return bool(status["leader"] == status["header"]["member_id"])

    def _status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.ctl("endpoint", "status", "-w", "json").stdout)[0][
            "Status"
        ]
        return status


def voters(host: Host) -> list[str]:
    """Return the sorted names of the healthy voters."""
    return sorted(member.name for member in host.members() if member.healthy and not member.learner)


def is_up(host: Host, expected: Sequence[Host]) -> Callable[[], bool]:
    """Return a probe: whether the host's member lists exactly these healthy voters."""
    names = sorted(item.name for item in expected)

    def probe() -> bool:
        try:
            return voters(host) == names
        except Exception:  # the member is not up yet
            return False

    return probe
