"""A child process with bounded time and output that leaves no process behind."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

# Far more than any answer of the extension, and far less than a flooding host can send within its
# deadline.
LIMIT = 4 << 20
CHUNK = 1 << 16
TICK_S = 1.0

# Called about once a second with the seconds for which the process has used no CPU time; returns
# whether to continue.
Tick = Callable[[float], bool]


@dataclass(frozen=True)
class ProcessResult:
    """Result of a process; ``returncode`` is None if it was killed for its time or its output."""

    returncode: int | None
    stdout: str
    stderr: str
    elapsed: float
    flooded: bool = False


def run(
    arguments: Sequence[str], stdin: str = "", timeout: float = 10.0, tick: Tick | None = None
) -> ProcessResult:
    """Run a program with this input until it ends.

    Kill it after ``timeout`` seconds or when it prints too much.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Its own process group, so that its children (a proxy command) end with it, and no
        # terminal for prompts.
        start_new_session=True,
    )
    with process, _Exchange(process, stdin.encode(), started + timeout, tick) as exchange:
        try:
            exchange.go_on()
        finally:
            if process.returncode is None:
                _kill(process)
    stdout, stderr = exchange.texts()
    killed = not exchange.complete
    return ProcessResult(
        None if killed else process.returncode,
        stdout,
        stderr,
        time.monotonic() - started,
        exchange.flooded,
    )


class _Exchange:
    """Write the input and read the output of a process at the same time."""

    def __init__(
        self, process: subprocess.Popen[bytes], data: bytes, deadline: float, tick: Tick | None
    ) -> None:
        self.complete = self.flooded = False
        self._process = process
        self._data = memoryview(data)
        self._deadline = deadline
        self._tick = tick or (lambda idle: True)
        self._idle = _Idle(process.pid)
        self._read: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        self._room = LIMIT
        self._selector = selectors.DefaultSelector()
        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
            self._register(stream, selectors.EVENT_READ, name)
        self._register(process.stdin, selectors.EVENT_WRITE, "stdin")

    def __enter__(self) -> _Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def go_on(self) -> None:
        """Exchange data until the process ends or must be killed."""
        ticked = time.monotonic()
        while self._selector.get_map():
            now = time.monotonic()
            if now >= self._deadline or self.flooded:
                return
            if now - ticked >= TICK_S:
                ticked = now
                if not self._tick(self._idle.seconds(now)):
                    return
            for key, _ in self._selector.select(min(self._deadline - now, TICK_S)):
                self._serve(key)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(self._deadline - time.monotonic(), 0.01))
            self.complete = True

    def texts(self) -> tuple[str, str]:
        """Return what the process printed on stdout and stderr."""
        stdout, stderr = (
            b"".join(self._read[name]).decode(errors="replace") for name in ("stdout", "stderr")
        )
        return stdout, stderr

    def _register(self, stream: IO[bytes] | None, events: int, name: str) -> None:
        if stream is not None:
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, events, name)

    def _serve(self, key: selectors.SelectorKey) -> None:
        if key.data == "stdin":
            self._write(key)
            return
        data = os.read(key.fd, CHUNK)
        if not data:
            self._selector.unregister(key.fileobj)
        self._read[key.data].append(data)
        self._room -= len(data)
        self.flooded = self._room < 0

    def _write(self, key: selectors.SelectorKey) -> None:
        stream: Any = key.fileobj
        with contextlib.suppress(BrokenPipeError):
            self._data = self._data[os.write(key.fd, self._data[:CHUNK]) :]
            if self._data:
                return
        self._selector.unregister(stream)
        stream.close()


class _Idle:
    """The time for which a process has used no CPU time, from the kernel's accounting."""

    def __init__(self, pid: int) -> None:
        self._stat = Path(f"/proc/{pid}/stat")
        self._ticks: list[str] = []
        self._since = time.monotonic()

    def seconds(self, now: float) -> float:
        """Return the seconds since the CPU time last changed; 0 if the kernel shows none."""
        try:
            # The program name may contain blanks and brackets. The state follows it, and utime and
            # stime are fields 12 and 13 from there.
            fields = (
                self._stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            )
        except OSError:
            return 0.0
        ticks = fields[11:13]
        if ticks != self._ticks or fields[0] == "R":
            self._ticks, self._since = ticks, now
        return now - self._since


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
