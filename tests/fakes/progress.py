"""The progress of a run in memory."""

from __future__ import annotations

from typing import Any


class FakeProgress:
    """Progress that keeps its lines and its step events."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []
        self.events: list[tuple[Any, ...]] = []

    def __call__(self, node: str, step: str, what: str) -> None:
        self.lines.append((node, step, what))

    def step(
        self,
        node: str,
        step: str,
        state: str,
        elapsed: float = 0,
        job: Any = None,
        error: Any = None,
    ) -> None:
        assert elapsed >= 0
        self.events.append((node, step, state, job, error and type(error).__name__))
