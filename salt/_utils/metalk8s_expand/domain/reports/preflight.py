"""Render the findings of a preflight: errors first, what several hosts share once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from metalk8s_expand.domain.node.name_ranges import listed
from metalk8s_expand.domain.reports.terminal import similar_texts
from metalk8s_expand.domain.reports.terminal.document import (
    BAD,
    GOOD,
    TITLE,
    WARN,
    Block,
    Entry,
    Paragraph,
    Segment,
    counted,
    described,
    paragraph,
)
from metalk8s_expand.domain.reports.terminal.error import remedy

Object = Mapping[str, Any]

# The most names of nodes in one line.
SHOWN_NODES = 5
STYLES = {"error": BAD, "warning": WARN}


def render_preflight(data: Object) -> list[Block]:
    """Return the document for ``PreflightResult.as_dict()``.

    It has a summary, the unreachable hosts, the findings and the unknown facts.
    """
    blocks = [Block(_summary(data))]
    blocks += unreachable(data["unreachable"])
    entries = [*_findings(data["findings"], "error"), *_findings(data["findings"], "warning")]
    if entries:
        blocks.append(Block(entries=tuple(entries), noun="findings"))
    unknown = [(paragraph(f"- {line}"),) for line in unknown_lines(data["findings"])]
    if unknown:
        title = paragraph(Segment("Unknown, neither passed nor failed:", TITLE))
        blocks.append(Block(title, entries=tuple(unknown), noun="checks"))
    return blocks


def unknown_lines(findings: Iterable[Object]) -> list[str]:
    """Return one line for each check that is unknown, with the number of its nodes and a reason."""
    by_check: dict[str, list[Object]] = {}
    for item in findings:
        if item["severity"] not in STYLES:
            by_check.setdefault(item["check"], []).append(item)
    lines = []
    for check, items in by_check.items():
        nodes = [str(item["node"]) for item in items]
        reasons = {_plain(item["found"]) for item in items}
        shown = ", ".join(nodes[:SHOWN_NODES]) + (", …" if len(nodes) > SHOWN_NODES else "")
        where = f"{len(nodes)} nodes ({shown})" if len(nodes) > 1 else f"node {shown}"
        which = f"on {nodes[0]}, " if len(reasons) > 1 else ""
        reason = "; ".join(filter(None, (_plain(items[0]["found"]), _plain(items[0]["remedy"]))))
        lines.append(f"{check} is unknown on {where}: {which}{reason}")
    return lines


def unreachable(errors: Mapping[str, Object]) -> list[Block]:
    """Return the unreachable hosts with cause and remedy; hosts with the same cause once."""
    if not errors:
        return []
    causes: dict[str, list[str]] = {}
    for name, error in errors.items():
        words = "\n".join(str(error.get(key) or "") for key in ("message", "hint", "log"))
        causes.setdefault(similar_texts.cause(name, words), []).append(name)
    entries = [_unreachable(names, errors) for names in causes.values()]
    return [Block(paragraph(Segment("Unreachable:", BAD)), entries=tuple(entries), noun="causes")]


def _unreachable(names: list[str], errors: Mapping[str, Object]) -> Entry:
    first = errors[names[0]]
    texts = {str(errors[name]["message"]) for name in names}
    head = paragraph(
        Segment(_where(names, len(texts) > 1), TITLE), f": {first['message']}", indent=2
    )
    return (head, *remedy(first, indent=4))


def _where(names: list[str], varies: bool) -> str:
    if len(names) == 1:
        return names[0]
    example = f", such as {names[0]}" if varies else ""
    return f"{listed(names)} ({counted(len(names), 'host')}){example}"


def _summary(data: Object) -> Paragraph:
    severities = [item["severity"] for item in data["findings"]]
    errors, warnings = severities.count("error"), severities.count("warning")
    parts = [
        Segment(_counted(errors, "error", "errors"), BAD),
        Segment(_counted(len(data["unreachable"]), "host unreachable", "hosts unreachable"), BAD),
        Segment(_counted(warnings, "warning", "warnings"), WARN),
        Segment(_counted(len(severities) - errors - warnings, "unknown", "unknown")),
    ]
    result: list[Segment] = []
    for part in parts:
        if part.text:
            result += [*([Segment(", ")] if result else []), part]
    hosts = _counted(len(data["hosts"]), "host", "hosts") or "no host"
    passed = [Segment("all hosts meet the requirements", GOOD)]
    return paragraph(Segment(f"Preflight of {hosts}: ", TITLE), *(result or passed))


def _counted(count: int, one: str, many: str) -> str:
    return counted(count, one, many) if count else ""


def _findings(findings: Iterable[Object], severity: str) -> list[Entry]:
    """Return the findings of one severity; those of one cause once, with their hosts."""
    causes: dict[str, list[Object]] = {}
    for item in findings:
        if item["severity"] == severity:
            words = "\n".join(str(item[key]) for key in ("check", "found", "wanted", "remedy"))
            causes.setdefault(similar_texts.cause(str(item["node"]), words), []).append(item)
    return [_finding(items) for items in causes.values()]


def _finding(items: list[Object]) -> Entry:
    first = items[0]
    severity = first["severity"]
    names = [str(item["node"]) for item in items]
    varies = len({(str(item["found"]), str(item["remedy"])) for item in items}) > 1
    values = described({"found": _plain(first["found"]), "wanted": _plain(first["wanted"])})
    head = paragraph(
        Segment(f"{severity} ", STYLES[severity]),
        Segment(f"{_where(names, varies)} {first['check']}", TITLE),
        f": {values}",
    )
    if not first["remedy"]:
        return (head,)
    return (head, paragraph(Segment("do next:", TITLE), f" {_plain(first['remedy'])}", indent=2))


def _plain(value: object) -> str:
    """Return a value as one line, because facts of a host may contain line breaks."""
    return " ".join(str(value).split())
