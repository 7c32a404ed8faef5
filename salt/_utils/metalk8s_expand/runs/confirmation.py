"""Ask the operator to confirm a plan, before the run that executes it takes the lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metalk8s_expand.clients.host.question import OperatorTerminal
from metalk8s_expand.clients.salt import terminal_output
from metalk8s_expand.domain.reports.terminal.document import Block
from metalk8s_expand.errors import SettingsError, StoppedError
from metalk8s_expand.runs.progress import Progress

QUESTION = "Do you want to perform these actions? Only 'yes' is accepted: "
YES = "yes"


@dataclass(frozen=True)
class Confirmation:
    """A question about one plan. ``called_by_operator`` is false in jobs and orchestrations.

    ``opts`` are the options of Salt, which may forbid colors.
    """

    operator: OperatorTerminal
    called_by_operator: bool
    progress: Progress
    opts: Mapping[str, Any]

    def ensure_possible(self, remedy: str) -> None:
        """Raise SettingsError with this remedy unless an operator at a terminal can answer.

        A reaction, an orchestration, the master's schedule and a job have no operator, even if
        their process has inherited a terminal.
        """
        obstacle = self.operator.missing()
        if not self.called_by_operator:
            obstacle = "no operator has called this function with salt-run"
        if obstacle:
            raise SettingsError(
                f"confirm=True asks on the terminal, and {obstacle}, so nothing was changed",
                hint=f"{remedy}; or give the command a terminal, with kubectl exec --stdin --tty",
            )

    def ask(self, command: str, shown: Sequence[Block]) -> None:
        """Show what the command will do and ask. Raise StoppedError unless the answer is ``yes``.

        The run must not hold the lock yet: an operator may leave the terminal. The time until the
        answer is not part of the run.
        """
        width = min(self.operator.columns, terminal_output.WIDEST)
        text = terminal_output.with_colors(self.opts, shown, width)
        if self.operator.ask(text, QUESTION) != YES:
            raise StoppedError(
                f"{command} was not confirmed, so nothing was changed",
                hint=f"to perform it, run the same command again and answer {YES}",
            )
        self.progress.restart()
