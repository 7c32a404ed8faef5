"""Tests of child processes: time and output are bounded, and no process remains."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from metalk8s_expand.clients.ssh import process


def shell(script: str, stdin: str = "", timeout: float = 10.0) -> process.ProcessResult:
    return process.run(["sh", "-c", script], stdin, timeout)


def test_input_output_and_exit_code() -> None:
    ended = shell("cat; echo no >&2; exit 7", "yes\n")
    assert (ended.returncode, ended.stdout, ended.stderr, ended.flooded) == (
        7,
        "yes\n",
        "no\n",
        False,
    )


def test_without_input_there_is_none() -> None:
    assert shell("cat").stdout == ""


def test_more_than_a_pipe_holds_in_both_directions() -> None:
    assert len(shell("cat", "x" * 1_000_000).stdout) == 1_000_000


def test_input_that_is_refused() -> None:
    assert shell("exec <&-; exit 0", "x" * 1_000_000).returncode == 0


def test_the_deadline_takes_all_that_it_started(tmp_path: Path) -> None:
    started = time.monotonic()
    ended = shell(f"sleep 60 & echo $! >{tmp_path}/pid; wait", timeout=0.5)
    assert ended.returncode is None
    assert time.monotonic() - started < 5
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(int((tmp_path / "pid").read_text()), 0)
            time.sleep(0.05)


def test_a_process_that_closes_its_output_and_stays() -> None:
    started = time.monotonic()
    assert shell("exec >&- 2>&-; sleep 60", timeout=0.5).returncode is None
    assert time.monotonic() - started < 5


def test_a_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = shell("yes")
    assert (ended.returncode, ended.flooded) == (None, True)
    assert process.LIMIT < len(ended.stdout) <= process.LIMIT + process.CHUNK


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        process.run(["/no/such/program"])


def test_tick_gets_idle_time_and_can_end_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TICK_S", 0.05)
    idle: list[float] = []

    def tick(seconds: float) -> bool:
        idle.append(seconds)
        return seconds < 0.3

    assert process.run(["sleep", "60"], timeout=30, tick=tick).returncode is None
    assert idle == sorted(idle)


def test_a_process_that_computes_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TICK_S", 0.1)
    idle: list[float] = []
    process.run(
        ["sh", "-c", "while :; do :; done"],
        timeout=1.5,
        tick=lambda seconds: idle.append(seconds) is None,
    )
    assert max(idle) < 1.0
