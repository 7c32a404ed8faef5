"""The commands that change the cluster, or what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.clients import cache
from metalk8s_expand.clients.lease import claim
from metalk8s_expand.domain import removal, report
from metalk8s_expand.steps import arguments, cluster_check, planning, register, removing, stopping, work
from metalk8s_expand.steps.arguments import Names
from metalk8s_expand.steps.batch import Options
from metalk8s_expand.steps.call import Result
from metalk8s_expand.steps.holding import Holding
from metalk8s_expand.steps.work import Admit


class Changing(Holding):
    """Nodes are added, asked for and removed."""

    def register(self, name: str, overrides: Mapping[str, Any] | None = None) -> Result:
        """See the runner."""
        declared = arguments.with_node(self._settings(), [name], overrides)
        planning.refuse(planning.current(self.world, declared, [name]))
        return {"node": name, "changes": register.register(self.world.kube, declared.node(name))}

    def expand(
        self,
        nodes: Names,
        options: Options | None = None,
        overrides: Mapping[str, Any] | None = None,
        digest: str | None = None,
        wait_s: float = 0,
    ) -> Result:
        """See the runner."""
        return self._shown(report.text, self._expanded(nodes, options, overrides, digest, wait_s))

    def request(self, node: object, retry: bool = False) -> Result:
        """See the runner."""
        return work.request(self.world.kube, self._settings, node, retry is True, self.clock)

    def work(self) -> Result:
        """See the runner."""

        def expand(names: Sequence[str], wait_s: float, admit: Admit) -> Result:
            return self._expanded(names, Options(skip_failed=True), wait_s=wait_s, admit=admit)

        world = self.world
        turn = work.Work(
            world.kube,
            world.leases(),
            self._settings,
            lambda declared, names: planning.current(world, declared, names),
            expand,
            self.clock,
        )
        return self._shown(lambda data: work.text(data, report.text), turn.off())

    def _expanded(
        self,
        nodes: Names,
        options: Options | None = None,
        overrides: Mapping[str, Any] | None = None,
        digest: str | None = None,
        wait_s: float = 0,
        admit: Admit = lambda found: found,
    ) -> Result:
        """The report; ``admit`` says what of the plan is done, once the lock is held."""
        before = None if digest is None else cache.load_plan(self.opts, str(digest))
        names = arguments.names(before["asked"] if before and nodes is None else nodes)
        declared = arguments.with_node(self._settings(), names, overrides)
        declared.chosen(names)
        doing = f"expand {', '.join(names) if names else 'all that is declared'}"
        with self._held(doing, wait_s, declared.deploy_timeout) as held:
            self.progress("", "cluster", "looking at it")
            refusal = cluster_check.refusal(self.world, declared, declared.chosen(names))
            if refusal:
                raise refusal
            found = planning.current(self.world, declared, names)
            if digest is not None:
                planning.agreed(before, str(digest), found)
            found = admit(found)
            planning.refuse(found)
            outcome = self._batch(declared).run(found, names, options or Options(), held)
            data = {**outcome.as_dict(), "unchanged": found.empty, "command": arguments.command(names, overrides)}
            data["log"] = str(cache.save_report(self.opts, data))
            held.outcome["retcode"] = data["retcode"]
        return data

    def remove_node(self, name: str, wait_s: float = 0, dry_run: bool = False, **options: Any) -> Result:
        """See the runner."""
        wanted, declared = removing.options(**options), self._settings()
        if removing.is_true("dry_run", dry_run):
            return self._shown(removal.text, removing.planned(self.world, declared, name, wanted))
        with self._held(f"remove_node {name}", wait_s, declared.deploy_timeout) as held:
            data = removing.remove_node(self.world, declared, name, wanted, held, self.progress, self.clock)
            held.outcome["retcode"] = data["retcode"]
        return self._shown(report.text, data)

    def stop(self, wait_s: float = 0) -> Result:
        """See the runner."""
        who = claim(self.progress.run, "stop")
        leases, named = self.world.leases(), f"asked by {who.user} on {who.host}"
        asked = stopping.stop(leases, named, arguments.seconds("wait_s", wait_s), self.clock)
        return {"text": stopping.text(asked)} if self.for_people else asked.as_dict()
