"""Fake cluster, master and pillar for the functions of the runner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from metalk8s_expand.commands import (
    arguments,
    expand,
    health,
    node_object,
    plan,
    preflight,
    queue,
    remove_node,
    reports,
    status,
    stop,
)
from metalk8s_expand.commands.arguments import ExpandOptions, ExpandRequest
from metalk8s_expand.commands.context import CommandContext, Connect
from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.domain.node import manifest
from metalk8s_expand.runs.progress import Progress
from tests.fakes.minions import FakeMinions
from tests.fakes.nodes import READY
from tests.fakes.operator import FakeOperator

PILLAR: dict[str, Any] = {
    "defaults": {"version": "2.0"},
    "nodes": {
        "w-1": {"profile": "worker", "address": "10.0.0.3"},
        "w-2": {"profile": "worker", "address": "10.0.0.4"},
        "i-1": {"profile": "infra", "address": "10.0.0.5"},
    },
}


class RunnerCalls:
    """The runner's functions, bound to one context, with the arguments of the runner plugin."""

    def __init__(self, ctx: CommandContext) -> None:
        self.ctx = ctx

    @classmethod
    def on(cls, opts: Mapping[str, Any], clock: Any, connect: Connect) -> RunnerCalls:
        """Return calls on the cluster that ``connect`` returns; their events are recorded."""
        progress = Progress(opts, clock)
        return cls(CommandContext(opts, clock, progress, Heard(), minions(), connect))  # type: ignore[arg-type]

    def asking(self, operator: FakeOperator) -> RunnerCalls:
        """Return these calls with an operator, who calls them with ``salt-run``."""
        opts = {
            **self.ctx.opts,
            "__cli": "salt-run",
            "fun": "metalk8s_expand.expand",
            "output": "json",
        }
        return RunnerCalls(replace(self.ctx, opts=opts, operator=operator))

    def __getattr__(self, name: str) -> Any:
        """Return the attribute of the context, or the function of this name for this context."""
        if name in FUNCTIONS:
            return partial(FUNCTIONS[name], self.ctx)
        return getattr(self.ctx, name)

    def plan(
        self,
        nodes: Any = None,
        overrides: Any = None,
        preflight: Any = False,
        profiles: Any = None,
        max_parallel: Any = None,
        redeploy: Any = False,
    ) -> dict[str, Any]:
        request = ExpandRequest.parse(nodes, profiles, overrides, max_parallel)
        return plan.plan(self.ctx, request.with_redeploy(redeploy), preflight)

    def expand(
        self,
        nodes: Any = None,
        profiles: Any = None,
        max_parallel: Any = None,
        redeploy: Any = False,
        confirm: Any = False,
        **options: Any,
    ) -> dict[str, Any]:
        request = ExpandRequest.parse(nodes, profiles, None, max_parallel).with_redeploy(redeploy)
        chosen = ExpandOptions.parse(**options).with_confirm(confirm)
        return expand.expand_or_preview(self.ctx, request, chosen)

    def add_node(
        self, name: Any, overrides: Any = None, confirm: Any = False, **options: Any
    ) -> dict[str, Any]:
        request = arguments.one(name, overrides)
        chosen = ExpandOptions.parse(**options).with_confirm(confirm)
        return expand.expand_or_preview(self.ctx, request, chosen)

    def remove_node(
        self, name: Any, wait_s: Any = 0, dry_run: Any = False, **options: Any
    ) -> dict[str, Any]:
        return remove_node.remove_or_preview(self.ctx, name, wait_s, dry_run, **options)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "manifest": node_object.manifest,
    "declare": node_object.declare,
    "register": node_object.register,
    "check_ssh": preflight.check_ssh,
    "preflight": preflight.preflight,
    "request": queue.request,
    "work": queue.work,
    "status": status.status,
    "health": health.health,
    "stop": stop.stop,
    "report": reports.report,
    "logs": reports.logs,
    "trees": reports.trees,
}


class Heard:
    """The event bus of the master."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, Any]]] = []

    def fire(self, tag: str, payload: Mapping[str, Any]) -> bool:
        self.events.append((tag, payload))
        return True


def certificate(days: float) -> Callable[[str], dict[str, Any]]:
    """Return the answer of minions that each have one certificate, which ends in ``days`` days."""
    entry = {
        "path": "/etc/kubernetes/pki/kubelet-client.crt", "serial": "1", "key": "fits",
        "not_after": "2027-01-01T00:00:00Z", "seconds_left": int(days * 86400),
    }  # fmt: skip
    return lambda name: {"kubelet-client": entry}


def minions() -> FakeMinions:
    """Return minions whose certificates do not end soon."""
    return FakeMinions(every=certificate(300.0))


def node(name: str, deployed: bool = True) -> dict[str, Any]:
    """Return a declared Node as the API returns it."""
    body = manifest.manifest(settings.parse(PILLAR).node(name))
    return {**body, "status": {**READY, "nodeInfo": {"kubeletVersion": "v1"}} if deployed else {}}
