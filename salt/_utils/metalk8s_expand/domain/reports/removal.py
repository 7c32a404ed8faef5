"""Render a removal plan as text for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]


def render_removal_plan(plan: Object) -> str:
    """Return the text of ``RemovalPlan.as_dict()``: refusals, the guard, steps with reasons."""
    lines = [f"removal of {plan['node']} {plan['digest'][:12]}"]
    if not plan["steps"] and not plan["refused"]:
        lines.append("Nothing to do: the node does not exist.")
    lines += [f"  REFUSED: {reason}" for reason in plan["refused"]]
    if plan["guard"]:
        lines += [f"  {line}" for line in _guard(plan["guard"])]
    width = max((len(step["name"]) for step in plan["steps"]), default=0)
    lines += [f"  {step['name'].ljust(width)}  {step['reason']}" for step in plan["steps"]]
    return "\n".join(lines)


def _guard(guard: Object) -> list[str]:
    """Return the verdict of the guard; the refusals of the plan contain its problems."""
    lines = [f"The guard {'agrees' if guard['agrees'] else 'refuses'}."]
    if guard["etcd"] is None:
        return [*lines, "etcd: the node has no member, so its tolerance does not change"]
    before, after = guard["etcd"]["before"], guard["etcd"]["after"]
    return [*lines, f"etcd before: {_tolerance(before)}", f"etcd after:  {_tolerance(after)}"]


def _tolerance(etcd: Object) -> str:
    failures = etcd["failures"]
    if failures < 0:
        survives = "has no quorum"
    elif failures == 0:
        survives = "tolerates no further failure"
    else:
        survives = f"tolerates {failures} further failure{'s' if failures > 1 else ''}"
    voters = f"{etcd['voters']} voter{'' if etcd['voters'] == 1 else 's'}"
    return f"{voters}, {etcd['healthy']} healthy, {etcd['needed']} needed: {survives}"
