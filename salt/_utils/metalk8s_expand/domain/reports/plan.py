"""Render what an expansion would do: the plan, the host preflight, and a possible refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.reports import preflight, run


def render_plan(data: Mapping[str, Any]) -> str:
    """Return the text for the result of ``plan`` or of a dry run of ``expand``.

    The refusal of the run comes first: it may explain the problems of the nodes.
    """
    blocks = [_refusal(data["refusal"])] if data["refusal"] else []
    blocks.append(run.render_report_plan(data))
    if "preflight" in data:
        blocks.append(preflight.render_preflight(data["preflight"]))
    blocks += [f"Warning: {warning}" for warning in data["warnings"]]
    if data.get("dry_run"):
        verdict = "would be refused, as above" if data["refusal"] else "would start"
        blocks.append(f"Nothing was changed: this was a dry run. The run itself {verdict}.")
    return "\n\n".join(blocks)


def _refusal(refusal: Mapping[str, Any]) -> str:
    return f"expand would be refused (exit code {refusal['retcode']}):\n{refusal['text']}"
