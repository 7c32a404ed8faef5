"""A real ``salt-run`` asks the operator on a terminal, while its result goes to a pipe."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.runs.confirmation import QUESTION
from tests.functional.fake_master import Master, drifted

COMMAND = ("metalk8s_expand.expand", "nodes=w-1", "confirm=True")


# Makes standard input the terminal of the process, so that Ctrl-C there is a signal.
ON_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    " os.execv(sys.argv[1], sys.argv[1:])"
)


class Asked:
    """The result of a command whose question is answered by these bytes."""

    def __init__(self, master: Master, answer: bytes) -> None:
        self.leader, follower = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *master.command(*COMMAND)],
            stdin=follower, stdout=subprocess.PIPE, stderr=follower, cwd=master.base,
            env={**master.environment, "TERM": "xterm"},
        )  # fmt: skip
        os.close(follower)
        self.shown = ""
        operator = threading.Thread(target=self._operate, args=(answer,))
        operator.start()
        stdout, _ = process.communicate(timeout=120)
        operator.join(10)
        os.close(self.leader)
        self.code = process.returncode
        self.result: dict[str, Any] = json.loads(stdout)

    def _operate(self, answer: bytes) -> None:
        asked = False
        # Linux reports the end of a terminal as an input/output error.
        with suppress(OSError):
            while part := os.read(self.leader, 4096):
                self.shown += part.decode()
                if not asked and QUESTION in self.shown:
                    asked = True
                    os.write(self.leader, answer)


@pytest.fixture
def master(tmp_path: Path) -> Master:
    return Master(tmp_path, drifted("w-1"))


def test_yes_runs_the_shown_plan(master: Master) -> None:
    asked = Asked(master, b"yes\n")
    assert (asked.code, asked.result["ok"], master.label("w-1")) == (0, True, "2.0")
    assert "\033[1mPlan:" in asked.shown, "the operator sees colors"
    assert "\033[33m~ change\033[0m" in asked.shown
    assert asked.result["command"] == "salt-run metalk8s_expand.add_node w-1"


def test_question_without_colors_says_the_same(master: Master) -> None:
    master.environment["NO_COLOR"] = "1"
    question = Asked(master, b"no\n").shown.partition(QUESTION)[0]
    assert "Plan: 0 to add, 1 worker to change, 0 unchanged" in question
    assert "\033[" not in question


@pytest.mark.parametrize("answer", [b"no\n", b"\x03", b"\x04"], ids=["no", "Ctrl-C", "Ctrl-D"])
def test_answer_that_is_not_yes_changes_nothing(master: Master, answer: bytes) -> None:
    asked = Asked(master, answer)
    assert (asked.code, asked.result["error"]["type"]) == (10, "StoppedError")
    assert master.label("w-1") == "1.0"


def test_command_in_a_pipe_is_refused(master: Master) -> None:
    done = subprocess.run(
        master.command(*COMMAND), input="yes\n", text=True,
        capture_output=True, timeout=120, check=False, env=master.environment,
    )  # fmt: skip
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["type"]) == (2, "SettingsError")
    assert "plan=DIGEST" in error["hint"]
    assert master.label("w-1") == "1.0"
