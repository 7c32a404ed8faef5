"""Render the result of an SSH check: failed hosts with cause and remedy, then usable hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.node.name_ranges import listed
from metalk8s_expand.domain.reports import preflight
from metalk8s_expand.domain.reports.plan import warning_blocks
from metalk8s_expand.domain.reports.terminal.document import (
    BAD,
    GOOD,
    TITLE,
    Block,
    Row,
    Segment,
    counted,
    paragraph,
    text_block,
)

Object = Mapping[str, Any]
# More hosts than these are shown together if they have the same Python.
ONE_BY_ONE = 20


def render_ssh(data: Object) -> list[Block]:
    """Return the document for the result of ``check_ssh``."""
    reached, unreachable = data["reached"], data["unreachable"]
    hosts = counted(len(reached) + len(unreachable), "host")
    failed = Segment(f"{len(unreachable)} cannot", BAD if unreachable else "")
    usable = Segment(f"{len(reached)} can be used", GOOD if reached else "")
    blocks = [Block(paragraph(Segment(f"SSH to {hosts}: ", TITLE), usable, ", ", failed))]
    blocks += preflight.unreachable(unreachable)
    if reached:
        header = ("host", "python", "seconds")
        blocks.append(Block(header=header, rows=_rows(reached), noun="rows"))
    for note, names in _notes(reached).items():
        blocks.append(text_block(Segment("Note: ", TITLE), f"{listed(names)}: {note}"))
    return [*blocks, *warning_blocks(data["warnings"])]


def _rows(reached: Object) -> tuple[Row, ...]:
    groups: dict[str, list[str]] = {}
    for name, answer in reached.items():
        groups.setdefault(name if len(reached) <= ONE_BY_ONE else answer["python"], []).append(name)
    rows = []
    for names in groups.values():
        slowest = max(reached[name]["seconds"] for name in names)
        number = f" ({len(names)})" if len(names) > 1 else ""
        at_most = "≤ " if len(names) > 1 else ""
        python = str(reached[names[0]]["python"])
        rows.append((f"{listed(names)}{number}", python, f"{at_most}{slowest:.1f}"))
    return tuple(rows)


def _notes(reached: Object) -> dict[str, list[str]]:
    """Return the hosts of each note."""
    hosts: dict[str, list[str]] = {}
    for name, answer in reached.items():
        if answer.get("note"):
            hosts.setdefault(answer["note"], []).append(name)
    return hosts
