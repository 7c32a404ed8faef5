"""Test which expansion of a run gets which fault."""

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
    """A fake expansion that reaches its next boundary after each fault.

    It ends after the last boundary, or if a boundary gets no fault.
    """

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
    """Run a fake expansion with the given boundaries; return its scene and the waiting cases."""

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


def test_expansion_that_survives_a_fault_gets_the_next_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scene, waiting = made(monkeypatch, tmp_path, False, "looking", "register", "deployed")
    assert (scene.came, list(waiting)) == (CASES, [])


def test_killed_expansion_gets_no_further_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scene, waiting = made(monkeypatch, tmp_path, True, "looking", "register", "deployed")
    assert (scene.came, list(waiting)) == (CASES[:1], CASES[1:])


def test_missed_moment_is_awaited_in_the_next_expansion(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scene, waiting = made(monkeypatch, tmp_path, False, "looking", "deployed")
    assert (scene.came, list(waiting)) == (CASES[:1], CASES[1:])
    assert scene.notes[-1].endswith(f"the moment of register+{KIND} did not come")
    experiment._expanded(scene, waiting)
    assert (scene.came, list(waiting)) == (CASES[:1], CASES[2:])
