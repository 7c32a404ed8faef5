"""Which fault is made in which expansion of a run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos import cases, experiment, faults
from chaos.cases import Case
from chaos.event_log import Board
from chaos.faults import Scene
from chaos.trigger import RUNNER

KIND = cases.NEWCOMER_CRASHED
CASES = list(cases.named([f"{name}+{KIND}" for name in ("looking", "register", "deployed")]))
SAID = {
    "looking": "check_ssh, preflight: asking",
    "register": "register: started",
    "deployed": "deploy: done",
}


class Expansion:
    """Comes to its next boundary after each fault; it ends when it has come to the last, or no fault is made at one."""

    number = 1

    def __init__(self, scene: Scene, source: str, boundaries: tuple[str, ...]) -> None:
        self.scene, self.source, self.killed, self.process = scene, source, False, self
        self.lines = [f"[   0.1 s] cp-2             {SAID[name]}" for name in boundaries]
        self.told = 0

    def ended(self) -> bool:
        faults_made = len(self.scene.came)
        if self.killed or faults_made < self.told or faults_made == len(self.lines):
            return True
        self.scene.board.add(self.source, self.lines[faults_made])
        self.told += 1
        return False

    def wait(self, timeout: float) -> bool:
        return True


def made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kills: bool, *boundaries: str
) -> tuple[Scene, deque[Case]]:
    """One expansion, told when each fault is made."""

    def fault(scene: Scene) -> Iterator[None]:
        yield
        scene.main.killed = kills

    def expand(self: Scene, *arguments: str, source: str = "") -> Any:
        self.runners.append(Expansion(self, source, boundaries))  # type: ignore[arg-type]
        return self.runners[-1]

    monkeypatch.setitem(faults.FAULTS, KIND, fault)
    monkeypatch.setattr(Scene, "expand", expand)
    scene, waiting = Scene(CASES[0], Board(), tmp_path), deque(CASES)
    experiment._expanded(scene, waiting)
    assert scene.main.source == RUNNER
    return scene, waiting


def test_an_expansion_that_outlives_a_fault_has_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scene, waiting = made(monkeypatch, tmp_path, False, "looking", "register", "deployed")
    assert (scene.came, list(waiting)) == (CASES, [])


def test_one_that_is_killed_has_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scene, waiting = made(monkeypatch, tmp_path, True, "looking", "register", "deployed")
    assert (scene.came, list(waiting)) == (CASES[:1], CASES[1:])


def test_a_moment_that_does_not_come_is_waited_for_in_one_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scene, waiting = made(monkeypatch, tmp_path, False, "looking", "deployed")
    assert (scene.came, list(waiting)) == (CASES[:1], CASES[1:])
    assert scene.notes[-1].endswith(f"the moment of register+{KIND} did not come")
    experiment._expanded(scene, waiting)
    assert (scene.came, list(waiting)) == (CASES[:1], CASES[2:])
