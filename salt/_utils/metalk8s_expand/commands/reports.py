"""Save the report of a run, and implement ``report``, ``logs`` and ``trees``, which show what the
report points to.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
from metalk8s_expand.domain.reports.earlier_runs import digest_of
from metalk8s_expand.domain.reports.history import summary
from metalk8s_expand.domain.reports.page.outcome import function_of
from metalk8s_expand.domain.reports.page.render import render_page
from metalk8s_expand.domain.reports.run import render_report
from metalk8s_expand.domain.reports.trace import trace
from metalk8s_expand.errors import ExpandError, Problem, SettingsError, visible
from metalk8s_expand.runs.context import RunContext

log = logging.getLogger(__name__)

DEPLOYMENT = "metalk8s/orchestrate/deploy_node.sls"
TEXT, HTML, TRACE = "text", "html", "trace"
FORMATS = (TEXT, HTML, TRACE)
# The page compares a run with this number of earlier ones, from this number of newest reports.
COMPARED, READ = 8, 20


def report(
    ctx: CommandContext, run: str | None, form: object = None, content: bool = False
) -> Result | str:
    """Return the report of a run, by default of the last one, in one of ``FORMATS``.

    With ``html``, return the path of the page or its ``content``. Raises SettingsError without a
    report, or if an argument is wrong.
    """
    arguments.flags(content=content)
    wanted = form or TEXT
    if wanted not in FORMATS or (content and wanted != HTML):
        problem = "content=True needs format=html"
        if wanted not in FORMATS:
            problem = f"format is {form!r}: write {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise SettingsError(WRONG_ARGUMENTS, problems=[problem])
    saved = cache.reports_by_run(ctx.opts)
    name = str(run) if run else next(reversed(saved), "")
    if name not in saved:
        raise SettingsError(
            f"there is no report {name!r}",
            hint="the runs are in: salt-run metalk8s_expand.status",
        )
    data = json.loads(saved[name].read_text(encoding="utf-8"))
    if wanted == HTML:
        return _page(ctx, name, data, content)
    if wanted == TRACE:
        # A file for Perfetto must be JSON also without --out=json.
        return json.dumps(trace(data)) if ctx.for_people else trace(data)
    return ctx.render(render_report, data, exit_code=False)


def save_report(run: RunContext, data: Result) -> Result:
    """Save the report of the active run and its page; return it with its file as ``log``.

    A page that cannot be written is a note in the report, not a failure of the run.
    """
    opts = run.cluster.opts
    try:
        data["page"] = str(_save_page(opts, str(data["id"]), data))
    except Exception as error:
        log.exception("run %s: the page of the report was not written", data["id"])
        reason = f"{type(error).__name__}: {error}"
        data["notes"].append(visible(f"the page of the report was not written: {reason}"))
    data["log"] = str(cache.save_report(opts, data))
    run.exit_code["retcode"] = data["retcode"]
    return data


def history(runs: Mapping[str, Path], newest: int) -> list[Result]:
    """Return the ``newest`` of these past runs with command, outcome and duration.

    ``runs`` are the files of the reports by run, the newest run last.
    """
    return [summary(run, cache.load_report(runs[run])) for run in list(runs)[-newest:]]


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


def _page(ctx: CommandContext, name: str, data: Result, content: bool) -> Result | str:
    """Return the path or the content of a page. Make the page of a run that has none."""
    path = cache.page_path(ctx.opts, name)
    if not path.is_file():
        path = _save_page(ctx.opts, name, data)
    if content:
        return path.read_text(encoding="utf-8")
    return ctx.render(lambda page: str(page["page"]), {"page": str(path)})


def _save_page(opts: Mapping[str, Any], name: str, data: Result) -> Path:
    # The report has keys and values of foreign systems, so the page gets what a file would hold.
    plain = json.loads(json.dumps(data, default=str))
    return cache.save_page(opts, name, render_page(plain, _earlier(opts, name, plain)))


def _earlier(opts: Mapping[str, Any], name: str, data: Result) -> list[Result]:
    """Return the digests of the last runs of the same function before this one, the oldest first.

    At most ``READ`` reports are read, since one of a fleet has megabytes.
    """
    before = [path for run, path in cache.reports_by_run(opts).items() if run < name]
    digests: list[Result] = []
    for path in reversed(before[-READ:]):
        other = cache.load_report(path)
        if other and function_of(other) == function_of(data):
            digests.insert(0, digest_of(other))
        if len(digests) == COMPARED:
            break
    return digests


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
