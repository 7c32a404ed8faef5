"""What a run of the runner means as the outcome of a Salt state: its verdict, what was or would be changed, the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.domain.reports import plan as foresight
from metalk8s_expand.domain.reports import run

# The steps that change something; the others look.
CHANGING = (plan.REGISTER, plan.DEPLOY, plan.UNCORDON)

Changes = dict[str, list[str]]


def state_result(name: str, answer: object) -> dict[str, Any]:
    """The state's return, for what ``expand`` or ``add_node`` returned; anything else is a failure.

    A dry run that found something to do, and nothing against it, is neither success nor failure.
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
    """What has begun may have changed something, though it failed."""
    steps = {
        node["name"]: [
            step["name"] if step["ok"] else f"{step['name']}: failed"
            for step in node["steps"]
            if step["name"] in CHANGING
        ]
        for node in answer["nodes"]
    }
    return {name: found for name, found in steps.items() if found}
