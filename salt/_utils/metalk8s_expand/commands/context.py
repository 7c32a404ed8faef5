"""Hold what every runner command uses: the master's options, the cluster, clock and output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from metalk8s_expand.boundary import is_called_by_operator, is_for_people
from metalk8s_expand.clients.host.clock import Clock, TickingClock
from metalk8s_expand.clients.host.question import OperatorTerminal
from metalk8s_expand.clients.salt import terminal_output
from metalk8s_expand.clients.salt.event_bus import Bus
from metalk8s_expand.clients.salt.file_server import FileServer
from metalk8s_expand.clients.salt.minions import Minions
from metalk8s_expand.cluster.configuration import cluster_configuration
from metalk8s_expand.cluster.context import ClusterContext, complete_declaration, declaration
from metalk8s_expand.commands.arguments import ExpandRequest
from metalk8s_expand.domain.configuration import ClusterConfiguration
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.reports.terminal.document import Block
from metalk8s_expand.errors import visible_lines
from metalk8s_expand.preflight.saltenvs import ensure_families_supported
from metalk8s_expand.runs.confirmation import Confirmation
from metalk8s_expand.runs.progress import Progress

Result = dict[str, Any]
Connect = Callable[[Mapping[str, Any]], ClusterContext]


@dataclass(frozen=True)
class CommandContext:
    """What one call of a runner function uses. ``opts`` is the configuration of the master."""

    opts: Mapping[str, Any]
    clock: Clock
    progress: Progress
    bus: Bus
    minions: Minions
    connect: Connect
    operator: OperatorTerminal = field(default_factory=OperatorTerminal)

    @classmethod
    def from_opts(cls, opts: Mapping[str, Any]) -> CommandContext:
        """Return the context of a call on this master."""
        progress = Progress(opts, Clock())
        return cls(
            opts,
            TickingClock(progress.tick),
            progress,
            Bus(opts),
            Minions(opts),
            ClusterContext.from_opts,
        )

    @cached_property
    def cluster(self) -> ClusterContext:
        """Return the cluster. Connects on first use, so pillar errors need no API server."""
        return self.connect(self.opts)

    def declaration(self) -> Settings:
        """Return the declaration as the operator states it, without a request to the API.

        Raises SettingsError with all its problems.
        """
        return declaration(self.opts)

    def settings(self) -> Settings:
        """Return the declaration, completed with the cluster's values.

        Raises SettingsError with all its problems, and when it contradicts the cluster.
        """
        # The declaration's own mistakes come before a request to the API.
        declared = complete_declaration(self.opts, lambda: self.cluster.version())  # noqa: PLW0108
        ensure_families_supported(FileServer(self.opts), declared)
        return declared

    def resolve(self, request: ExpandRequest) -> tuple[Settings, tuple[str, ...] | None]:
        """Return the settings for a request and the node names; None means all of them."""
        settings, names = request.resolve(self.settings())
        ensure_families_supported(FileServer(self.opts), settings)
        return settings, names

    def configuration(self) -> ClusterConfiguration:
        """Return what the files of this master say about the cluster, without the API."""
        return cluster_configuration(self.opts)

    @property
    def for_people(self) -> bool:
        """Return whether a person reads the result in a terminal."""
        return is_for_people(self.opts)

    @property
    def confirmation(self) -> Confirmation:
        """Return the question that this call may ask, with any outputter."""
        called = is_called_by_operator(self.opts)
        return Confirmation(self.operator, called, self.progress, self.opts)

    def render(
        self,
        renderer: Callable[[Result], Sequence[Block] | str],
        data: Result,
        exit_code: bool = True,
    ) -> Result:
        """Return ``data`` for programs, or the rendered text with its exit code for people.

        A renderer returns a document, or the lines of a file as a text that keeps its width.
        """
        if not self.for_people:
            return data
        retcode = int(data.get("retcode", 0)) if exit_code else 0
        content = renderer(data)
        # Also a report that is read back from a file reaches the terminal here.
        content = visible_lines(content) if isinstance(content, str) else content
        shown = terminal_output.printed(self.opts, "text", content)
        return {"retcode": retcode, **shown} if retcode else shown
