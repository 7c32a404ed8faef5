"""Change the cluster or the stored requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.clients.kubernetes.lease import claim
from metalk8s_expand.clients.salt import cache
from metalk8s_expand.cluster import node_registration
from metalk8s_expand.commands import arguments
from metalk8s_expand.commands import remove_node as removing
from metalk8s_expand.commands.arguments import ExpandRequest, Names
from metalk8s_expand.commands.context import Result
from metalk8s_expand.commands.exclusive import Holding
from metalk8s_expand.commands.plan import Foresight
from metalk8s_expand.domain.reports import removal, run
from metalk8s_expand.expansion import planner
from metalk8s_expand.expansion.workflow import ExpandOptions
from metalk8s_expand.preflight import cluster
from metalk8s_expand.runs import queue_worker
from metalk8s_expand.runs import stop as stopping
from metalk8s_expand.runs.queue_worker import Admit


class Changing(Holding, Foresight):
    """The commands that add, request and remove nodes."""

    def register(
        self, name: str, overrides: Mapping[str, Any] | None = None, dry_run: bool = False
    ) -> Result:
        """See the runner."""
        arguments.flags(dry_run=dry_run)
        declared = arguments.with_node(self._settings(), name, overrides or {})
        planner.refuse(planner.current(self.world, declared, [name]))
        changes = node_registration.register(self.world.kube, declared.node(name), test=dry_run)
        return {"node": name, "changes": changes, **({"dry_run": True} if dry_run else {})}

    def expand(
        self,
        nodes: Names = None,
        options: ExpandOptions | None = None,
        digest: object = None,
        wait_s: float = 0,
        profiles: Names = None,
        max_parallel: int | None = None,
        dry_run: bool = False,
    ) -> Result:
        """See the runner."""
        return self._asked(
            ExpandRequest.of(nodes, profiles, None, max_parallel), options, digest, wait_s, dry_run
        )

    def add_node(
        self,
        node: object,
        options: ExpandOptions | None = None,
        overrides: Mapping[str, Any] | None = None,
        digest: object = None,
        wait_s: float = 0,
        dry_run: bool = False,
    ) -> Result:
        """See the runner."""
        return self._asked(arguments.one(node, overrides), options, digest, wait_s, dry_run)

    def _asked(
        self,
        asked: ExpandRequest,
        options: ExpandOptions | None,
        digest: object,
        wait_s: float,
        dry_run: bool,
    ) -> Result:
        wanted, known = options or ExpandOptions(), arguments.digest(digest)
        arguments.flags(skip_failed=wanted.skip_failed, probe=wanted.probe, dry_run=dry_run)
        arguments.seconds("wait_s", wait_s)
        if dry_run:
            return self._foreseen(asked, wanted.skip_failed, known)
        return self._shown(run.render_report, self._expanded(asked, wanted, known, wait_s))

    def request(self, node: object, retry: bool = False) -> Result:
        """See the runner."""
        return queue_worker.request(
            self.world.kube, self._settings, node, retry is True, self.clock
        )

    def work(self) -> Result:
        """See the runner."""

        def expand(names: Sequence[str], wait_s: float, admit: Admit) -> Result:
            return self._expanded(
                ExpandRequest.of(names), ExpandOptions(skip_failed=True), wait_s=wait_s, admit=admit
            )

        world = self.world
        turn = queue_worker.QueueWorker(
            world.kube,
            world.leases(),
            self._settings,
            lambda declared, names: planner.current(world, declared, names),
            expand,
            self.clock,
        )
        return self._shown(
            lambda data: queue_worker.render_requests(data, run.render_report), turn.off()
        )

    def _expanded(
        self,
        asked: ExpandRequest,
        options: ExpandOptions,
        digest: str | None = None,
        wait_s: float = 0,
        admit: Admit = lambda found: found,
    ) -> Result:
        """Return the report. With the lock held, ``admit`` selects what of the plan to execute."""
        before, asked = self._agreed(asked, digest)
        declared, names = asked.settled(self._settings())
        with self._held(f"expand {asked.selection}", wait_s, declared.deploy_timeout) as held:
            self.progress("", "cluster", "looking at it")
            refusal = cluster.refusal(self.world, declared, declared.chosen(names))
            if refusal:
                raise refusal
            found = planner.current(self.world, declared, names)
            if digest is not None:
                planner.agreed(before, digest, found)
            found = admit(found)
            planner.refuse(found)
            outcome = self._batch(declared).run(found, names, options, held)
            data = {**outcome.as_dict(), "unchanged": found.empty, "command": asked.command()}
            data["log"] = str(cache.save_report(self.opts, data))
            held.outcome["retcode"] = data["retcode"]
        return data

    def remove_node(
        self, name: str, wait_s: float = 0, dry_run: bool = False, **options: Any
    ) -> Result:
        """See the runner."""
        arguments.flags(dry_run=dry_run)
        wanted, declared = removing.options(**options), self._settings()
        if dry_run:
            return self._shown(
                removal.render_removal_plan, removing.planned(self.world, declared, name, wanted)
            )
        with self._held(f"remove_node {name}", wait_s, declared.deploy_timeout) as held:
            data = removing.remove_node(
                self.world, declared, name, wanted, held, self.progress, self.clock
            )
            held.outcome["retcode"] = data["retcode"]
        return self._shown(run.render_report, data)

    def stop(self, wait_s: float = 0) -> Result:
        """See the runner."""
        who = claim(self.progress.run, "stop")
        leases, named = self.world.leases(), f"asked by {who.user} on {who.host}"
        asked = stopping.stop(leases, named, arguments.seconds("wait_s", wait_s), clock=self.clock)
        return {"text": stopping.render_stop(asked)} if self.for_people else asked.as_dict()
