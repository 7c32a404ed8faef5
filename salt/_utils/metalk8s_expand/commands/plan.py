"""The commands that say what an expansion would do, and what would keep it from that; nothing is changed."""

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
    """A plan, and how far ``expand`` would get with it now."""

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
        """The plan, the hosts as they are, and the first reason for which ``expand`` would start nothing."""
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
        """The kept plan of that digest, if it is kept, and what is asked for with it."""
        before = None if digest is None else cache.load_plan(self.opts, digest)
        return before, asked.again(before)

    def _planned(
        self, asked: ExpandRequest, declared: Settings, names: tuple[str, ...] | None
    ) -> tuple[Plan, Result]:
        """The plan, and how it is told; it is kept, to tell later what has moved since."""
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
    """Of the plan: it is another one than was agreed on, or it cannot be done."""
    try:
        if digest is not None:
            planner.agreed(before, digest, found)
        planner.refuse(found)
    except ExpandError as error:
        return error
    return None
