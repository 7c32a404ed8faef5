"""Convert a result of the runner into the return of a Salt state: result, changes and comment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.domain.reports import plan as foresight
from metalk8s_expand.domain.reports import run

# The steps that change something; the other steps only check.
CHANGING = (plan.REGISTER, plan.DEPLOY, plan.UNCORDON)

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
        changes, comment = (
            {} if answer["refusal"] else _planned(answer),
            foresight.render_plan(answer),
        )
        result = None if changes else True
        if answer["refusal"]:
            result = False
    elif "nodes" in answer:
        changes, comment, result = (
            _done(answer),
            run.render_report(answer),
            answer.get("retcode") == 0,
        )
    else:
        comment = f"the runner returned no report: {str(dict(answer))[:2000]}"
    return {"name": name, "result": result, "changes": changes, "comment": comment}


def _error(error: object) -> str:
    return (
        str(error.get("text") or error.get("message")) if isinstance(error, Mapping) else str(error)
    )


def _planned(answer: Mapping[str, Any]) -> Changes:
    nodes = (*answer["control_plane"], *answer["workers"])
    steps = {
        node["node"]: [step["name"] for step in node["steps"] if step["name"] in CHANGING]
        for node in nodes
    }
    return {name: found for name, found in steps.items() if found}


def _done(answer: Mapping[str, Any]) -> Changes:
    """Return the changing steps that ran, by node.

    Failed steps are included, because a step may have changed something before it failed.
    """
    steps = {
        node["name"]: [
            step["name"] if step["ok"] else f"{step['name']}: failed"
            for step in node["steps"]
            if step["name"] in CHANGING
        ]
        for node in answer["nodes"]
    }
    return {name: found for name, found in steps.items() if found}
