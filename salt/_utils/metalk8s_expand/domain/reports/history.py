"""Summarize past runs from their reports: command, outcome, nodes and duration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.domain.reports.terminal.document import (
    BAD,
    GOOD,
    Block,
    Row,
    Segment,
    text_block,
)
from metalk8s_expand.errors import visible

Object = Mapping[str, Any]
SALT_RUN = "salt-run metalk8s_expand."


def summary(run: str, report: Object | None) -> dict[str, Any]:
    """Return one run of the history; without a readable report, its ID alone.

    ``failed`` counts the nodes that failed or were skipped, ``elapsed`` is in seconds.
    """
    if report is None:
        return {"id": run, "command": None, "ok": None, "retcode": None, "nodes": None,
                "failed": None, "elapsed": None}  # fmt: skip
    nodes = report.get("nodes") or ()
    failed = 0
    for node in nodes:
        if not node.get("ok"):
            failed += 1
    command = report.get("command")
    return {
        "id": run,
        "command": visible(command) if command else None,
        "ok": bool(report.get("ok")),
        "retcode": report.get("retcode"),
        "nodes": len(nodes),
        "failed": failed,
        "elapsed": report.get("elapsed"),
    }


def render_history(rows: Sequence[Object]) -> Block:
    """Return the runs as a table, the newest first."""
    if not rows:
        return text_block("Runs: none")
    cells: list[Row] = []
    for row in reversed(rows):
        if row["ok"] is None:
            cells.append((row["id"], "(no readable report)", "", "", ""))
            continue
        outcome = Segment(f"FAILED ({row['retcode']})", BAD)
        if row["ok"]:
            outcome = Segment("succeeded", GOOD)
        nodes = f"{row['nodes'] - row['failed']} of {row['nodes']}" if row["nodes"] else "none"
        command = (row["command"] or "-").removeprefix(SALT_RUN)
        cells.append((row["id"], command, outcome, nodes, f"{float(row['elapsed'] or 0):.0f}"))
    header = ("run", "command", "outcome", "nodes done", "seconds")
    return Block(header=header, rows=tuple(cells), noun="runs")
