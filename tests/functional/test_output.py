"""salt-run prints results through the outputter of this project, synced and installed by pip."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import extension

KINDS = ("runners", "utils")
RUNNER = """
from metalk8s_expand.boundary import runner_boundary
from metalk8s_expand.clients.salt import terminal_output
from metalk8s_expand.domain.reports.terminal.document import Block, BAD, Segment, paragraph
from metalk8s_expand.errors import UnreachableError

def failed():
    document = [Block(paragraph("run 1 ", Segment("FAILED", BAD), ": " + "word " * 20))]
    return {"retcode": 8, **terminal_output.printed(__opts__, "text", document)}

@runner_boundary(lambda: __context__, lambda: {**__opts__, "fun": "metalk8s_expand.x"})
def refused():
    problems = [f"node w-{n:03}: no answer from 10.0.0.{n}" for n in range(300)]
    raise UnreachableError("no host answers", problems=problems, hint="start them", log="/log")
"""
TEXT = "run 1 FAILED:" + " word" * 13 + "\n " + " word" * 7
COLORED = TEXT.replace("FAILED", "\x1b[1;31mFAILED\x1b[0m")


class Master:
    """A master without daemons, and the environment in which it has the extension."""

    def __init__(self, base: Path, environment: dict[str, str]) -> None:
        self.base = base
        self.environment = environment
        (base / "var/cache/salt/master/proc").mkdir(parents=True)
        config = {"root_dir": str(base), "extension_modules": str(base / "ext"), "id": "m",
                  "runner_dirs": [str(base / "own")], "log_level": "error", "log_level_logfile": "quiet"}  # fmt: skip
        (base / "own").mkdir()
        (base / "own" / "shown.py").write_text(RUNNER)
        (base / "master").write_text(json.dumps(config))

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=120, check=False,
            env={**self.environment, **environment},
        )  # fmt: skip

    def on_terminal(self, *arguments: str, **environment: str) -> str:
        """Return what the command prints on a terminal."""
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            self.command(*arguments), stdin=follower, stdout=follower, stderr=follower,
            env={**self.environment, "TERM": "xterm", **environment},
        )  # fmt: skip
        os.close(follower)
        shown = b""
        try:
            while part := os.read(leader, 4096):
                shown += part
        except OSError:
            # Linux reports the end of a terminal as an input/output error.
            pass
        finally:
            os.close(leader)
        process.wait(60)
        return shown.decode().replace("\r\n", "\n")

    def command(self, *arguments: str) -> list[str]:
        return [str(Path(sys.executable).with_name("salt-run")), "-c", str(self.base), *arguments]


def environment_of(**more: str) -> dict[str, str]:
    left_out = ("PYTHONPATH", "NO_COLOR", "COLUMNS")
    return {**{key: value for key, value in os.environ.items() if key not in left_out}, **more}


def synced(base: Path, *kinds: str) -> Master:
    """Lay out the extension modules as ``saltutil.sync_all`` does."""
    for kind in kinds:
        shutil.copytree(
            extension.ROOT / "salt" / f"_{kind}",
            base / "ext" / kind,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    return Master(base, environment_of())


@pytest.fixture(scope="module", params=["synced", "installed"])
def master(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Master:
    base = tmp_path_factory.mktemp(request.param)
    if request.param == "synced":
        return synced(base, *KINDS, "output")
    return Master(base, environment_of(PYTHONPATH=str(request.getfixturevalue("wheel"))))


def printed(done: subprocess.CompletedProcess[str]) -> str:
    assert done.stderr == ""
    return done.stdout.rstrip("\n")


def test_pipe_gets_text_without_colors(master: Master) -> None:
    done = master.run("shown.failed")
    assert (done.returncode, printed(done)) == (8, TEXT)


def test_terminal_gets_colors(master: Master) -> None:
    assert master.on_terminal("shown.failed").rstrip("\n") == COLORED


def test_terminal_without_colors_gets_words(master: Master) -> None:
    assert master.on_terminal("shown.failed", NO_COLOR="1").rstrip("\n") == TEXT
    assert master.on_terminal("--no-color", "shown.failed").rstrip("\n") == TEXT


def test_colors_can_be_forced_into_pipe(master: Master) -> None:
    assert printed(master.run("--force-color", "shown.failed")) == COLORED


def test_error_of_fleet_is_there_once(master: Master) -> None:
    done = master.run("shown.refused")
    assert done.returncode == 4
    assert printed(done).splitlines() == [
        "Error: no host answers",
        "- w-[000-299] (300 nodes), such as w-000: no answer from 10.0.0.0",
        "  do next: start them",
        "  log: /log",
    ]


def test_json_has_every_detail(master: Master) -> None:
    found: Any = json.loads(printed(master.run("--out=json", "shown.refused")))
    assert set(found) == {"retcode", "error"}
    assert len(found["error"]["problems"]) == 300


def test_named_outputter_is_used(master: Master) -> None:
    assert printed(master.run("--out=metalk8s_expand", "shown.refused")).startswith("Error: no")
    assert "retcode:" in printed(master.run("--out=nested", "shown.refused"))


def test_missing_outputter_leaves_text_to_salt(tmp_path: Path) -> None:
    done = synced(tmp_path, *KINDS).run("shown.failed")
    assert done.returncode == 8
    lines = printed(done).splitlines()
    assert lines[:2] == ["retcode:", "    8"]
    assert " ".join(" ".join(lines[3:]).split()) == " ".join(TEXT.split())
    assert max(map(len, lines)) <= 80
