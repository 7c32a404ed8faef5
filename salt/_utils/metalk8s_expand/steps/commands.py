"""The runner's functions: put the steps together, and say the outcome as data for programs or as text for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from metalk8s_expand.boundary import is_for_people
from metalk8s_expand.clients import cache
from metalk8s_expand.clients.clock import Clock
from metalk8s_expand.clients.kube import JsonObject
from metalk8s_expand.clients.lease import claim
from metalk8s_expand.domain import health, plan, preflight_report, reach_report, removal, report, settings
from metalk8s_expand.domain.manifest import manifest
from metalk8s_expand.domain.nodes import Node
from metalk8s_expand.domain.settings import Settings
from metalk8s_expand.errors import DeployError, ExpandError, SettingsError, UnreachableError
from metalk8s_expand.steps import cluster_check, planning, register, removing, roster, verify
from metalk8s_expand.steps.batch import Batch, Options
from metalk8s_expand.steps.check_ssh import Checked, check_ssh
from metalk8s_expand.steps.lock import Lock, acquire
from metalk8s_expand.steps.progress import Progress
from metalk8s_expand.steps.world import World, declaration

Result = dict[str, Any]
Names = str | Iterable[str] | None

DEPLOYMENT = "metalk8s/orchestrate/deploy_node.sls"


class Commands:
    """One call of a runner function, with the master's configuration."""

    def __init__(self, opts: Mapping[str, Any], clock: Clock | None = None) -> None:
        self.opts = opts
        self.clock = clock or Clock()
        self.progress = Progress(opts, self.clock)

    @cached_property
    def world(self) -> World:
        """The API, reached when first needed: a mistake in the pillar is told without it."""
        return World.from_opts(self.opts)

    @property
    def for_people(self) -> bool:
        """Whether somebody reads the outcome in a terminal."""
        return is_for_people(self.opts)

    def plan(self, nodes: Names, overrides: Mapping[str, Any] | None = None, preflight: bool = False) -> Result:
        """See the runner."""
        names = _names(nodes)
        declared = _with_node(self._settings(), names, overrides)
        found = planning.current(self.world, declared, names)
        data = {**found.as_dict(), "asked": names, "warnings": planning.warnings(self.world, declared)}
        cache.save_plan(self.opts, data)
        if preflight:
            data["preflight"] = self._batch(declared).look(found.touched).as_dict()
            data["retcode"] = data["preflight"]["retcode"]
        return self._shown(_plan_text, data)

    def manifest(self, name: str, overrides: Mapping[str, Any] | None = None) -> str:
        """See the runner."""
        import yaml

        node = _with_node(self._settings(), [name], overrides).node(name)
        return str(yaml.safe_dump(manifest(node), sort_keys=False, default_flow_style=False))

    def register(self, name: str, overrides: Mapping[str, Any] | None = None) -> Result:
        """See the runner."""
        declared = _with_node(self._settings(), [name], overrides)
        planning.refuse(planning.current(self.world, declared, [name]))
        return {"node": name, "changes": register.register(self.world.kube, declared.node(name))}

    def check_ssh(self, nodes: Names) -> Result:
        """See the runner."""
        declared = self._settings()
        hosts = roster.ssh_targets(declared.chosen(_names(nodes)), roster.access_from(self.opts, declared))
        answers = check_ssh(hosts, declared.ssh_timeout, declared.ssh_parallel)
        unreachable = {name: found for name, found in answers.items() if isinstance(found, ExpandError)}
        reached = {name: found.as_dict() for name, found in answers.items() if isinstance(found, Checked)}
        data = {
            "reached": reached,
            "unreachable": {name: error.as_dict() for name, error in unreachable.items()},
            "warnings": roster.host_key_warnings(self.opts),
            "retcode": UnreachableError.retcode if unreachable else 0,
        }
        return self._shown(reach_report.text, data)

    def preflight(self, nodes: Names) -> Result:
        """See the runner."""
        declared = self._settings()
        reached = self._batch(declared).look(declared.chosen(_names(nodes)))
        return self._shown(preflight_report.text, reached.as_dict())

    def expand(
        self,
        nodes: Names,
        options: Options | None = None,
        overrides: Mapping[str, Any] | None = None,
        digest: str | None = None,
        wait_s: float = 0,
    ) -> Result:
        """See the runner."""
        before = None if digest is None else cache.load_plan(self.opts, str(digest))
        names = _names(before["asked"] if before and nodes is None else nodes)
        declared = _with_node(self._settings(), names, overrides)
        declared.chosen(names)
        with self._locked(f"expand {', '.join(names) if names else 'all that is declared'}", wait_s) as held:
            self.progress("", "cluster", "looking at it")
            refusal = cluster_check.refusal(self.world, declared, declared.chosen(names))
            if refusal:
                raise refusal
            found = planning.current(self.world, declared, names)
            if digest is not None:
                planning.agreed(before, str(digest), found)
            planning.refuse(found)
            outcome = self._batch(declared).run(found, names, options or Options(), held)
        data = {**outcome.as_dict(), "unchanged": found.empty}
        data["log"] = str(cache.save_report(self.opts, data))
        return self._shown(report.text, data)

    def remove_node(self, name: str, wait_s: float = 0, dry_run: bool = False, **options: Any) -> Result:
        """See the runner."""
        wanted, declared = removing.options(**options), self._settings()
        if removing.is_true("dry_run", dry_run):
            return self._shown(removal.text, removing.planned(self.world, declared, name, wanted))
        data = removing.remove_node(
            self.world,
            declared,
            name,
            wanted,
            lambda: self._locked(f"remove_node {name}", wait_s),
            self.progress,
            self.clock,
        )
        return self._shown(report.text, data)

    def status(self) -> Result:
        """See the runner."""
        declared = self._settings()
        observed = self._observed()
        rows = {name: _status(node, observed.get(name)) for name, node in declared.nodes.items()}
        runs = [path.stem.removeprefix("report-") for path in cache.reports(self.opts)]
        return self._shown(_status_text, {"nodes": rows, "runs": runs[-20:]})

    def health(self, nodes: Names) -> Result:
        """See the runner."""
        declared = self._settings()
        access = self.world.access()
        problems = verify.cluster_problems(access) + verify.addon_problems(access)
        observed = self._observed()
        for node in declared.chosen(_names(nodes)):
            if node.name in observed:
                problems += verify.node_problems(access, node, observed=observed[node.name])
                problems += health.cordon_problems(observed[node.name])
            else:
                problems.append(f"Node {node.name} is declared and not registered")
        if problems:
            hint = "the first problem is often the reason of the others"
            raise DeployError("the cluster is not as declared", problems=problems, hint=hint, log=verify.LOG)
        return {"healthy": True, "nodes": len(declared.nodes)}

    def report(self, run: str | None) -> Result:
        """See the runner."""
        kept = {path.stem.removeprefix("report-"): path for path in cache.reports(self.opts)}
        name = str(run) if run else next(reversed(kept), "")
        if name not in kept:
            raise SettingsError(f"there is no report {name!r}", hint="the runs are in: salt-run metalk8s_expand.status")
        return self._shown(report.text, json.loads(kept[name].read_text(encoding="utf-8")), judge=False)

    def trees(self) -> Result:
        """See the runner."""
        library = Path(sys.modules["metalk8s_expand"].__file__ or "").resolve().parent
        packaged = library / "srv" / "salt"
        served = {
            saltenv: [str(root) for root in roots if (Path(root) / DEPLOYMENT).is_file()]
            for saltenv, roots in (self.opts.get("file_roots") or {}).items()
        }
        return {
            "library": str(library),
            "packaged": str(packaged) if packaged.is_dir() else None,
            "served": {saltenv: roots for saltenv, roots in served.items() if roots},
        }

    def _batch(self, declared: Settings) -> Batch:
        return Batch(self.world, declared, self.clock, self.progress)

    def _locked(self, doing: str, wait_s: float) -> Lock:
        """The only one that changes anything, from here on."""
        if isinstance(wait_s, bool) or not isinstance(wait_s, (int, float)) or wait_s < 0:
            raise SettingsError(f"wait_s is {wait_s!r}", hint="write a number of seconds, 0 or more")
        return acquire(
            self.world.leases(),
            claim(self.progress.run, doing),
            wait_s,
            clock=self.clock,
            waiting=lambda holder: self.progress("", "lock", f"waiting for {holder}"),
        )

    def _shown(self, text: Any, data: Result, judge: bool = True) -> Result:
        if not self.for_people:
            return data
        retcode = int(data.get("retcode", 0)) if judge else 0
        return {"retcode": retcode, "text": text(data)} if retcode else {"text": text(data)}

    def _settings(self) -> Settings:
        return declaration(self.opts)

    def _observed(self) -> dict[str, JsonObject]:
        return {item["metadata"]["name"]: item for item in self.world.kube.nodes()}


def _names(nodes: Names) -> tuple[str, ...] | None:
    if nodes is None:
        return None
    # Salt makes a number of a name of digits only.
    items = nodes if isinstance(nodes, (list, tuple, set)) else str(nodes).split(",")
    return tuple(str(item).strip() for item in items)


def _with_node(declared: Settings, names: Sequence[str] | None, overrides: Mapping[str, Any] | None) -> Settings:
    """With the one node that is given by arguments and not by the pillar, if any."""
    if not overrides:
        return declared
    if names is None or len(names) != 1:
        raise SettingsError(
            "these arguments describe one node: " + ", ".join(overrides), hint="name one node, or leave them out"
        )
    return settings.with_node(declared, names[0], overrides)


def _status(node: Node, found: JsonObject | None) -> dict[str, Any]:
    if found is None:
        return {"state": "not registered", "roles": list(node.roles), "problems": []}
    problems = health.node_problems(node, found) + health.cordon_problems(found)
    state = "registered, not deployed" if not plan.is_deployed(found) else "not ready" if problems else "ready"
    return {"state": state, "roles": list(node.roles), "problems": problems}


def _plan_text(data: Mapping[str, Any]) -> str:
    looked = [preflight_report.text(data["preflight"])] if "preflight" in data else []
    return "\n\n".join([report.plan_text(data), *looked, *(f"Warning: {warning}" for warning in data["warnings"])])


def _status_text(data: Mapping[str, Any]) -> str:
    rows = [(name, ", ".join(item["roles"]), item["state"]) for name, item in data["nodes"].items()]
    problems = [f"- {problem}" for item in data["nodes"].values() for problem in item["problems"]]
    runs = f"Runs: {', '.join(data['runs']) or 'none'}"
    return "\n\n".join(filter(None, [report.table(("node", "roles", "state"), rows), "\n".join(problems), runs]))
