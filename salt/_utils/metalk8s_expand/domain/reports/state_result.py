"""Convert a result of the runner into the return of a Salt state: result, changes and comment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.domain.reports import plan as foresight
from metalk8s_expand.domain.reports import run
from metalk8s_expand.domain.reports.terminal.document import text_of

# The steps that change something; the other steps only check.
CHANGING = (plan.REGISTER, plan.RECONNECT, plan.PREPARE, plan.DEPLOY, plan.UNCORDON)

Changes = dict[str, list[str]]


def state_result(name: str, answer: object) -> dict[str, Any]:
    """Return the state's return for the result of ``expand`` or ``add_node``.

    Any other value is a failure. A dry run with planned changes and no refusal has the result None.
    """
    result: bool | None = False
    changes: Changes = {}
    if not isinstance(answer, Mapping):
        comment = f"the runner returned no report: {str(answer)[:2000]}"
    elif "error" in answer:
        comment = _error(answer["error"])
    elif answer.get("dry_run"):
        changes = {} if answer["refusal"] else _planned(answer)
        comment = text_of(foresight.render_plan(answer))
        result = None if changes else True
        if answer["refusal"]:
            result = False
    elif "nodes" in answer:
        changes = _done(answer)
        comment = text_of(run.render_report(answer))
        result = answer.get("retcode") == 0
    else:
        comment = f"the runner returned no report: {str(dict(answer))[:2000]}"
    return {"name": name, "result": result, "changes": changes, "comment": comment}


def _error(error: object) -> str:
    return (
        str(error.get("text") or error.get("message")) if isinstance(error, Mapping) else str(error)
    )


def _planned(answer: Mapping[str, Any]) -> Changes:
    changes: Changes = {}
    for node in (*answer["control_plane"], *answer["workers"]):
        names = [step["name"] for step in node["steps"] if step["name"] in CHANGING]
        if names:
            changes[node["node"]] = names
    return changes


def _done(answer: Mapping[str, Any]) -> Changes:
    """Return the changing steps that ran, by node.

    Failed steps are included, because a step may have changed something before it failed.
    """
    changes: Changes = {}
    for node in answer["nodes"]:
        steps = []
        for step in node["steps"]:
            if step["name"] in CHANGING:
                steps.append(step["name"] if step["ok"] else f"{step['name']}: failed")
        if steps:
            changes[node["name"]] = steps
    return changes
