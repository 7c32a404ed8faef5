"""Save the report of a run, and implement ``report`` and ``trees``, which show saved reports and
files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from metalk8s_expand.clients.salt import cache
from metalk8s_expand.commands.context import CommandContext, Result
from metalk8s_expand.domain.reports.run import render_report
from metalk8s_expand.errors import SettingsError
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
