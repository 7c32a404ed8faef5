"""Introduce faults into hosts, and revert each of them even if the test fails.

Most faults are real changes to the host. For properties that all hosts of one machine share (clock,
kernel, processors, firmware), ``metalk8s_expand:probe_sources`` in the master's configuration names
a replacement.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.lab.hosts import PILLAR, kubectl, on

CONFIGURATION = "/etc/salt/master.d/fault.conf"
MASTER_KEYS = "/etc/salt/pki/master"
# In memory, so that the comparison of the disk does not see it.
PLACE = "/run/fault"

Make = Callable[[], AbstractContextManager[None]]

LISTENER = """
import socket, subprocess, time
serving = [socket.create_server(("", port)) for port in {ports}]
subprocess.run(["systemd-notify", "--ready"], check=True)
time.sleep(600)
"""
# Returns each query unchanged, which the resolver accepts as an answer.
NAME_SERVER = """
import socket, subprocess
serving = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
serving.bind(("127.0.0.1", 53))
subprocess.run(["systemd-notify", "--ready"], check=True)
while True:
    serving.sendto(*serving.recvfrom(512))
"""
# The hosts have no older Python.
OLD_PYTHON = """#!/bin/sh
for last; do :; done
exec /usr/bin/python3 -BIS -c 'import sys; sys.version_info = (3, 8, 20); exec(compile(sys.stdin.read(), "probe", "exec"))' "$last"
"""


@dataclass(frozen=True)
class Fault:
    """A fault and the check that must report it.

    ``words`` appear in the finding. The checks run on ``nodes``; ``on`` are the nodes among them
    whose findings are expected.
    """

    check: str
    words: str
    make: Make
    severity: str = "error"
    nodes: tuple[str, ...] = ("worker-1",)
    on: tuple[str, ...] = ()
    # Every run of the tests includes this fault.
    always: bool = False

    @property
    def told_of(self) -> tuple[str, ...]:
        return self.on or self.nodes


def shell(host: str, do: str, undo: str) -> Make:
    """Run ``do``, and ``undo`` at the end; ``undo`` must work even if ``do`` failed halfway."""

    @contextmanager
    def made() -> Iterator[None]:
        try:
            on(host, "sh", "-ec", do)
            yield
        finally:
            on(host, "sh", "-c", undo)

    return made


def all_of(*makes: Make) -> Make:
    """Introduce several faults at once."""

    @contextmanager
    def made() -> Iterator[None]:
        with ExitStack() as stack:
            for make in makes:
                stack.enter_context(make())
            yield

    return made


# Files and mounts.


def new_file(host: str, path: str, text: str, mode: str = "644") -> Make:
    """Create a file and its missing directories, and remove all of them at the end."""

    @contextmanager
    def made() -> Iterator[None]:
        script = (
            'p=$1; test ! -e "$p"; while d=$(dirname "$p"); [ ! -e "$d" ]; do p=$d; done; echo "$p"'
        )
        highest = on(host, "sh", "-ec", script, "sh", path).stdout.strip()
        try:
            on(host, "install", "-D", "-m", mode, "/dev/stdin", path, stdin=text)
            yield
        finally:
            on(host, "rm", "-rf", highest)

    return made


def changed_file(host: str, path: str, change: Callable[[str], str]) -> Make:
    """Change the text of a file."""

    @contextmanager
    def made() -> Iterator[None]:
        before = on(host, "cat", path).stdout
        try:
            on(host, "tee", path, stdin=change(before))
            yield
        finally:
            on(host, "tee", path, stdin=before)

    return made


def mounted(host: str, target: str, options: str) -> Make:
    """Mount a file system in memory over a directory."""
    return shell(host, f"mount -t tmpfs -o {options} fault {target}", f"umount {target}")


# Processes, network and firewall.


def service(host: str, source: str) -> Make:
    """Run a Python program, and wait for its message to systemd that it is ready."""
    start = "systemd-run --quiet --collect --unit=fault --service-type=notify --property=NotifyAccess=all python3 -c"
    return shell(host, f"{start} '{source}'", "systemctl stop fault")


def listening(host: str, *ports: int) -> Make:
    return service(host, LISTENER.format(ports=list(ports)))


def unit(host: str, name: str, directory: str, start: str, stop: str) -> Make:
    """Create a service of this name that only sleeps."""
    text = "[Service]\nExecStart=/usr/bin/sleep 600\n[Install]\nWantedBy=multi-user.target\n"
    started = shell(
        host,
        f"systemctl daemon-reload; systemctl --quiet {start} {name}",
        f"systemctl --quiet {stop} {name}",
    )
    reloaded = shell(host, ":", "systemctl daemon-reload")
    return all_of(reloaded, new_file(host, f"{directory}/{name}.service", text), started)


def firewall(host: str, hook: str, rule: str) -> Make:
    """Add an nftables rule in the host."""
    table = f"table inet fault {{ chain fault {{ type filter hook {hook} priority 0; {rule}; }}; }}"
    return shell(host, f"nft '{table}'", "nft delete table inet fault")


def address(host: str, cidr: str) -> Make:
    return shell(host, f"ip address add {cidr} dev host0", f"ip address delete {cidr} dev host0")


# The master and the cluster.


def configured(more: Mapping[str, Any]) -> Make:
    """Add keys to the master's configuration, which every command reads when it starts."""
    return new_file("bootstrap", CONFIGURATION, json.dumps({"metalk8s_expand": dict(more)}))


def source(sources: Mapping[str, Any], *hosts: str) -> Make:
    """Replace sources that the probe reads on the hosts.

    A text replaces a file and a mapping replaces a directory; None is a missing path.
    """
    chosen = hosts or ("worker-1",)

    @contextmanager
    def made() -> Iterator[None]:
        with ExitStack() as stack:
            places = {
                name: {path: _placed(stack, name, path, value) for path, value in sources.items()}
                for name in chosen
            }
            stack.enter_context(configured({"probe_sources": places})())
            yield

    return made


def _placed(stack: ExitStack, host: str, path: str, value: Any) -> Any:
    """Write the file or directory and return its path; return the value if ``path`` is no path."""
    if not path.startswith("/"):
        return value
    place = PLACE + path
    files = value if isinstance(value, Mapping) else {"": value}
    if value is None:
        files = {}
    for name, text in files.items():
        stack.enter_context(new_file(host, f"{place}/{name}" if name else place, text)())
    return place


def declared(change: Mapping[str, Any]) -> Make:
    """Change values of the declaration in the pillar."""

    @contextmanager
    def made() -> Iterator[None]:
        import yaml

        before = on("bootstrap", "cat", PILLAR).stdout
        try:
            text = json.dumps(
                {"metalk8s_expand": merged(yaml.safe_load(before)["metalk8s_expand"], change)}
            )
            on("bootstrap", "tee", PILLAR, stdin=text)
            yield
        finally:
            on("bootstrap", "tee", PILLAR, stdin=before)

    return made


def merged(old: Any, new: Any) -> Any:
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return new
    return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}


def minion_key(directory: str, minion: str) -> Make:
    """Store another minion's key under this name at the master."""
    place = f"{MASTER_KEYS}/{directory}/{minion}"
    return shell("bootstrap", f"cp {MASTER_KEYS}/minions/bootstrap {place}", f"rm {place}")


def node(name: str, status: Mapping[str, Any]) -> Make:
    """Create a Node with this status."""

    @contextmanager
    def made() -> Iterator[None]:
        try:
            kubectl(
                "create",
                "--filename=-",
                stdin=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}),
            )
            kubectl(
                "patch",
                "node",
                name,
                "--subresource=status",
                "--patch",
                json.dumps({"status": dict(status)}),
            )
            yield
        finally:
            kubectl("delete", "node", name, "--ignore-not-found")

    return made
