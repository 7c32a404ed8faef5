"""Control the hosts of a lab for chaos runs.

The harness has its own lab. It runs commands directly, because each start of ``./lab/lab`` costs
time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
# Never use a developer's lab: each run restores the disks of all hosts.
LAB = os.environ.get("CHAOS_LAB_NAME", "metalk8s-chaos")
os.environ["METALK8S_LAB_NAME"] = LAB
sys.path.insert(0, str(REPOSITORY / "lab"))

from metalk8s_lab import settings as lab_settings  # noqa: E402
from metalk8s_lab.hosts import disk, network  # noqa: E402
from metalk8s_lab.hosts import host as machine  # noqa: E402

BOOTSTRAP = "bootstrap"
PILLAR = "/etc/salt/metalk8s-expand/pillar/metalk8s_expand.sls"
SETTINGS = lab_settings.from_environment()
Done = subprocess.CompletedProcess[str]


class ChaosError(Exception):
    """A step of the harness failed; the message contains what it found."""


def lab(*words: str, timeout: float = 900) -> None:
    """Run ``./lab/lab``; raise ``ChaosError`` with its output if it fails."""
    command = [str(REPOSITORY / "lab" / "lab"), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise ChaosError(f"lab {' '.join(words)}: not done after {timeout:.0f} s") from error
    if done.returncode:
        raise ChaosError(
            f"lab {' '.join(words)}: exit code"
            f" {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}"
        )


def snapshots() -> list[str]:
    """Return the names of the lab's snapshots.

    Mount the disk first: it is not mounted in a stopped lab.
    """
    disk.attach(SETTINGS)
    return disk.snapshots(SETTINGS)


def on(
    host: str, *command: str, stdin: str | None = None, timeout: float = 60, check: bool = True
) -> Done:
    """Run a command in a host and capture its output.

    Raise ``ChaosError`` if it fails and ``check`` is true.
    """
    try:
        return machine.execute(host, command, input=stdin, timeout=timeout, check=check)
    except Exception as error:
        raise ChaosError(f"{host}: {error}") from error


def shell(host: str, script: str, *arguments: str, timeout: float = 60, check: bool = True) -> str:
    """Run a script in a host and return its output."""
    return on(host, "sh", "-c", script, "sh", *arguments, timeout=timeout, check=check).stdout


def kubectl(*words: str, timeout: float = 30) -> str:
    """Run kubectl on the bootstrap host and return its output."""
    return on(
        BOOTSTRAP, "kubectl", f"--request-timeout={timeout / 2:.0f}s", *words, timeout=timeout
    ).stdout


def get(*words: str) -> Any:
    """Return the result of ``kubectl get`` as data."""
    return json.loads(kubectl("get", *words, "--output=json"))


def argv(host: str, command: Sequence[str]) -> list[str]:
    """Return the command line that runs a command in a host."""
    return list(machine.exec_argv(host, command))


def inside(command: Sequence[str]) -> list[str]:
    """Return the command line that runs a command of this machine in the lab's network."""
    return [*network.ENTER, *command]


def outside(script: str, stdin: str | None = None, check: bool = True) -> str:
    """Run a script of this machine in the lab's network, outside of all hosts."""
    done = subprocess.run(
        inside(["sh", "-c", script]),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if check and done.returncode:
        raise ChaosError(
            f"{script}: exit code {done.returncode}\n{done.stdout}{done.stderr}{stdin or ''}"
        )
    return done.stdout


def is_up(host: str) -> bool:
    return machine.leader(host) is not None


def crash(host: str) -> None:
    """Kill the host at once, without a shutdown."""
    machine.kill(SETTINGS, host)


def start(host: str) -> None:
    if not is_up(host):
        lab("start", host, timeout=180)


def data_directory(host: str) -> Path:
    """Return the directory on this machine that is /var/lib/etcd in the host."""
    return SETTINGS.disk / "hosts" / host / "data" / "etcd"


def declare(pillar: Any) -> None:
    """Write the declaration as JSON, which is also YAML."""
    on(BOOTSTRAP, "tee", PILLAR, stdin=json.dumps(pillar, indent=1))


def until(what: str, problem: Callable[[], str], timeout: float, pause: float = 1.0) -> None:
    """Wait until ``problem`` returns nothing; raise ``ChaosError`` with it after ``timeout``."""
    deadline, last = time.monotonic() + timeout, ""
    while True:
        try:
            last = problem()
        except (ChaosError, ValueError, KeyError) as error:
            last = str(error)
        if not last:
            return
        if time.monotonic() > deadline:
            raise ChaosError(f"waited {timeout:.0f} s for {what}: {last}")
        time.sleep(pause)


def api_problem(host: str, address: str) -> str:
    """Return why the API server of a node does not work, seen from the node; empty if it works."""
    done = on(
        host,
        "curl",
        "--silent",
        "--max-time",
        "5",
        "--insecure",
        f"https://{address}:6443/readyz",
        check=False,
        timeout=20,
    )
    return (
        ""
        if done.stdout.strip() == "ok"
        else f"{host}: {done.stdout[-300:] or done.stderr[-300:] or 'no answer'}"
    )


def master_problem() -> str:
    """Return why the Salt master does not work; empty if it works."""
    done = on(BOOTSTRAP, "salt-master-container", "wait", timeout=120, check=False)
    return "" if done.returncode == 0 else done.stderr.strip()


def minions_problem(names: Sequence[str]) -> str:
    """Return which of these minions do not answer the master; empty if all do."""
    words = [
        "salt",
        "--out=json",
        "--static",
        "--timeout=5",
        "--list",
        ",".join(names),
        "test.ping",
    ]
    done = on(BOOTSTRAP, *words, timeout=90, check=False)
    found = json.loads(done.stdout or "{}")
    missing = [name for name in names if found.get(name) is not True]
    return f"minions do not answer: {', '.join(missing)}" if missing else ""


def nodes_problem(names: Sequence[str]) -> str:
    """Return which of these Nodes are not Ready; empty if all are."""
    found = {item["metadata"]["name"]: item for item in get("nodes")["items"]}
    missing = [name for name in names if name not in found or not is_ready(found[name])]
    return f"not Ready: {', '.join(missing)}" if missing else ""


def is_ready(item: Any) -> bool:
    conditions = item["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
