"""Run the processes of a run: the expansions, the event bus, writers and watchers.

Each process ends with the harness.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from chaos import lab_hosts
from chaos.event_log import Board
from chaos.invariants import reason
from chaos.trigger import EVENT, event_line

# The runner leads its own session, so that the harness can kill or stop its process group. It is
# not the child of nsenter, because nsenter would stop with it and not wake.
SESSION = ("setsid", "--fork", "--wait")
# Salt's processes overwrite their environment with their titles, but forks keep the open file.
START = (
    'mkdir -p /run/chaos && echo $$ >"/run/chaos/$1" && exec 9<"/run/chaos/$1" && shift && exec'
    ' "$@"'
)
KILL_ALL = (
    'for p in /proc/[0-9]*; do test "$(readlink $p/fd/9 2>/dev/null)" = "/run/chaos/$1"'
    ' && kill -9 "${p#/proc/}"; done; true'
)


class Process:
    """A process with a reader for its output; ``kill`` ends its whole session."""

    def __init__(
        self,
        command: Sequence[str],
        out: Callable[[str], None],
        err: Callable[[str], None],
        stdin: bool = False,
    ) -> None:
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            cwd=lab_hosts.REPOSITORY,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        pipes = ((self._process.stdout, out), (self._process.stderr, err))
        self._readers = [threading.Thread(target=_read, args=pipe, daemon=True) for pipe in pipes]
        for reader in self._readers:
            reader.start()

    @property
    def code(self) -> int | None:
        return self._process.poll()

    def ended(self) -> bool:
        """Return whether the process has ended; read its remaining output first."""
        if self.code is None:
            return False
        # Jobs that it forked can hold its pipes for a long time.
        while self._readers:
            self._readers.pop().join(1.0)
        return True

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds; return whether the process ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return self.ended()

    def close_input(self, timeout: float = 30) -> bool:
        """Close its standard input, which asks it to end; return whether it ended in time."""
        if self._process.stdin:
            with suppress(OSError):
                self._process.stdin.close()
        return self.wait(timeout)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.wait(10)


def _read(pipe: Any, heard: Callable[[str], None]) -> None:
    for line in pipe:
        heard(line.rstrip("\n"))


class Runner:
    """An ``expand`` as an operator starts it on the master; its lines get the source ``source``."""

    def __init__(
        self, board: Board, evidence: Path, number: int, source: str, *arguments: str
    ) -> None:
        self.number, self.source, self.arguments = number, source, arguments
        # No mark may be a prefix of another mark.
        self.mark = f"{number}-{uuid.uuid4().hex}"
        self.killed = False
        self._out: list[str] = []
        self._err: list[str] = []
        self._board = board
        self._evidence = evidence
        words = ["salt-run", "--out=json", "metalk8s_expand.expand", *arguments]
        begin = [*SESSION, "sh", "-c", START, "sh", self.mark, *words]
        self.process = Process(
            lab_hosts.argv(lab_hosts.BOOTSTRAP, begin), self._out.append, self._told
        )

    def _told(self, line: str) -> None:
        self._err.append(line)
        self._board.add(self.source, line)

    def signal(self, name: str) -> None:
        """Send a signal to the runner's process group in the host; do nothing if it has ended."""
        script = 'g=$(cat "/run/chaos/$1") && kill -s "$2" -- "-$g"'
        done = lab_hosts.on(
            lab_hosts.BOOTSTRAP, "sh", "-c", script, "sh", self.mark, name, check=False
        )
        self._board.add(
            "harness",
            f"SIG{name} to runner {self.number}: exit code {done.returncode} {done.stderr.strip()}",
        )

    def kill(self, jobs: bool = False) -> None:
        """Kill the runner with SIGKILL; with ``jobs`` also all processes that it forked."""
        self.killed = True
        self.signal("KILL")
        if jobs:
            lab_hosts.shell(lab_hosts.BOOTSTRAP, KILL_ALL, self.mark, check=False)

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds; save its output and return whether it ended."""
        ended = self.process.wait(timeout)
        (self._evidence / f"expand-{self.number}.json").write_text("\n".join(self._out))
        (self._evidence / f"expand-{self.number}.err").write_text("\n".join(self._err))
        return ended

    def outcome(self) -> dict[str, Any]:
        """Return the exit code, the stated reason, and other facts about the expansion."""
        code = self.process.code
        return {
            "number": self.number,
            "arguments": list(self.arguments),
            "code": code,
            "killed": self.killed,
            "took": round(time.monotonic() - self.process.started, 1),
            "reason": reason("\n".join(self._out), "\n".join(self._err)),
        }


class Events:
    """A listener to the master's event bus; it connects again after the master was down."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._ended = threading.Event()
        self._process: Process | None = None
        self._heard = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()
        self._await()

    def _keep(self) -> None:
        while not self._ended.is_set():
            try:
                command = lab_hosts.argv(
                    lab_hosts.BOOTSTRAP, ["salt-run", "state.event", "pretty=False"]
                )
                self._process = Process(command, self._line, lambda line: None)
                while not self._ended.is_set() and not self._process.wait(0.5):
                    pass
            except Exception as error:  # the host is down and will return
                self._board.add("harness", f"the event bus: {error}")
            self._ended.wait(1.0)

    def _line(self, text: str) -> None:
        if text.startswith("chaos/ready"):
            self._heard.set()
        line = event_line(text)
        if line:
            self._board.add(EVENT, line)

    def _await(self) -> None:
        deadline = time.monotonic() + 60
        while not self._heard.is_set():
            if time.monotonic() > deadline:
                raise lab_hosts.ChaosError("the master's event bus is not heard after 60 s")
            lab_hosts.on(
                lab_hosts.BOOTSTRAP,
                "salt-run",
                "--out=quiet",
                "event.send",
                "chaos/ready",
                check=False,
            )
            self._heard.wait(1.0)

    def close(self) -> None:
        self._ended.set()
        self._thread.join(5)
        if self._process:
            self._process.kill()


def beside(board: Board, source: str, module: str, *arguments: str) -> Process:
    """Start a module of the harness in the lab's network.

    Raise ``ChaosError`` if it is not ready within 150 seconds.
    """
    ready = threading.Event()
    said: list[str] = []

    def heard(line: str) -> None:
        said.append(line)
        if line == "ready":
            ready.set()
        else:
            board.add(source, line)

    process = Process(
        lab_hosts.inside([sys.executable, "-m", f"chaos.{module}", *arguments]),
        heard,
        said.append,
        stdin=True,
    )
    deadline = time.monotonic() + 150
    while not ready.wait(0.2):
        if process.ended() or time.monotonic() > deadline:
            process.kill()
            raise lab_hosts.ChaosError(f"{module} did not begin: {' / '.join(said[-5:])}")
    return process
