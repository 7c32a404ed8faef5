"""Processes that acquire the lock for ``test_lock.py``. The argument is one JSON object.

``crowd``: several processes acquire the lock at the same moment; each prints its result at the end.
``run``: a process that holds the lock and executes the commands from standard input. Between two
commands it renews the lock, as the expansion's loop does.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.kubernetes.lease import Leases, claim
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.errors import ExpandError
from metalk8s_expand.minion import fence
from metalk8s_expand.runs.lock import Lock, acquire

Options = dict[str, Any]


def append(path: str, line: str) -> None:
    """Append one whole line to the file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def attempt(act: Callable[[], Options]) -> None:
    """Print the result of the call, or its error."""
    try:
        answer = act()
    except ExpandError as error:
        answer = error.as_dict()
    # Many processes share the pipe, so each line is one write.
    os.write(sys.stdout.fileno(), json.dumps({"pid": os.getpid(), **answer}).encode() + b"\n")


# The crowd


def crowd(options: Options) -> int:
    """Fork the processes, start them at the same moment and wait for all of them."""
    import kubernetes.config  # noqa: F401 - imported once, before the forks

    ready, go = os.pipe(), os.pipe()
    children = [os.fork() for _ in range(options["count"]) if os.getpid() == options["zygote"]]
    if 0 in children:
        member(options, ready[1], go)
        os._exit(0)
    for _ in children:
        os.read(ready[0], 1)
    os.close(go[1])
    return max(os.waitpid(child, 0)[1] for child in children)


def member(options: Options, ready: int, go: tuple[int, int]) -> None:
    """Connect, wait for the start, try to acquire the lock."""
    kube = Kube.from_kubeconfig(options["kubeconfig"])
    kube.text("/readyz")
    os.close(go[1])
    os.write(ready, b".")
    os.read(go[0], 1)
    attempt(lambda: turn(options, kube))


def turn(options: Options, kube: Kube) -> Options:
    """Acquire the lock, hold it until the expected number of refusals is logged, release it."""
    path, pid = options["log"], os.getpid()
    try:
        held = acquire(
            Leases(kube),
            claim("crowd", f"turn of {pid}"),
            options["wait_s"],
            clock=Clock(),
            duration=options["duration"],
        )
    except ExpandError:
        append(path, f"told {pid}")
        raise
    with held:
        held.check()
        append(path, f"enter {pid} {held.epoch}")
        deadline = time.monotonic() + 30
        while (
            Path(path).read_text().count("told") < options["told"] and time.monotonic() < deadline
        ):
            held.tick()
            time.sleep(0.02)
        time.sleep(0.02)
        append(path, f"leave {pid} {held.epoch}")
    return {"epoch": held.epoch}


# The process that executes commands


def run(options: Options) -> int:
    """Hold the lock, and renew it until the next command arrives."""
    kube = Kube.from_kubeconfig(options["kubeconfig"])
    wanted = claim("run-1", "a worker")
    # The lock cannot check a process of another host, so such a claim names none.
    wanted = replace(wanted, process="") if options.get("elsewhere") else wanted
    held = acquire(Leases(kube), wanted, clock=Clock(), duration=options["duration"])
    attempt(lambda: {"epoch": held.epoch})
    commands: dict[str, Callable[[], Options]] = {
        "change": lambda: change(held, options),
        "freeze and change": lambda: change(held, options, freeze=True),
        "release": lambda: held.release() or {},
    }
    while True:
        held.tick()
        if not select.select([sys.stdin], [], [], 0.1)[0]:
            continue
        command = sys.stdin.readline().strip()
        if not command:
            return 0
        attempt(commands[command])


def change(held: Lock, options: Options, freeze: bool = False) -> Options:
    """Change a host as a job does; with ``freeze``, stop between the check and the change."""
    held.check()
    if freeze:
        os.kill(os.getpid(), signal.SIGSTOP)
    fence.check_fencing_epoch(options["epoch_file"], held.epoch)
    append(options["log"], f"changed {os.getpid()} {held.epoch}")
    return {"changed": True}


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    given["zygote"] = os.getpid()
    sys.exit({"crowd": crowd, "run": run}[given["mode"]](given))
