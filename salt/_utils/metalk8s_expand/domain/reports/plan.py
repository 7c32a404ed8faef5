"""Render what an expansion would do: the plan, the host preflight, and a possible refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.reports import preflight, run


def render_plan(data: Mapping[str, Any]) -> str:
    """Return the text for the result of ``plan`` or of a dry run of ``expand``."""
    blocks = [run.render_report_plan(data)]
    if "preflight" in data:
        blocks.append(preflight.render_preflight(data["preflight"]))
    blocks += [f"Warning: {warning}" for warning in data["warnings"]]
    if "refusal" in data:
        blocks.append(_verdict(data["refusal"]))
    return "\n\n".join(blocks)


def _verdict(refusal: Mapping[str, Any] | None) -> str:
    if refusal is None:
        return "Nothing was changed: this was a dry run. The run itself would start."
    return (
        "Nothing was changed: this was a dry run. The run itself would be"
        f" refused:\n{refusal['text']}"
    )
