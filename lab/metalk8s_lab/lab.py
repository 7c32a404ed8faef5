"""Implement the commands of the lab, and the interface that ``bootstrap.provision`` uses."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from metalk8s_lab.builders import artifacts, rootfs
from metalk8s_lab.errors import LabError
from metalk8s_lab.hosts import cgroups, disk, host, identity, machine, network
from metalk8s_lab.progress import progress, working
from metalk8s_lab.settings import Settings
from metalk8s_lab.topology import BOOTSTRAP, DEFAULT_NODES, NAMESPACE, Host, find, hosts

T = TypeVar("T")

# The read-only mount of the cache from which the bootstrap host serves the artifacts to all hosts.
ARTIFACTS_ON_BOOTSTRAP = "/srv/artifacts"


class Lab:
    """All hosts of the lab and the commands on them.

    A caller that changes something holds the lock (``lock.py``).
    """

    def __init__(self, settings: Settings) -> None:
        """Store the settings; change nothing on the machine.

        A lab keeps the family of addresses with which ``up`` has created it.
        """
        self._wanted_family = settings.family
        self.settings = settings
        if record := self._record():
            self.settings = replace(settings, family=record.get("family", "ipv4"))
        self.progress: Callable[[str], None] = progress

    # The interface that bootstrap.provision uses.

    @property
    def hosts(self) -> list[Host]:
        """All hosts, the bootstrap host first."""
        return hosts(self._nodes(), self.settings.family)

    @property
    def bootstrap(self) -> Host:
        """The host that the cluster begins with."""
        return find(self.hosts, BOOTSTRAP)

    @property
    def ssh_key(self) -> Path:
        """The master's private key on this machine, with the public key in ``.pub`` beside it.

        The accounts root and ``deploy`` of every host accept it.
        """
        return self.settings.ssh_key

    @property
    def artifacts(self) -> Path:
        """The directory with all artifacts on this machine.

        It is ``ARTIFACTS_ON_BOOTSTRAP`` on the bootstrap host.
        """
        return artifacts.build(self.settings)

    def exec(
        self,
        name: str,
        argv: Sequence[str],
        *,
        input: str | None = None,
        timeout: float = 60,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a host as root and capture its output.

        Raise ``LabError`` if it fails and ``check`` is true.
        """
        return host.execute(name, argv, input=input, timeout=timeout, check=check)

    def write_file(self, name: str, path: str, content: str, mode: int = 0o644) -> None:
        """Write a file into a host and create its directories."""
        self.exec(name, ["install", "-D", "-m", f"{mode:04o}", "/dev/stdin", path], input=content)

    def copy_tree(self, name: str, source: Path, target: str) -> None:
        """Copy a directory to a host and delete all other files in the target."""
        self.exec(name, ["sh", "-c", 'rm -rf "$1" && mkdir -p "$1"', "sh", target])
        pack = [
            "tar",
            "-C",
            str(source),
            "--exclude=__pycache__",
            "--owner=0",
            "--group=0",
            "-cf",
            "-",
            ".",
        ]
        with subprocess.Popen(pack, stdout=subprocess.PIPE) as tar:
            unpack = subprocess.run(
                host.exec_argv(name, ["tar", "-C", target, "--no-same-owner", "-xf", "-"]),
                stdin=tar.stdout,
                stderr=subprocess.PIPE,
                timeout=300,
                check=False,
            )
        if tar.returncode or unpack.returncode:
            raise LabError(
                f"{name}: {source} cannot be copied to {target}:"
                f" {unpack.stderr.decode(errors='replace')}"
            )

    # The commands.

    def build(self) -> Path:
        """Fill the cache with all input of the hosts; return the directory of the artifacts."""
        rootfs.build(self.settings)
        return self.artifacts

    def up(self, nodes: int | None = None) -> None:
        """Build what is missing and start all hosts."""
        wanted = self._nodes() if nodes is None else nodes
        hosts(wanted)  # refuses an impossible number before anything is built
        self._refuse_other_family()
        self.build()
        identity.make_key(self.ssh_key, "metalk8s-lab master")
        self._declare(wanted)
        self._start(self.hosts)

    def down(self) -> None:
        """Stop all hosts and remove their mounts, control groups and network."""
        self._stop_all()
        disk.detach(self.settings)
        network.delete()

    def destroy(self) -> None:
        """Stop all hosts and delete their disks, snapshots and keys; the cache stays."""
        self._crash_all()
        self.down()
        for path in ("disk.img", "disk.img.new", "lab.json"):
            (self.settings.state / path).unlink(missing_ok=True)
        for name in ("disk", "mnt", "log", "identity", "keys"):
            subprocess.run(
                ["rm", "-rf", "--one-file-system", str(self.settings.state / name)],
                check=True,
                timeout=300,
            )

    def start(self, name: str) -> None:
        """Start a host."""
        self._launch([find(self.hosts, name)])

    def stop(self, name: str) -> None:
        """Power off a host."""
        self._stop([find(self.hosts, name).name])

    def kill(self, name: str) -> None:
        """Crash a host."""
        host.kill(self.settings, find(self.hosts, name).name)

    def reset(self, name: str) -> None:
        """Make a host blank again and start it."""
        one = find(self.hosts, name)
        host.clean_up(self.settings, name)
        self._prepare()
        host.make_blank(self.settings, one, rootfs.build(self.settings))
        self._launch([one])

    def snapshot(self, name: str) -> None:
        """Copy the disks of all hosts under a name; stop running hosts and start them again."""
        running = [each for each in self.hosts if host.leader(each.name)]
        self._prepare()
        self._stop_all()
        with working(f"snapshot {name}"):
            kept = [
                each.name for each in self.hosts if disk.host_dir(self.settings, each.name).is_dir()
            ]
            disk.snapshot(self.settings, name, kept, {"nodes": self._nodes(), "time": time.time()})
        self._launch(running)

    def rollback(self, name: str, some: Sequence[str] | None = None) -> None:
        """Restore all hosts from a snapshot; start all of them, or those in ``some``."""
        self._prepare()
        facts = disk.snapshot_facts(self.settings, name)
        kept = [str(each) for each in facts["hosts"]]  # type: ignore[attr-defined]
        known = hosts(int(str(facts["nodes"])))
        chosen = [find(known, one) for one in some] if some else known
        self._crash_all()  # the rollback discards anything that they still write
        with working(f"rollback to {name}"):
            self._declare(int(str(facts["nodes"])))
            disk.rollback(self.settings, name, kept)
        self._start(chosen)

    def status(self) -> dict[str, object]:
        """Return the hosts, snapshots and paths of the lab; a stopped host has no ``pid``."""
        return {
            "namespace": NAMESPACE if network.exists() else None,
            "hosts": [
                {"name": each.name, "address": str(each.address), "pid": host.leader(each.name)}
                for each in self.hosts
            ],
            "snapshots": disk.snapshots(self.settings),
            "state": str(self.settings.state),
            "cache": str(self.settings.cache),
            "ssh_key": str(self.ssh_key),
        }

    # Parts of the commands.

    def _nodes(self) -> int:
        return int(self._record().get("nodes", DEFAULT_NODES))

    def _refuse_other_family(self) -> None:
        own = self.settings.family
        if self._wanted_family not in (own, "ipv4"):
            raise LabError(
                f"this lab has {own} addresses, LAB_FAMILY is {self._wanted_family}: ./lab/lab"
                " destroy, then up"
            )

    def _record(self) -> dict[str, Any]:
        """Return what the last ``up`` recorded; empty before the first one."""
        try:
            record: dict[str, Any] = json.loads((self.settings.state / "lab.json").read_text())
        except FileNotFoundError:
            return {}
        return record

    def _declare(self, nodes: int) -> None:
        """Record the number of nodes; stop the hosts beyond that number and delete their disks."""
        keep = {each.name for each in hosts(nodes)}
        disk.attach(self.settings)
        known = {path.name for path in (self.settings.disk / "hosts").glob("[!.]*")}
        for name in sorted((known | cgroups.left_hosts()) - keep):
            progress(f"{name} is no longer part of the lab")
            host.clean_up(self.settings, name)
            disk.forget(self.settings, disk.host_dir(self.settings, name))
        record = {"nodes": nodes, "family": self.settings.family}
        (self.settings.state / "lab.json").write_text(json.dumps(record))

    def _prepare(self) -> None:
        disk.attach(self.settings)
        network.create(self.settings.family)

    def _start(self, some: Sequence[Host]) -> None:
        with working(f"starting {len(some)} hosts"):
            self._launch(some)

    def _launch(self, some: Iterable[Host]) -> None:
        chosen = list(some)
        if not chosen:
            return
        self._prepare()
        machine.let_watch()
        system, store = rootfs.build(self.settings), self.artifacts

        def launch(one: Host) -> None:
            binds = [f"{store}:{ARTIFACTS_ON_BOOTSTRAP}"] if one.is_bootstrap else []
            host.launch(self.settings, one, system, binds)
            host.await_ready(self.settings, one)

        _in_parallel(launch, chosen)

    def _stop_all(self) -> None:
        names = sorted({each.name for each in self.hosts} | cgroups.left_hosts())
        if any(host.leader(name) for name in names):
            with working("stopping all hosts"):
                self._stop(names)
        else:
            self._stop(names)

    def _crash_all(self) -> None:
        names = sorted({each.name for each in self.hosts} | cgroups.left_hosts())
        _in_parallel(lambda name: host.clean_up(self.settings, name), names)

    def _stop(self, names: Iterable[str]) -> None:
        def stop(name: str) -> None:
            if not host.stop(self.settings, name):
                progress(f"{name} did not power off by itself and was killed")

        _in_parallel(stop, names)


def _in_parallel(work: Callable[[T], None], items: Iterable[T]) -> None:
    """Call ``work`` for all items in parallel, and raise all errors together at the end."""
    with ThreadPoolExecutor(max_workers=max(4, os.cpu_count() or 1)) as pool:
        errors = [future.exception() for future in [pool.submit(work, item) for item in items]]
    wrong = [error for error in errors if error]
    for error in wrong:
        if not isinstance(error, LabError):
            raise error
    if wrong:
        raise LabError("\n".join(str(error) for error in wrong))
