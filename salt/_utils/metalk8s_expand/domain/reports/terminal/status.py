"""Render the state of the cluster: nodes with problems first, runs, and where values come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.domain.node.name_ranges import listed
from metalk8s_expand.domain.reports.history import render_history
from metalk8s_expand.domain.reports.terminal import similar_texts
from metalk8s_expand.domain.reports.terminal.document import (
    BAD,
    GOOD,
    TITLE,
    WARN,
    Block,
    Entry,
    Row,
    Segment,
    list_block,
    paragraph,
)
from metalk8s_expand.domain.reports.terminal.overview import render_overview
from metalk8s_expand.domain.runs import queue_rules

Object = Mapping[str, Any]

READY = "ready"
# More nodes than these are shown together if they have the same roles and state.
ONE_BY_ONE = 16
# So many certificates are shown, those that end first.
CERTIFICATES = 5


def render_status(data: Object, active: str) -> list[Block]:
    """Return the document for the result of ``status``, with the text of the active run."""
    known = [*data["nodes"], *data["undeclared"]]
    blocks = [render_overview(data["overview"]), _nodes(data)]
    problems = [("", problem) for problem in data["overview"]["etcd"]["problems"]]
    for name, item in (*data["nodes"].items(), *data["undeclared"].items()):
        problems += [(name, problem) for problem in item["problems"]]
    if problems:
        texts = similar_texts.sentences([problem for _, problem in problems], known)
        blocks.append(list_block(paragraph(Segment("Problems:", BAD)), texts, "problems"))
    if data["certificates"]:
        blocks.append(render_certificates(data["certificates"]))
    if active:
        blocks.append(similar_texts.block(active, "nodes", known))
    if data["queue"]:
        blocks.append(similar_texts.block(queue_rules.text(data["queue"]), "requests", known))
    return [*blocks, render_history(data["history"]), _configuration(data["configuration"])]


def _nodes(data: Object) -> Block:
    """Return one row for each node, or for those of the same state; ready nodes come last."""
    states: list[tuple[str, str, str]] = []
    for name, item in data["nodes"].items():
        states.append((name, ", ".join(item["roles"]), item["state"]))
    for name, item in data["undeclared"].items():
        states.append((name, ", ".join(item["roles"]), f"{item['state']}, not declared"))
    if len(states) > ONE_BY_ONE:
        states.sort(key=lambda row: row[2].startswith(READY))
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, roles, state in states:
        key = (roles, state) if len(states) > ONE_BY_ONE else (roles, state, name)
        groups.setdefault(key, []).append(name)
    rows: list[Row] = []
    for (roles, state, *_), names in groups.items():
        number = f" ({len(names)})" if len(names) > 1 else ""
        rows.append((listed(names) + number, roles, Segment(state, _style(state))))
    return Block(header=("node", "roles", "state"), rows=tuple(rows), noun="rows")


def _style(state: str) -> str:
    if state.startswith(READY):
        return GOOD
    return BAD if state.startswith("not ready") else WARN


def render_certificates(rows: Mapping[str, Object]) -> Block:
    """Return the certificates that end first, and the nodes whose certificates are unknown."""
    known = [(name, row) for name, row in rows.items() if "days_left" in row]
    known.sort(key=lambda item: float(item[1]["days_left"]))
    cells: list[Row] = []
    for name, row in known[:CERTIFICATES]:
        cells.append((name, row["first"], row["not_after"], str(row["days_left"])))
    unknown = [(name, str(row["unknown"])) for name, row in rows.items() if "unknown" in row]
    entries: list[Entry] = []
    for item in similar_texts.by_name(unknown):
        entries.append((paragraph(f"- {item}"),))
    more = len(known) - len(cells)
    title = "Certificates that end first:" if cells else "Certificates are unknown:"
    if more:
        title = f"Certificates that end first, of {len(known)} nodes:"
    header = ("node", "certificate", "ends on", "days left")
    return Block(paragraph(Segment(title, TITLE)), header, tuple(cells), tuple(entries), "nodes")


def _configuration(configuration: Object) -> Block:
    """Return one line for each value, with its source, and one for each problem."""
    kubeconfig = configuration["kubeconfig"]
    context = f", context {kubeconfig['context']}" if kubeconfig["context"] else ""
    lines = [f"Kubeconfig: {kubeconfig['path']}{context}, from {kubeconfig['source']}"]
    for key, item in configuration["cluster"].items():
        lines.append(f"{key}: {', '.join(item['value'])}, from {item['source']}")
    lines += [f"- {problem}" for problem in configuration["problems"]]
    return Block(entries=_entries(lines), noun="values")


def _entries(lines: Sequence[str]) -> tuple[Entry, ...]:
    return tuple((paragraph(line),) for line in lines)
