"""Show what an expansion would do and what would prevent it, without changing anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalk8s_expand.clients.salt import cache
from metalk8s_expand.commands import arguments
from metalk8s_expand.commands.arguments import ExpandRequest, Names
from metalk8s_expand.commands.context import Call, Result
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.expansion.plan import Plan
from metalk8s_expand.domain.reports import plan as foresight
from metalk8s_expand.errors import ExpandError
from metalk8s_expand.expansion import planner
from metalk8s_expand.preflight import cluster


class Foresight(Call):
    """The plan, and the result that ``expand`` would have with it now."""

    def plan(
        self,
        nodes: Names = None,
        overrides: Mapping[str, Any] | None = None,
        preflight: bool = False,
        profiles: Names = None,
        max_parallel: int | None = None,
    ) -> Result:
        """See the runner."""
        arguments.flags(preflight=preflight)
        asked = ExpandRequest.of(nodes, profiles, overrides, max_parallel)
        declared, names = asked.settled(self._settings())
        found, data = self._planned(asked, declared, names)
        if preflight:
            data["preflight"] = self._batch(declared).look(found.touched).as_dict()
            data["retcode"] = data["preflight"]["retcode"]
        return self._shown(foresight.render_plan, data)

    def _foreseen(self, asked: ExpandRequest, skip_failed: bool, digest: str | None) -> Result:
        """Return the plan, the host results and the first reason why ``expand`` refuses."""
        before, asked = self._agreed(asked, digest)
        declared, names = asked.settled(self._settings())
        found, data = self._planned(asked, declared, names)
        reached = self._batch(declared).look(found.touched)
        obstacle = cluster.refusal(self.world, declared, declared.chosen(names))
        error = (
            obstacle
            or _refusal(before, digest, found)
            or (None if skip_failed else reached.error())
        )
        data["preflight"] = reached.as_dict()
        data["refusal"] = error.as_dict() if error else None
        data["retcode"] = error.retcode if error else 0
        data["dry_run"] = True
        return self._shown(foresight.render_plan, data)

    def _agreed(
        self, asked: ExpandRequest, digest: str | None
    ) -> tuple[Mapping[str, Any] | None, ExpandRequest]:
        """Return the saved plan with this digest, if any, and the request completed from it."""
        before = None if digest is None else cache.load_plan(self.opts, digest)
        return before, asked.again(before)

    def _planned(
        self, asked: ExpandRequest, declared: Settings, names: tuple[str, ...] | None
    ) -> tuple[Plan, Result]:
        """Return the plan and its data, and save it so that a later call can report changes."""
        found = planner.current(self.world, declared, names)
        kept = asked.kept(names)
        data = {
            **found.as_dict(),
            **kept,
            "warnings": planner.warnings(self.world, declared, found),
        }
        cache.save_plan(self.opts, data)
        return found, data


def _refusal(
    before: Mapping[str, Any] | None, digest: str | None, found: Plan
) -> ExpandError | None:
    """Return the error if the plan differs from the agreed one or cannot be executed."""
    try:
        if digest is not None:
            planner.agreed(before, digest, found)
        planner.refuse(found)
    except ExpandError as error:
        return error
    return None
