"""Save the report of a run, and implement ``report``, ``logs`` and ``trees``, which show what the
report points to.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from metalk8s_expand.clients.salt import cache
from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.cluster import roster
from metalk8s_expand.cluster.context import from_observed
from metalk8s_expand.cluster.node_logs import MOST_LINES, fetch_node_logs
from metalk8s_expand.commands import arguments
from metalk8s_expand.commands.context import CommandContext, Result
from metalk8s_expand.domain.declaration.settings import WRONG_ARGUMENTS, Settings
from metalk8s_expand.domain.node.node_logs import render_node_logs
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.parsing.reader import suggestion
from metalk8s_expand.domain.reports.run import render_report
from metalk8s_expand.errors import ExpandError, Problem, SettingsError
from metalk8s_expand.runs.context import RunContext

DEPLOYMENT = "metalk8s/orchestrate/deploy_node.sls"


def report(ctx: CommandContext, run: str | None) -> Result:
    """Return the report of a run, by default of the last one. Raises SettingsError without it."""
    saved = cache.reports_by_run(ctx.opts)
    name = str(run) if run else next(reversed(saved), "")
    if name not in saved:
        raise SettingsError(
            f"there is no report {name!r}",
            hint="the runs are in: salt-run metalk8s_expand.status",
        )
    data = json.loads(saved[name].read_text(encoding="utf-8"))
    return ctx.render(render_report, data, exit_code=False)


def save_report(run: RunContext, data: Result) -> Result:
    """Save the report of the active run and return it with its file as ``log``."""
    data["log"] = str(cache.save_report(run.cluster.opts, data))
    run.exit_code["retcode"] = data["retcode"]
    return data


def logs(ctx: CommandContext, node: object, lines: object) -> Result:
    """Return the last lines of the logs of a node. Nothing is changed.

    A declared node needs no API server. Raises SettingsError for an unknown node, and
    UnreachableError if the host cannot be reached.
    """
    name = str(arguments.one(node).selection.single)
    most = arguments.whole_number("lines", lines, MOST_LINES)
    settings = ctx.declaration()
    _ensure_known(ctx, settings, name)

    def target() -> Target:
        access = roster.access_from(ctx.opts, settings)
        return roster.ssh_targets([_described(ctx, settings, name)], access)[0]

    data = fetch_node_logs(name, most, ctx.minions, target, settings.ssh_timeout)
    return ctx.render(render_node_logs, {"node": name, "lines": most, **data})


def _ensure_known(ctx: CommandContext, settings: Settings, name: str) -> None:
    """Raise SettingsError for a name that is no declared node, no minion and no Node."""
    if name in settings.nodes or ctx.minions.accepted([name]):
        return
    if ctx.cluster.kube.node(name) is None:
        remedy = suggestion(name, [*settings.nodes, *sorted(ctx.minions.accepted())])
        problem = Problem("node", name, "is no declared node, no Node and no minion", remedy)
        raise SettingsError(WRONG_ARGUMENTS, problems=[problem])


def _described(ctx: CommandContext, settings: Settings, name: str) -> Node:
    """Return a node from its declaration, else from the annotations of its Node object."""
    if name in settings.nodes:
        return settings.nodes[name]
    node_obj = ctx.cluster.kube.node(name)
    if node_obj is None:
        raise ExpandError("neither the pillar nor a Node has its address", node=name)
    return from_observed(node_obj)


def trees(ctx: CommandContext) -> Result:
    """Return where the library is, and the roots that serve the deployment, by saltenv."""
    library = Path(sys.modules["metalk8s_expand"].__file__ or "").resolve().parent
    packaged, beside = library / "srv" / "salt", library / "srv" / "beside"
    served = {}
    for saltenv, roots in (ctx.opts.get("file_roots") or {}).items():
        with_deployment = [str(root) for root in roots if (Path(root) / DEPLOYMENT).is_file()]
        if with_deployment:
            served[saltenv] = with_deployment
    return {
        "library": str(library),
        "packaged": str(packaged) if packaged.is_dir() else None,
        "packaged_beside": str(beside) if beside.is_dir() else None,
        "served": served,
    }
