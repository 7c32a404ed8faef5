"""The runner's functions: put the steps together, and say the outcome as data for programs or as text for people."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from metalk8s_expand.boundary import is_for_people
from metalk8s_expand.clients import cache
from metalk8s_expand.clients import salt as master
from metalk8s_expand.clients.clock import Clock
from metalk8s_expand.clients.kube import JsonObject
from metalk8s_expand.clients.ssh import Target
from metalk8s_expand.domain import health, plan, preflight, report, settings
from metalk8s_expand.domain.manifest import manifest
from metalk8s_expand.domain.nodes import Node
from metalk8s_expand.domain.plan import Plan
from metalk8s_expand.domain.report import NodeReport, Report
from metalk8s_expand.domain.settings import Settings
from metalk8s_expand.errors import DeployError, ExpandError, QuorumError, SettingsError
from metalk8s_expand.steps import expansion, planning, pod_probe, reach, register, roster, verify
from metalk8s_expand.steps.world import World, declaration

Result = dict[str, Any]
Names = str | Iterable[str] | None

DEPLOYMENT = "metalk8s/orchestrate/deploy_node.sls"


class Commands:
    """One call of a runner function, with the master's configuration."""

    def __init__(self, opts: Mapping[str, Any], clock: Clock | None = None) -> None:
        self.opts = opts
        self.clock = clock or Clock()
        self.started = self.clock.now()

    @cached_property
    def world(self) -> World:
        """The API, reached when first needed: a mistake in the pillar is told without it."""
        return World.from_opts(self.opts)

    @property
    def for_people(self) -> bool:
        """Whether somebody reads the outcome in a terminal."""
        return is_for_people(self.opts)

    def plan(self, nodes: Names, overrides: Mapping[str, Any] | None = None) -> Result:
        """See the runner."""
        names = _names(nodes)
        declared = _with_node(self._settings(), names, overrides)
        found = planning.current(self.world, declared, names)
        data = {**found.as_dict(), "asked": names, "warnings": planning.warnings(self.world, declared)}
        cache.save_plan(self.opts, data)
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
        chosen = declared.chosen(_names(nodes))
        answers = reach.check_ssh(self._targets(chosen, declared), declared.ssh_timeout)
        reached = reach.Reached(unreachable={k: v for k, v in answers.items() if isinstance(v, ExpandError)})
        error = reached.error()
        if error:
            raise error
        return {"reached": {name: round(float(took), 3) for name, took in answers.items() if isinstance(took, float)}}

    def preflight(self, nodes: Names) -> Result:
        """See the runner."""
        declared = self._settings()
        chosen = declared.chosen(_names(nodes))
        reached = self._look(chosen, declared)
        error = reached.error()
        if error:
            raise error
        return {"hosts": sorted(reached.facts), "warnings": [item.as_dict() for item in reached.findings]}

    def expand(
        self,
        nodes: Names,
        skip_failed: bool = False,
        probe: bool = False,
        overrides: Mapping[str, Any] | None = None,
        digest: str | None = None,
    ) -> Result:
        """See the runner."""
        before = None if digest is None else cache.load_plan(self.opts, str(digest))
        names = _names(before["asked"] if before and nodes is None else nodes)
        declared = _with_node(self._settings(), names, overrides)
        self._say("", "cluster", "looking at it")
        problems = verify.cluster_problems(self.world.access(), [node.address for node in declared.nodes.values()])
        if problems:
            raise QuorumError(
                "the cluster is not healthy, so nothing was started",
                problems=problems,
                hint="make the control plane healthy first",
                log=verify.LOG,
            )
        found = planning.current(self.world, declared, names)
        if digest is not None:
            planning.agreed(before, str(digest), found)
        planning.refuse(found)
        return self._finish(declared, found, names, skip_failed, probe)

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

    def _finish(self, declared: Settings, found: Plan, names: Sequence[str] | None, skip_failed: bool, probe: bool) -> Result:
        identity = time.strftime("%Y%m%d%H%M%S", time.gmtime(self.started))
        notes = [f"{name}: nothing to change" for name in found.unchanged] + planning.warnings(self.world, declared)
        reports = () if found.empty else self._executed(declared, found, skip_failed, notes)
        ready = {*found.unchanged, *(node.name for node in reports if node.ok)}
        workers = [node for node in declared.chosen(names) if node.name in ready and not node.is_control_plane]
        closing = self._closing(not found.empty, workers if probe else [], identity, declared.probe_image)
        return self._reported(_judged(identity, reports, closing, notes, self.started, self._elapsed()))

    def _executed(self, declared: Settings, found: Plan, skip_failed: bool, notes: list[str]) -> tuple[NodeReport, ...]:
        """Reach all hosts, then do what the plan says on those that may be touched."""
        chosen = [item.node for item in found.nodes if item.has(plan.CHECK_SSH)]
        reached = self._look(chosen, declared)
        took = self._elapsed()
        error = reached.error()
        if error and not skip_failed:
            raise error
        notes += [str(item) for item in reached.findings if item.severity != preflight.ERROR]
        touched = found.without(reached.failed)
        if touched.nodes:
            master.prepare_ssh(self.opts)
        jobs = master.Orchestrations(self.opts)
        run = expansion.Run(self.world.access, jobs, self._say, declared.max_parallel, declared.deploy_timeout, self.clock)
        for node in chosen:
            run.record(node.name, "check_ssh, preflight", self.started, node.name not in reached.failed, "", took)
        run.skipped = dict(reached.reasons)
        expansion.execute(run, touched)
        return tuple(run.report(item.node.name) for item in found.nodes)

    def _closing(self, changed: bool, workers: Sequence[Node], identity: str, image: str | None) -> tuple[str, ...]:
        """What is wrong with the whole. Whatever happens here, the report of what was done is not lost."""
        try:
            return (self._addons() if changed else ()) + self._probed(workers, identity, image)
        except ExpandError as error:
            return (str(error),)

    def _addons(self) -> tuple[str, ...]:
        """What only the whole can tell: DNS runs on two nodes."""
        deadline = self.clock.monotonic() + expansion.VERIFY_TIMEOUT_S
        access = self.world.access()
        while (problems := verify.addon_problems(access)) and self.clock.monotonic() < deadline:
            self.clock.sleep(0.5)
        return tuple(problems)

    def _probed(self, workers: Sequence[Node], identity: str, image: str | None) -> tuple[str, ...]:
        if not workers:
            return ()
        self._say("", "probe", f"a Pod on each of {', '.join(node.name for node in workers)}, reached through a Service")
        failed = pod_probe.probe(self.world.kube, workers, identity, image)
        return tuple(f"node {name}: {reason}" for name, reason in failed.items())

    def _reported(self, outcome: Report) -> Result:
        data = outcome.as_dict()
        data["unchanged"] = not outcome.nodes
        data["log"] = str(cache.save_report(self.opts, data))
        return self._shown(report.text, data)

    def _shown(self, text: Any, data: Result, judge: bool = True) -> Result:
        if not self.for_people:
            return data
        retcode = int(data.get("retcode", 0)) if judge else 0
        return {"retcode": retcode, "text": text(data)} if retcode else {"text": text(data)}

    def _settings(self) -> Settings:
        return declaration(self.opts)

    def _observed(self) -> dict[str, JsonObject]:
        return {item["metadata"]["name"]: item for item in self.world.kube.nodes()}

    def _look(self, chosen: Sequence[Node], declared: Settings) -> reach.Reached:
        for node in chosen:
            self._say(node.name, "check_ssh, preflight", f"asking {node.ssh.host}")
        return reach.look(chosen, self._targets(chosen, declared), declared, self.clock)

    def _targets(self, chosen: Sequence[Node], declared: Settings) -> list[Target]:
        return roster.ssh_targets(chosen, roster.access_from(self.opts, declared))

    def _elapsed(self) -> float:
        return self.clock.now() - self.started

    def _say(self, node: str, step: str, what: str) -> None:
        """Progress, on stderr so that stdout stays one document."""
        if self.opts.get("__cli") == "salt-run":
            print(f"[{self._elapsed():6.1f} s] {node or 'cluster':<16} {step}: {what}", file=sys.stderr, flush=True)


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


def _judged(
    identity: str, nodes: tuple[NodeReport, ...], closing: tuple[str, ...], notes: list[str], started: float, elapsed: float
) -> Report:
    errors = [int(node.error["retcode"]) for node in nodes if node.error]
    retcode = errors[0] if errors else DeployError.retcode if closing else 0
    skipped = [f"{node.name} was skipped: {node.skipped}" for node in nodes if node.skipped]
    return Report(identity, nodes, started, elapsed, not retcode, retcode, (*notes, *skipped, *closing))


def _status(node: Node, found: JsonObject | None) -> dict[str, Any]:
    if found is None:
        return {"state": "not registered", "roles": list(node.roles), "problems": []}
    problems = health.node_problems(node, found) + health.cordon_problems(found)
    state = "registered, not deployed" if not plan.is_deployed(found) else "not ready" if problems else "ready"
    return {"state": state, "roles": list(node.roles), "problems": problems}


def _plan_text(data: Mapping[str, Any]) -> str:
    return "\n\n".join([report.plan_text(data), *(f"Warning: {warning}" for warning in data["warnings"])])


def _status_text(data: Mapping[str, Any]) -> str:
    rows = [(name, ", ".join(item["roles"]), item["state"]) for name, item in data["nodes"].items()]
    problems = [f"- {problem}" for item in data["nodes"].values() for problem in item["problems"]]
    runs = f"Runs: {', '.join(data['runs']) or 'none'}"
    return "\n\n".join(filter(None, [report.table(("node", "roles", "state"), rows), "\n".join(problems), runs]))
