"""The runner jobs that run on this master at the moment, whoever started them.

Salt keeps a file for each since 3008; before, and beside it, the command lines of ``salt-run`` tell.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = "salt-run"
PREFIX = "runner."


@dataclass(frozen=True)
class Runner:
    """A running function and its arguments as words; ``job`` is empty when only the process is known."""

    words: tuple[str, ...]
    pid: int
    job: str = ""

    def does(self, job: str) -> bool:
        """Whether it is this job: a process that was forked for one has it in its title."""
        return self.job == job or any(f"jid={job})" in word for word in self.words)


def running(opts: Mapping[str, Any], proc: str = "/proc") -> list[Runner]:
    """Every runner of other processes than this one and those that it was started by, each process once."""
    own = _ancestors(os.getpid(), proc)
    found = {runner.pid: runner for runner in [*_by_command_line(proc), *_by_job_file(opts, proc)]}
    return [runner for pid, runner in found.items() if pid not in own]


def _by_job_file(opts: Mapping[str, Any], proc: str) -> Iterator[Runner]:
    import salt.utils.master

    for item in salt.utils.master.get_running_jobs(dict(opts)):
        function, job, pid = str(item.get("fun", "")), str(item.get("jid", "")), int(item["pid"])
        if function.startswith(PREFIX) and not _is_another(
            pid, function, job, Path(opts["cachedir"]) / "proc" / job, proc
        ):
            words = (function[len(PREFIX) :], *_words(item.get("fun_args")))
            yield Runner(words, pid, job)


def _is_another(pid: int, function: str, job: str, file: Path, proc: str) -> bool:
    """Whether the process was started after the job's file was written, and does not say that it is the job.

    In a container that was made anew processes are numbered from the beginning, and Salt only asks whether it is its own.
    """
    try:
        title = (Path(proc) / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace")
        return (
            file.stat().st_mtime < _start(pid, proc)
            and job not in title
            and function[len(PREFIX) :] not in title
        )
    except OSError:
        return False


def _start(pid: int, proc: str) -> float:
    """When a process was started, in seconds since the epoch."""
    booted = next(
        line
        for line in (Path(proc) / "stat").read_text(encoding="utf-8").splitlines()
        if line.startswith("btime ")
    )
    stat = (Path(proc) / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    # The name in parentheses may hold anything.
    return int(booted.split()[1]) + int(stat.rpartition(")")[2].split()[19]) / os.sysconf(
        "SC_CLK_TCK"
    )


def _words(value: Any) -> Iterator[str]:
    """Arguments, and the values of keywords, as they would be typed."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from (f"{key}={word}" for word in _words(item))
    elif isinstance(value, Iterable):
        for item in value:
            yield from _words(item)


def _by_command_line(proc: str) -> Iterator[Runner]:
    """Of this namespace of processes: those in a container on this host are another master's."""
    own = _namespace(Path(proc) / "self")
    for path in Path(proc).glob("[0-9]*/cmdline"):
        if _namespace(path.parent) != own:
            continue
        try:
            # A process that has set its title holds it as one word.
            words = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").split()
        except OSError:
            continue
        program = words[1:] if words and os.path.basename(words[0]).startswith("python") else words
        if program and os.path.basename(program[0]) == PROGRAM:
            yield Runner(tuple(program[1:]), int(path.parent.name))


def _namespace(process: Path) -> str:
    try:
        return os.readlink(process / "ns" / "pid")
    except OSError:
        return ""


def _ancestors(pid: int, proc: str) -> set[int]:
    found: set[int] = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        pid = _parent(pid, proc)
    return found


def _parent(pid: int, proc: str) -> int:
    try:
        stat = (Path(proc) / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The name in parentheses may hold anything.
    return int(stat.rpartition(")")[2].split()[1])
