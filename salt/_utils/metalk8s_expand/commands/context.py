"""Hold what each runner command uses: the master's configuration, the cluster and the output."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from metalk8s_expand.boundary import is_for_people
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.kubernetes.objects import JsonObject
from metalk8s_expand.clients.salt.event_bus import Bus
from metalk8s_expand.clients.salt.minions import Minions
from metalk8s_expand.cluster import certificates
from metalk8s_expand.cluster.context import ClusterContext, declaration
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.expansion.workflow import Expansion
from metalk8s_expand.runs.progress import Progress

Result = dict[str, Any]


class Call:
    """One call of a runner function, with the master's configuration."""

    def __init__(self, opts: Mapping[str, Any], clock: Clock | None = None) -> None:
        self.opts = opts
        self.clock = clock or Clock()
        self.progress = Progress(opts, self.clock)
        self.bus = Bus(opts)

    @cached_property
    def world(self) -> ClusterContext:
        """Return the cluster; connects on first use, so pillar errors need no API server."""
        return ClusterContext.from_opts(self.opts)

    @cached_property
    def minions(self) -> certificates.Minions:
        """Return the client that reads certificates from the minions."""
        return Minions(self.opts)

    @property
    def for_people(self) -> bool:
        """Return whether a person reads the result in a terminal."""
        return is_for_people(self.opts)

    def _batch(self, declared: Settings) -> Expansion:
        return Expansion(self.world, declared, self.clock, self.progress)

    def _shown(self, text: Any, data: Result, judge: bool = True) -> Result:
        if not self.for_people:
            return data
        retcode = int(data.get("retcode", 0)) if judge else 0
        return {"retcode": retcode, "text": text(data)} if retcode else {"text": text(data)}

    def _settings(self) -> Settings:
        return declaration(self.opts)

    def _observed(self) -> dict[str, JsonObject]:
        return {item["metadata"]["name"]: item for item in self.world.kube.nodes()}
