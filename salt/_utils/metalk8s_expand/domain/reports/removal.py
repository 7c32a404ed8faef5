"""Render a removal plan as text for people."""

from __future__ import annotations

from typing import Any


def render_removal_plan(plan: dict[str, Any]) -> str:
    """Return the text of ``RemovalPlan.as_dict()``: refusals, and steps with their reasons."""
    lines = [f"removal of {plan['node']} {plan['digest'][:12]}"]
    if not plan["steps"] and not plan["refused"]:
        lines.append("Nothing to do: the node does not exist.")
    lines += [f"  REFUSED: {reason}" for reason in plan["refused"]]
    width = max((len(step["name"]) for step in plan["steps"]), default=0)
    lines += [f"  {step['name'].ljust(width)}  {step['reason']}" for step in plan["steps"]]
    return "\n".join(lines)
