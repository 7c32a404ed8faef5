"""The runner jobs that run on this master now, started by any process.

Salt 3008 and later keep a file for each job. The command lines of ``salt-run`` show the jobs of
older versions, and those without a file.
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
    """A running function and its arguments as words; ``job`` is empty if it is unknown."""

    words: tuple[str, ...]
    pid: int
    job: str = ""

    def does(self, job: str) -> bool:
        """Return whether this is the job: a process forked for a job has its ID in its title."""
        return self.job == job or any(f"jid={job})" in word for word in self.words)


def running(opts: Mapping[str, Any], proc: str = "/proc") -> list[Runner]:
    """Return the runners of all processes except this process and its ancestors, each once."""
    own = _ancestors(os.getpid(), proc)
    runners: dict[int, Runner] = {}
    for runner in (*_by_command_line(proc), *_by_job_file(opts, proc)):
        if runner.pid not in own:
            runners[runner.pid] = runner
    return list(runners.values())


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
    """Return whether a process with the job's PID is not the job.

    Such a process started after the job's file was written, and its title does not name the job.
    PIDs start again from the beginning in a new container, and Salt checks only whether a process
    with the PID belongs to Salt.
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
    """Return the start time of a process in seconds since the epoch."""
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
    """Return the arguments and keyword values as an operator would type them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from (f"{key}={word}" for word in _words(item))
    elif isinstance(value, Iterable):
        for item in value:
            yield from _words(item)


def _by_command_line(proc: str) -> Iterator[Runner]:
    """Yield the runners that command lines in this PID namespace show.

    Processes in a container on this host belong to another master.
    """
    own = _namespace(Path(proc) / "self")
    for path in Path(proc).glob("[0-9]*/cmdline"):
        if _namespace(path.parent) != own:
            continue
        try:
            # A process that has set its title has the title as its only word.
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
    pids: set[int] = set()
    while pid > 0 and pid not in pids:
        pids.add(pid)
        pid = _parent(pid, proc)
    return pids


def _parent(pid: int, proc: str) -> int:
    try:
        stat = (Path(proc) / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The name in parentheses may hold anything.
    return int(stat.rpartition(")")[2].split()[1])
