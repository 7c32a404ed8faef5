"""Render the health of the cluster: its overview, what ends or ended last, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.reports.history import render_history
from metalk8s_expand.domain.reports.plan import warning_blocks
from metalk8s_expand.domain.reports.terminal.document import (
    GOOD,
    Block,
    Segment,
    counted,
    text_block,
)
from metalk8s_expand.domain.reports.terminal.error import render_error
from metalk8s_expand.domain.reports.terminal.overview import render_overview
from metalk8s_expand.domain.reports.terminal.status import render_certificates

Object = Mapping[str, Any]


def render_health(data: Object) -> list[Block]:
    """Return the document for the result of ``health``. The verdict comes last."""
    blocks = [render_overview(data["overview"])]
    if data["certificates"]:
        blocks.append(render_certificates(data["certificates"]))
    blocks.append(render_history(data["history"]))
    blocks += warning_blocks(data["warnings"])
    if data.get("error"):
        return blocks + render_error(data["error"])
    checked = counted(data["nodes"], "declared node")
    blocks.append(text_block(Segment("Healthy: ", GOOD), f"no check found a problem; {checked}"))
    return blocks
