"""The runner's functions: put the steps together, and say the outcome as data for programs or as text for people."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from metalk8s_expand.boundary import is_for_people
from metalk8s_expand.clients import cache, signals
from metalk8s_expand.clients.bus import Bus
from metalk8s_expand.clients.clock import Clock
from metalk8s_expand.clients.kube import JsonObject
from metalk8s_expand.clients.lease import claim
from metalk8s_expand.clients.salt import Minions
from metalk8s_expand.domain import certificates as certificate_rules
from metalk8s_expand.domain import events, health, plan, preflight_report, queue, reach_report, removal, report, settings
from metalk8s_expand.domain.manifest import manifest
from metalk8s_expand.domain.nodes import Node
from metalk8s_expand.domain.settings import Settings
from metalk8s_expand.errors import DeployError, ExpandError, SettingsError, UnreachableError
from metalk8s_expand.steps import (
    certificates,
    cluster_check,
    following,
    host_certificates,
    outlived,
    planning,
    register,
    removing,
    roster,
    stopping,
    verify,
    work,
)
from metalk8s_expand.steps.batch import Batch, Held, Options
from metalk8s_expand.steps.check_ssh import Checked, check_ssh
from metalk8s_expand.steps.journal import Writer
from metalk8s_expand.steps.lock import Lock, acquire
from metalk8s_expand.steps.progress import Progress
from metalk8s_expand.steps.work import Admit
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
        self.bus = Bus(opts)

    @cached_property
    def world(self) -> World:
        """The API, reached when first needed: a mistake in the pillar is told without it."""
        return World.from_opts(self.opts)

    @cached_property
    def minions(self) -> certificates.Minions:
        """Who tell of certificates."""
        return Minions(self.opts)

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
        names = _names(before["asked"] if before and nodes is None else nodes)
        declared = _with_node(self._settings(), names, overrides)
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
            data = {**outcome.as_dict(), "unchanged": found.empty, "command": _command(names, overrides)}
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
        asked = stopping.stop(leases, named, _seconds("wait_s", wait_s), self.clock)
        return {"text": stopping.text(asked)} if self.for_people else asked.as_dict()

    def status(self, follow: bool = False, with_certificates: bool = True) -> Result:
        """See the runner."""
        if follow:
            following.follow(self.world.kube, self.world.leases(), self.progress.line, self.clock)
        declared = self._settings()
        observed = self._observed()
        runs = [path.stem.removeprefix("report-") for path in cache.reports(self.opts)]
        now = following.current(self.world.kube, self.world.leases(), self.clock.now())
        at_work = (now or {}).get("nodes", {})
        ending = certificates.overview(self._told(_deployed(observed)) if with_certificates else {})
        rows = {name: _status(node, observed.get(name), name in at_work) for name, node in declared.nodes.items()}
        for name, row in rows.items():
            row["certificates"] = ending.get(name)
        data = {"nodes": rows, "certificates": ending, "queue": work.rows(self.world.kube), "runs": runs[-20:], "now": now}
        return self._shown(_status_text, data)

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
        told = self._told(_deployed(observed, _names(nodes)))
        problems += certificate_rules.problems(told, declared.certificates)
        if problems:
            hint = "the first problem is often the reason of the others"
            raise DeployError("the cluster is not as declared", problems=problems, hint=hint, log=verify.LOG)
        warnings = certificate_rules.warnings(told, declared.certificates)
        return {"healthy": True, "nodes": len(declared.nodes), "warnings": warnings}

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

    def _told(self, names: Sequence[str]) -> dict[str, Any]:
        """Of the certificates of these nodes, and of the one that the master shows to the API."""
        configured = (self.opts.get("metalk8s_expand") or {}).get("kubeconfig", roster.DEFAULT_KUBECONFIG)
        return {**certificates.observed(self.minions, names), **host_certificates.of_master(configured)}

    def _batch(self, declared: Settings) -> Batch:
        return Batch(self.world, declared, self.clock, self.progress)

    @contextmanager
    def _held(self, doing: str, wait_s: float, patience: float) -> Iterator[Held]:
        """The only one that changes anything, from here on: what an earlier one has started has ended."""
        with self._locked(doing, wait_s) as lock, signals.heeded() as heard:
            writer = Writer(self.world.kube, self.progress.run, doing, platform.node(), lock.epoch, self.clock)
            self.progress.listener, self.progress.bus = writer.said, self.bus.fire
            held, outcome = Held(lock, writer, lambda: heard.name or lock.stop), "failed"
            self.progress.event(events.started(self.progress.run, doing, writer.now.host))
            try:
                writer.keep()
                outlived.wait(self.world, writer.now, patience, self.clock, held.go_on, self._resuming)
                lock.check()
                writer.fresh()
                yield held
                outcome = "ended"
            except KeyboardInterrupt:
                outcome = "been interrupted"
                raise
            finally:
                writer.close(outcome)
                self._tell_end(doing, outcome, held.outcome.get("retcode"), sys.exc_info()[1])

    def _tell_end(self, doing: str, outcome: str, retcode: int | None, error: BaseException | None) -> None:
        """``retcode`` is of the report, when there is one."""
        known = retcode if retcode is not None else getattr(error, "retcode", 1 if error else 0)
        self.progress.event(events.ended(self.progress.run, doing, outcome, self.progress.elapsed(), known, error))

    def _resuming(self, text: str) -> None:
        self.progress("", "resume", text)

    def _locked(self, doing: str, wait_s: float) -> Lock:
        """The only one that holds the Lease."""
        return acquire(
            self.world.leases(),
            claim(self.progress.run, doing),
            _seconds("wait_s", wait_s),
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


def _command(names: Sequence[str] | None, overrides: Mapping[str, Any] | None) -> str:
    """What goes on after a failure, as it is typed."""
    words = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in (overrides or {}).items()]
    if names and (overrides or len(names) == 1):
        return shlex.join(["salt-run", "metalk8s_expand.add_node", *names, *words])
    return shlex.join(["salt-run", "metalk8s_expand.expand", *([f"nodes={','.join(names)}"] if names else [])])


def _seconds(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise SettingsError(f"{name} is {value!r}", hint="write a number of seconds, 0 or more")
    return value


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


def _deployed(observed: Mapping[str, JsonObject], names: Sequence[str] | None = None) -> list[str]:
    """The deployed ones, of these names or of all, whoever declared them: the bootstrap node is declared by nobody."""
    return [name for name, item in observed.items() if plan.is_deployed(item) and (names is None or name in names)]


def _status(node: Node, found: JsonObject | None, at_work: bool = False) -> dict[str, Any]:
    """What is wrong with a node that is being deployed is no problem yet."""
    if at_work:
        return {"state": "in progress", "roles": list(node.roles), "problems": []}
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
    ending = certificates.text(data["certificates"])
    blocks = [
        report.table(("node", "roles", "state"), rows),
        "\n".join(problems),
        report.table(("node", "certificate that ends first", "on", "days left"), ending) if ending else "",
        following.text(data["now"]),
        queue.text(data["queue"]),
        runs,
    ]
    return "\n\n".join(block for block in blocks if block)
