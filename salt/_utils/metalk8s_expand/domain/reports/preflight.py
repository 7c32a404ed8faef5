"""Render the findings of a preflight as a table: errors first, unknown facts as notes below it."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]
Row = Sequence[str]

# Salt indents its output by four columns.
WIDTH = 116
GAP = "  "
# A path or an identity of at most this length is wrapped only if no other column can shrink.
LONG_WORD = 40
# The most names of nodes in one line.
SHOWN_NODES = 5
HEADER = ("host", "severity", "check", "found", "wanted", "remedy")
TABLED = ("error", "warning")


def render_preflight(data: Object) -> str:
    """Return the text for ``PreflightResult.as_dict()``.

    It has a summary, the table of findings, the unreachable hosts and the notes.
    """
    rows: list[Row] = []
    for severity in TABLED:
        rows += _rows(data["findings"], severity)
    notes = []
    for line in unknown_lines(data["findings"]):
        notes.append(_paragraph(line, "- ", "  "))
    blocks = [_summary(data)]
    if rows:
        blocks.append(wrapped_table(HEADER, rows))
    if data["unreachable"]:
        blocks.append(unreachable(data["unreachable"]))
    if notes:
        blocks.append("\n".join(["Unknown, neither passed nor failed:", *notes]))
    return "\n\n".join(blocks)


def unknown_lines(findings: Iterable[Object]) -> list[str]:
    """Return one line for each check that is unknown, with the number of its nodes and a reason."""
    by_check: dict[str, list[Object]] = {}
    for item in findings:
        if item["severity"] not in TABLED:
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


def unreachable(errors: Mapping[str, Object]) -> str:
    """Return the unreachable hosts with cause and remedy; an empty string if there are none."""
    if not errors:
        return ""
    hosts = [_unreachable(name, error) for name, error in errors.items()]
    return "\n".join(["Unreachable:", *hosts])


def wrapped_table(header: Row, rows: Sequence[Row], width: int = WIDTH) -> str:
    """Return a table whose columns are as wide as their widest cell.

    If the table is wider than ``width``, the widest columns shrink and their cells wrap.
    """
    lines = [header, *rows]
    columns = list(zip(*lines, strict=True))
    natural = [max(map(len, column)) for column in columns]
    least = []
    for column in columns:
        words = " ".join(column).split()
        least.append(min(max(map(len, words), default=1), LONG_WORD))
    widths = _fitted(natural, least, width - len(GAP) * (len(header) - 1))
    printed = []
    for line in lines:
        printed += _wrapped(line, widths)
    return "\n".join(printed)


def _fitted(natural: Sequence[int], words: Sequence[int], available: int) -> list[int]:
    """Return column widths that fit into the available width; the widest columns shrink first.

    A column becomes narrower than its longest word only if no other column can shrink.
    """
    fitted = list(natural)
    for least in (words, [1] * len(fitted)):
        while sum(fitted) > available:
            wide = [i for i, size in enumerate(fitted) if size > least[i]]
            if not wide:
                break
            fitted[max(wide, key=fitted.__getitem__)] -= 1
    return fitted


def _wrapped(row: Row, widths: Sequence[int]) -> list[str]:
    cells = [_lines(cell, width) for cell, width in zip(row, widths, strict=True)]
    printed = []
    for parts in itertools.zip_longest(*cells, fillvalue=""):
        padded = [part.ljust(width) for part, width in zip(parts, widths, strict=True)]
        printed.append(GAP.join(padded).rstrip())
    return printed


def _lines(cell: str, width: int) -> list[str]:
    """Wrap a cell at spaces, so that commands, paths and names stay whole if they fit."""
    return textwrap.wrap(cell, width, break_on_hyphens=False) or [""]


def _summary(data: Object) -> str:
    severities = [item["severity"] for item in data["findings"]]
    errors, warnings = severities.count("error"), severities.count("warning")
    counts = [
        _counted(errors, "error", "errors"),
        _counted(warnings, "warning", "warnings"),
        _counted(len(data["unreachable"]), "host unreachable", "hosts unreachable"),
        _counted(len(severities) - errors - warnings, "unknown", "unknown"),
    ]
    hosts = _counted(len(data["hosts"]), "host", "hosts") or "no host"
    result = ", ".join(filter(None, counts)) or "all hosts meet the requirements"
    return f"preflight of {hosts}: {result}"


def _counted(count: int, one: str, many: str) -> str:
    if not count:
        return ""
    return f"{count} {one if count == 1 else many}"


def _rows(findings: Iterable[Object], severity: str) -> list[Row]:
    """Return the rows of the findings of one severity; only a host's first row has its name."""
    rows: list[Row] = []
    before = None
    for item in findings:
        if item["severity"] == severity:
            host = "" if item["node"] == before else str(item["node"])
            cells = [_plain(item[key]) for key in ("check", "found", "wanted", "remedy")]
            rows.append((host, severity, *cells))
            before = item["node"]
    return rows


def _plain(value: object) -> str:
    """Return a value as one line, because facts of a host may contain line breaks."""
    return " ".join(str(value).split())


def _unreachable(name: str, error: Object) -> str:
    titled = (("", error["message"]), ("do next: ", error["hint"]), ("log: ", error["log"]))
    first, *others = [f"{title}{_plain(value)}" for title, value in titled if value]
    paragraphs = [_paragraph(f"{name}: {first}", "  ", "    ")]
    for line in others:
        paragraphs.append(_paragraph(line, "    ", "      "))
    return "\n".join(paragraphs)


def _paragraph(words: str, first: str, others: str) -> str:
    return textwrap.fill(
        words, WIDTH, initial_indent=first, subsequent_indent=others, break_on_hyphens=False
    )
