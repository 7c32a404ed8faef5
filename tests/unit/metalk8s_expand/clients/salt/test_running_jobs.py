"""Tests of runner jobs: job files and command lines show other runs, never the caller's own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import salt.payload

from metalk8s_expand.clients.salt import running_jobs
from metalk8s_expand.clients.salt.running_jobs import Runner

Start = Callable[..., int]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Run a program with this name and arguments in its own process, and return the PID."""
    processes: list[subprocess.Popen[bytes]] = []

    def started(*arguments: str, name: str = "salt-run") -> int:
        script = tmp_path / name
        script.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
        script.chmod(0o755)
        processes.append(subprocess.Popen([str(script), *arguments]))
        return processes[-1].pid

    yield started
    for process in processes:
        process.kill()
        process.wait(10)


def found(pid: int, opts: dict[str, Any]) -> list[Runner]:
    """Wait until the process has executed its program."""
    deadline = time.monotonic() + 10
    while (
        not (seen := [item for item in running_jobs.running(opts) if item.pid == pid])
        and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    return seen


def job_file(cache: Path, pid: int, fun: str, *arguments: Any) -> None:
    (cache / "proc").mkdir(exist_ok=True)
    content = {
        "fun": fun,
        "jid": "20260101",
        "user": "root",
        "fun_args": list(arguments),
        "pid": pid,
    }
    (cache / "proc" / "20260101").write_bytes(salt.payload.dumps(content))


def test_a_command_in_another_terminal(start: Start, tmp_path: Path) -> None:
    words = (
        "-l",
        "debug",
        "state.orchestrate",
        "metalk8s.orchestrate.deploy_node",
        "saltenv=metalk8s-2.0",
    )
    pid = start(*words)
    assert found(pid, {"cachedir": str(tmp_path)}) == [Runner(words, pid)]


def test_a_program_that_is_only_called_with_its_name(start: Start, tmp_path: Path) -> None:
    editor, real = start("salt-run", "metalk8s_expand.expand", name="editor"), start("a.b")
    assert found(real, {"cachedir": str(tmp_path)})
    assert [
        item for item in running_jobs.running({"cachedir": str(tmp_path)}) if item.pid == editor
    ] == []


def test_a_job_of_another_process(start: Start, tmp_path: Path) -> None:
    pid = start(name="salt-master")
    job_file(
        tmp_path,
        pid,
        "runner.state.orchestrate",
        "metalk8s.orchestrate.x",
        {"saltenv": "y", "pillar": {"a": ["b", 1]}},
    )
    words = ("state.orchestrate", "metalk8s.orchestrate.x", "saltenv=y", "pillar=a=b")
    assert found(pid, {"cachedir": str(tmp_path)}) == [Runner(words, pid, "20260101")]


def test_job_with_reused_pid_is_ignored(start: Start, tmp_path: Path) -> None:
    """PIDs start again in a new container, so another Salt process can have the PID of the job."""
    job, other = start(name="salt-master"), start("metalk8s_expand.expand", name="salt-minion")
    job_file(tmp_path, job, "runner.metalk8s_expand.expand")
    file = tmp_path / "proc" / "20260101"
    assert found(job, {"cachedir": str(tmp_path)})
    os.utime(file, (1, 1))
    assert [
        item for item in running_jobs.running({"cachedir": str(tmp_path)}) if item.pid == job
    ] == []
    # After the clock was set forward, a process whose title names the job still is the job.
    job_file(tmp_path, other, "runner.metalk8s_expand.expand")
    os.utime(file, (1, 1))
    assert found(other, {"cachedir": str(tmp_path)})


def test_typed_job_is_one_runner(start: Start, tmp_path: Path) -> None:
    pid = start("state.orchestrate", "x")
    job_file(tmp_path, pid, "runner.state.orchestrate", "x")
    assert found(pid, {"cachedir": str(tmp_path)}) == [
        Runner(("state.orchestrate", "x"), pid, "20260101")
    ]


def test_process_without_runner_function_is_no_runner(start: Start, tmp_path: Path) -> None:
    pid = start(name="salt-master")
    job_file(tmp_path, pid, "wheel.key.list_all")
    real = start("a.b")
    assert found(real, {"cachedir": str(tmp_path)})
    assert [
        item for item in running_jobs.running({"cachedir": str(tmp_path)}) if item.pid == pid
    ] == []


@pytest.mark.parametrize("pid", [os.getpid(), os.getppid()], ids=["itself", "its parent"])
def test_own_process_and_ancestors_are_ignored(
    tmp_path: Path, pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("salt.utils.master._check_cmdline", lambda data: True)
    job_file(tmp_path, pid, "runner.metalk8s_expand.expand")
    assert [
        item for item in running_jobs.running({"cachedir": str(tmp_path)}) if item.pid == pid
    ] == []


def test_processes_that_end_during_listing_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "proc" / "123").mkdir(parents=True)
    (tmp_path / "proc" / "123" / "cmdline").symlink_to("gone")
    (tmp_path / "proc" / "124").mkdir()
    (tmp_path / "proc" / "124" / "cmdline").write_bytes(b"")
    assert running_jobs.running({"cachedir": str(tmp_path)}, str(tmp_path / "proc")) == []


def test_runner_matches_its_job() -> None:
    by_file = Runner(("state.orchestrate", "x"), 1, "42")
    by_title = Runner(
        ("metalk8s_expand.expand", "ProcessFunc(AsyncClientMixin._proc_function,", "jid=42)"), 2
    )
    assert [by_file.does("42"), by_title.does("42")] == [True, True]
    assert [by_file.does("4"), by_title.does("4"), by_title.does("421")] == [False, False, False]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a namespace of processes")
def test_processes_of_other_container_are_ignored(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "salt-run"
    script.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    script.chmod(0o755)
    process = subprocess.Popen(
        [
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            str(script),
            "state.orchestrate",
            "elsewhere",
        ]
    )
    try:
        inside = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline = time.monotonic() + 10
        while not (child := inside.read_text().split()) and time.monotonic() < deadline:
            time.sleep(0.02)
        # A process outside is found as soon as it has executed, so the one inside would be, too.
        assert found(start("a.b"), {"cachedir": str(tmp_path)})
        command = Path(f"/proc/{child[0]}/cmdline")
        while b"elsewhere" not in command.read_bytes() and time.monotonic() < deadline:
            time.sleep(0.02)
        runners = running_jobs.running({"cachedir": str(tmp_path)})
        assert int(child[0]) not in [item.pid for item in runners]
        # The arguments of unshare contain the words, but unshare is no salt-run.
        assert not [item for item in runners if "elsewhere" in item.words]
    finally:
        process.kill()
        process.wait(10)
