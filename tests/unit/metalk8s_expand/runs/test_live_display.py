"""A run on a terminal is a picture that is rewritten, and lines elsewhere."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest

from metalk8s_expand.clients.host.clock import TickingClock
from metalk8s_expand.domain.runs import events
from metalk8s_expand.domain.runs.journal_record import JournalRecord
from metalk8s_expand.runs import live_display, progress
from metalk8s_expand.runs.live_display import Expected
from metalk8s_expand.runs.progress import Progress
from tests.fakes.clock import FakeClock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal()
    # pytest sets ``sys.stderr`` itself between a fixture and its test.
    for module in (live_display, progress):
        monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=terminal))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    return terminal


class Run:
    """A run of ``salt-run`` with its journal's record."""

    def __init__(self, cli: str = "salt-run") -> None:
        self.clock = FakeClock()
        self.record = JournalRecord("r", "expand", "boot", 1, self.clock.now())
        self.lines: list[str] = []
        self.progress = Progress({"__cli": cli}, self.clock)
        self.progress.listener = self.lines.append

    def show(self) -> None:
        self.progress.show(lambda: self.record)

    def starts(self, node: str, step: str) -> None:
        self.progress(node, step, "started")
        self.progress.step(node, step, events.STARTED)
        self.record = self.record.step_started(node, step, self.clock.now())

    def after(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.progress.tick()


def picture(stderr: Terminal) -> list[str]:
    """Return the lines of the last picture."""
    rows = stderr.getvalue().rpartition("\r")[2].split("\x1b[2K")[1:]
    return [row.removesuffix("\x1b[J").strip() for row in rows]


def test_nodes_in_work_and_finished_nodes(stderr: Terminal) -> None:
    run = Run()
    run.show()
    expected = Expected({"w-1": ["deploy"], "w-2": ["deploy"]}, (), 2, {"deploy": 60.0})
    run.progress.expect(lambda: expected)
    run.starts("w-1", "deploy")
    run.starts("w-2", "deploy")
    run.progress("w-1", "deploy", "job 42")
    run.after(10)
    assert picture(stderr) == [
        "w-1  deploy 10 s: job 42",
        "w-2  deploy 10 s: waits for the orchestration",
        "0 of 2 nodes finished, 2 in work, 10 s, about 50 s left",
    ]
    run.record = run.record.node_finished("w-1", "")
    run.record = run.record.node_finished("w-2", "it broke")
    run.after(5)
    assert picture(stderr) == [
        "w-1  done in 15 s",
        "w-2  FAILED: it broke",
        "2 of 2 nodes finished, 1 FAILED, 15 s",
    ]
    assert any("w-1" in line and "deploy: job 42" in line for line in run.lines)


def test_host_checks_are_shown_before_journal_has_nodes(stderr: Terminal) -> None:
    run = Run()
    run.show()
    run.progress.step("w-1", "check_ssh", events.STARTED)
    run.progress("w-1", "preflight", "asking 10.0.0.1")
    run.after(1)
    assert picture(stderr)[0] == "w-1  check_ssh 1 s: asking 10.0.0.1"
    run.progress.step("w-1", "check_ssh", events.DONE)
    run.after(1)
    assert picture(stderr) == ["0 nodes finished, 2 s"]


def test_line_of_cluster_stays(stderr: Terminal) -> None:
    run = Run()
    run.show()
    run.starts("w-1", "verify")
    run.after(1)
    run.progress("", "resume", "waiting\x1b[2J")
    assert stderr.getvalue().endswith("cluster          resume: waiting\\x1b[2J\n")


@pytest.mark.parametrize("end", ["close", "error"])
def test_last_picture_stays(stderr: Terminal, end: str) -> None:
    run = Run()
    run.show()
    run.starts("w-1", "verify")
    run.after(1)
    run.record = run.record.node_finished("w-1", "x" if end == "error" else "")
    run.progress.close()
    size = len(stderr.getvalue())
    assert picture(stderr)[-1].startswith("1 nodes finished")
    run.after(5)
    assert len(stderr.getvalue()) == size
    run.progress("w-1", "verify", "a line again")
    assert stderr.getvalue().endswith("verify: a line again\n")


def test_followed_run_is_shown_from_its_lines(stderr: Terminal) -> None:
    run = Run()
    run.show()
    run.record = run.record.step_started("w-1", "deploy", run.clock.now())
    run.progress.follow_line("[   0.9 s] w-1              deploy: job 42")
    run.progress.follow_line("[   1.0 s] cluster          resume: waiting")
    run.progress.follow_line("the run has ended")
    run.after(1)
    assert picture(stderr)[0] == "w-1  deploy 1 s: job 42"
    assert "resume: waiting\n" in stderr.getvalue()
    assert "the run has ended\n" in stderr.getvalue()


@pytest.mark.parametrize(
    ("variables", "cli"),
    [({"TERM": "dumb"}, "salt-run"), ({"TERM": ""}, "salt-run"), ({}, "master")],
)
def test_dumb_terminal_and_job_have_lines(
    stderr: Terminal, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], cli: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    run = Run(cli)
    run.show()
    run.starts("w-1", "deploy")
    run.after(1)
    run.progress.close()
    expected = "[   0.0 s] w-1              deploy: started\n" if cli == "salt-run" else ""
    assert stderr.getvalue() == expected


def test_narrow_terminal_has_lines(stderr: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    class Narrow(live_display.TerminalBlock):
        size: Any = live_display.os.terminal_size((30, 24))

    monkeypatch.setattr(live_display, "TerminalBlock", Narrow)
    assert live_display.open_display() is None


def test_clock_calls_display_while_it_sleeps() -> None:
    ticks: list[int] = []
    clock = TickingClock(lambda: ticks.append(1))
    started = clock.monotonic()
    clock.sleep(0.05)
    assert clock.monotonic() - started >= 0.05
    assert len(ticks) >= 2


@pytest.mark.parametrize(("serial_first", "left"), [(False, 120), (True, 180)])
def test_estimate_adds_workers_that_follow_the_control_plane(
    serial_first: bool, left: float
) -> None:
    steps = {name: ["deploy"] for name in ("cp-1", "cp-2", "w-1", "w-2")}
    expected = Expected(steps, ("cp-1", "cp-2"), 2, {"deploy": 60.0}, serial_first)
    assert expected.seconds_left(steps, {}) == left
    assert expected.seconds_left({**steps, "w-3": ["unknown"]}, {}) is None
