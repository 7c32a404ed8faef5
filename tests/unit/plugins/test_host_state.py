"""The state of a host's commands, as Salt sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests import extension


def apply(path: Path, test: bool = False, command: str = "") -> dict[str, Any]:
    module = extension.load("states", "metalk8s_expand_host")
    assert module.__virtual__() == "metalk8s_expand_host"
    module.__opts__ = {"test": test}
    found: dict[str, Any] = module.command(command or f"touch {path}", f"test -e {path}")
    return found


def test_command_runs_once(tmp_path: Path) -> None:
    path = tmp_path / "made"
    pending = apply(path, test=True)
    assert (pending["result"], path.exists()) == (None, False)
    made = apply(path)
    assert (made["result"], made["changes"]) == (True, {"command": "was run"})
    assert path.exists()
    for test in (True, False):
        again = apply(path, test=test)
        assert (again["result"], again["changes"]) == (True, {})


def test_command_that_fails_is_the_failure_of_the_state(tmp_path: Path) -> None:
    failed = apply(tmp_path / "missing", command="echo no space >&2; exit 3")
    assert (failed["result"], failed["changes"]) == (False, {})
    assert "exit code 3: no space" in failed["comment"]
