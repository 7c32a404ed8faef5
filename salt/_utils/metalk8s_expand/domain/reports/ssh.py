"""Render the result of an SSH check: usable hosts, and failed hosts with cause and remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.reports import preflight, run

Object = Mapping[str, Any]


def render_ssh(data: Object) -> str:
    """Return the text for the result of ``check_ssh``."""
    reached, unreachable = data["reached"], data["unreachable"]
    hosts = len(reached) + len(unreachable)
    blocks = [f"SSH to {hosts} hosts: {len(reached)} can be used, {len(unreachable)} cannot"]
    rows = []
    for name, answer in reached.items():
        rows.append((name, answer["python"], f"{answer['seconds']:.1f}"))
    if rows:
        blocks.append(run.table(("host", "python", "seconds"), rows))
    blocks += _notes(reached)
    if unreachable:
        blocks.append(preflight.unreachable(unreachable))
    blocks += [f"Warning: {warning}" for warning in data["warnings"]]
    return "\n\n".join(blocks)


def _notes(reached: Object) -> list[str]:
    """Return each note once, with the hosts that it concerns."""
    hosts: dict[str, list[str]] = {}
    for name, answer in reached.items():
        if answer.get("note"):
            hosts.setdefault(answer["note"], []).append(name)
    return [f"Note: {', '.join(names)}: {note}" for note, names in hosts.items()]
