"""What runs beside a run: the expansion itself, the event bus, writers and watchers. Each ends with the harness."""

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

# A session of its own, whose leader is the runner, so that its process group can be killed or stopped. Not the child of
# nsenter itself, which would stop with it and not wake.
SESSION = ("setsid", "--fork", "--wait")
# Salt's processes overwrite their environment with their titles, but what is forked keeps an open file.
START = 'mkdir -p /run/chaos && echo $$ >"/run/chaos/$1" && exec 9<"/run/chaos/$1" && shift && exec "$@"'
KILL_ALL = (
    'for p in /proc/[0-9]*; do test "$(readlink $p/fd/9 2>/dev/null)" = "/run/chaos/$1"'
    ' && kill -9 "${p#/proc/}"; done; true'
)


class Process:
    """A process whose lines are heard; killed with its whole session in the end."""

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
        """Whether it has, and all that it said was heard."""
        if self.code is None:
            return False
        # Jobs that it has forked may hold its pipes for long.
        while self._readers:
            self._readers.pop().join(1.0)
        return True

    def wait(self, timeout: float) -> bool:
        """Whether it ended by itself within the time."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return self.ended()

    def close_input(self, timeout: float = 30) -> bool:
        """Tell it to end by closing its standard input; whether it did."""
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
    """One ``expand``, as an operator starts it on the master. Its lines are heard as of ``source``."""

    def __init__(
        self, board: Board, evidence: Path, number: int, source: str, *arguments: str
    ) -> None:
        self.number, self.source, self.arguments = number, source, arguments
        # Not one that is the beginning of another's.
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
        """To the whole process group of the runner, inside of the host. Nothing when it has ended."""
        script = 'g=$(cat "/run/chaos/$1") && kill -s "$2" -- "-$g"'
        done = lab_hosts.on(
            lab_hosts.BOOTSTRAP, "sh", "-c", script, "sh", self.mark, name, check=False
        )
        self._board.add(
            "harness",
            f"SIG{name} to runner {self.number}: exit code {done.returncode} {done.stderr.strip()}",
        )

    def kill(self, jobs: bool = False) -> None:
        """Kill -9; with ``jobs`` whatever it has forked as well."""
        self.killed = True
        self.signal("KILL")
        if jobs:
            lab_hosts.shell(lab_hosts.BOOTSTRAP, KILL_ALL, self.mark, check=False)

    def wait(self, timeout: float) -> bool:
        """Whether it ended by itself within the time."""
        ended = self.process.wait(timeout)
        (self._evidence / f"expand-{self.number}.json").write_text("\n".join(self._out))
        (self._evidence / f"expand-{self.number}.err").write_text("\n".join(self._err))
        return ended

    def outcome(self) -> dict[str, Any]:
        """Exit code, and the reason it gives."""
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
    """The master's event bus, for as long as the run lasts: listened to again when the master has gone away."""

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
            except Exception as error:  # the host is down: it comes back
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
    """A module of ours inside of the lab's network. Raises ChaosError when it is not ready within two minutes."""
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
