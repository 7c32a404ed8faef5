"""Render the result of an SSH check: usable hosts, and failed hosts with cause and remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.reports import preflight, run

Object = Mapping[str, Any]


def render_ssh(data: Object) -> str:
    """Return the text for the result of ``check_ssh``."""
    reached, unreachable = data["reached"], data["unreachable"]
    rows = [(name, found["python"], f"{found['seconds']:.1f}") for name, found in reached.items()]
    blocks = [
        f"SSH to {len(reached) + len(unreachable)} hosts: {len(reached)} can be used, {len(unreachable)} cannot",
        run.table(("host", "python", "seconds"), rows) if rows else "",
        preflight.unreachable(unreachable),
        *(f"Warning: {warning}" for warning in data["warnings"]),
    ]
    return "\n\n".join(block for block in blocks if block)
