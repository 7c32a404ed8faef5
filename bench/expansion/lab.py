"""Run commands in a lab of the benchmark's own, and read the CPU time of its hosts."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.writer import SCRIPT, Written

ROOT = Path(__file__).resolve().parents[2]
LAB = str(ROOT / "lab" / "lab")
NAME = os.environ.get("METALK8S_LAB_NAME") or "metalk8s-bench"
ENVIRONMENT = {**os.environ, "METALK8S_LAB_NAME": NAME}
STATE = Path(os.environ.get("METALK8S_LAB_STATE") or f"/var/lib/metalk8s-expand-lab.{NAME}")
CGROUPS = Path("/sys/fs/cgroup")
BOOTSTRAP = "bootstrap"
SSH_KEY = STATE / "keys" / "master"
HEALTHY_S = 300


@dataclass(frozen=True)
class Node:
    """A blank host and the roles that it gets."""

    name: str
    address: str
    roles: str

    @property
    def argument(self) -> str:
        """Return the node as the scripts of the peers expect it."""
        return f"{self.name}={self.address}={self.roles}"


NODES = (
    Node("cp-1", "10.200.0.11", "master,etcd"),
    Node("cp-2", "10.200.0.12", "master,etcd"),
    Node("infra-1", "10.200.0.13", "infra"),
    Node("worker-1", "10.200.0.14", "node"),
)
BY_NAME = {node.name: node for node in NODES}
ADDRESS = "10.200.0.10"


@dataclass
class Run:
    """One measured run: wall seconds, CPU seconds by host, and the longest gap between writes."""

    seconds: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    gap: float = 0.0

    @property
    def cpu_total(self) -> float:
        return sum(self.cpu.values())


def lab(*words: str, timeout: float = 900) -> None:
    """Run ``./lab/lab``; raise ``CalledProcessError`` if it fails."""
    subprocess.run([LAB, *words], env=ENVIRONMENT, timeout=timeout, check=True)


def on(host: str, *command: str, data: str | None = None, timeout: float = 120) -> str:
    """Run a command in a host and return its output.

    Raise ``RuntimeError`` with the end of its output if it fails.
    """
    done = subprocess.run(
        [LAB, "exec", host, "--", *command],
        env=ENVIRONMENT,
        input=data,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        output = f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        raise RuntimeError(
            f"{host}: {' '.join(command)[:300]}: exit code {done.returncode}\n{output}"
        )
    return done.stdout


def until(what: str, holds: Callable[[], bool], timeout: float = HEALTHY_S) -> None:
    """Wait until the condition holds; raise ``RuntimeError`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {timeout:.0f} s for {what}")
        time.sleep(1)


def answers(host: str, *command: str) -> bool:
    """Return whether a command succeeds in a host within two minutes."""
    try:
        on(host, *command)
    except (RuntimeError, subprocess.TimeoutExpired):
        return False
    return True


@contextmanager
def measured(*hosts: str, port: int = 0) -> Iterator[Run]:
    """Measure the block; the result is complete when the block has ended.

    With ``port`` a client on the bootstrap node writes continuously through that port.
    """
    run = Run()
    writer = _start_writer(port) if port else None
    try:
        before = {host: cpu_seconds(host) for host in hosts}
        started = time.perf_counter()
        yield run
        run.seconds = time.perf_counter() - started
        run.cpu = {host: cpu_seconds(host) - before[host] for host in hosts}
    finally:
        if writer:
            out, _ = writer.communicate(input="stop\n", timeout=60)
            run.gap = Written([float(line) for line in out.split()]).longest_pause


def _start_writer(port: int) -> subprocess.Popen[str]:
    on(BOOTSTRAP, "tee", "/root/writer.py", data=SCRIPT.replace("7443", str(port)))
    return subprocess.Popen(
        [LAB, "exec", BOOTSTRAP, "--", "python3", "/root/writer.py"],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def cpu_seconds(host: str) -> float:
    """Return the CPU seconds of all processes of a running host since its start."""
    document = subprocess.run(
        [LAB, "status", "--json"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    pids = {item["name"]: item["pid"] for item in json.loads(document.stdout)["hosts"]}
    groups = Path(f"/proc/{pids[host]}/cgroup").read_text()
    return usage(CGROUPS, groups, f"{NAME}-{host}")


def usage(root: Path, groups: str, name: str) -> float:
    """Return the CPU seconds of a control group.

    ``groups`` is the text of ``/proc/PID/cgroup`` of a process in or below the group ``name``.
    Raise ``RuntimeError`` if no hierarchy that counts CPU time has the group.
    """
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        parts = path.strip("/").split("/")
        if name not in parts:
            continue
        below = "/".join(parts[: parts.index(name) + 1])
        if "cpuacct" in controllers.split(","):
            return int((root / controllers / below / "cpuacct.usage").read_text()) / 1e9
        if not controllers:
            text = (root / below / "cpu.stat").read_text()
            return int(dict(line.split() for line in text.splitlines())["usage_usec"]) / 1e6
    raise RuntimeError(f"no control group {name} counts CPU time")
