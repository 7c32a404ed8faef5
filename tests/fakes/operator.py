"""An operator at a terminal."""

from __future__ import annotations

from collections.abc import Callable

from metalk8s_expand.clients.host.question import OperatorTerminal


class FakeOperator(OperatorTerminal):
    """An operator who gives this answer. ``meddle`` runs while the question is open.

    ``absent`` is why there is no terminal. ``asked`` has what was shown before each question.
    """

    def __init__(
        self, answer: str = "yes", absent: str = "", meddle: Callable[[], object] = lambda: None
    ) -> None:
        self.answer = answer
        self.absent = absent
        self.meddle = meddle
        self.asked: list[str] = []

    @property
    def columns(self) -> int:
        return 80

    def missing(self) -> str:
        return self.absent

    def ask(self, shown: str, question: str) -> str:
        self.asked.append(shown)
        self.meddle()
        return self.answer
