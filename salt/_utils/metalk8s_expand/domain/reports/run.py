"""The report of an expansion, as values for programs and as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    Row,
    Segment,
    counted,
    list_block,
    paragraph,
    text_block,
)
from metalk8s_expand.domain.reports.terminal.error import message_of, problem_texts, remedy
from metalk8s_expand.errors import StoppedError

Object = Mapping[str, Any]
# More steps than these are shown as one row for each node.
STEP_ROWS = 36
# More nodes than these are shown together if they have the same result and number of steps.
ONE_BY_ONE = 20
# The end of the note on an unchanged node.
NOTHING = ": nothing to change"


@dataclass(frozen=True)
class StepResult:
    """One finished step; ``started`` is in seconds since the epoch, ``elapsed`` in seconds."""

    name: str
    started: float
    elapsed: float
    ok: bool
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "started": self.started,
            "elapsed": round(self.elapsed, 3),
            "ok": self.ok,
            "detail": self.detail,
        }


@dataclass(frozen=True)
class NodeReport:
    """The result of one node.

    ``error`` is an ``ExpandError.as_dict()``. ``skipped`` is the reason why nothing was done. For a
    failed node, ``undone`` lists the changes that were rolled back, and ``state`` is its state now.
    """

    name: str
    steps: tuple[StepResult, ...] = ()
    ok: bool = True
    error: Mapping[str, Any] | None = None
    skipped: str | None = None
    undone: tuple[str, ...] = ()
    state: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ok": self.ok,
            "skipped": self.skipped,
            "steps": [step.as_dict() for step in self.steps],
            "error": None if self.error is None else dict(self.error),
            "undone": list(self.undone),
            "state": self.state,
        }


@dataclass(frozen=True)
class Report:
    """The report of a whole run.

    ``retcode`` is salt-run's exit code. ``snapshot`` describes the snapshot of etcd from before the
    first membership change.
    """

    id: str
    nodes: tuple[NodeReport, ...]
    started: float
    elapsed: float
    ok: bool
    retcode: int = 0
    notes: tuple[str, ...] = field(default_factory=tuple)
    snapshot: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "ok": self.ok,
            "retcode": self.retcode,
            "started": self.started,
            "elapsed": round(self.elapsed, 3),
            "nodes": [node.as_dict() for node in self.nodes],
            "notes": list(self.notes),
            "snapshot": None if self.snapshot is None else dict(self.snapshot),
        }


def render_report(report: Object) -> list[Block]:
    """Return the report: verdict, failures with remedies, a table of nodes and steps, and notes."""
    nodes = sorted(report["nodes"], key=_rank)
    failed = [node for node in nodes if node["error"]]
    blocks = [Block(_verdict(report, nodes))]
    if failed:
        title = paragraph(Segment("Failures:", BAD))
        blocks.append(Block(title, entries=tuple(_failures(failed)), noun="causes"))
    if report.get("command") and not report["ok"]:
        blocks.append(text_block(Segment("Continue with:", TITLE), f" {report['command']}"))
    if nodes:
        blocks.append(_node_table(nodes))
    if report.get("snapshot"):
        blocks.append(text_block(*_snapshot(report["snapshot"])))
    if report["notes"]:
        names = [node["name"] for node in nodes]
        notes = similar_texts.sentences(report["notes"], _known(report["notes"], names))
        blocks.append(list_block(paragraph(Segment("Notes:", TITLE)), notes, "notes"))
    if report.get("page"):
        blocks.append(text_block(Segment("As a page:", TITLE), f" {report['page']}"))
    return blocks


def _rank(node: Object) -> int:
    """Return the place of a node: failed nodes first, then skipped ones."""
    if node["error"] or not (node["ok"] or node["skipped"]):
        return 0
    return 1 if node["skipped"] else 2


def _verdict(report: Object, nodes: Sequence[Object]) -> Paragraph:
    word = Segment("FAILED", BAD)
    if report["ok"]:
        word = Segment("succeeded", GOOD)
    elif report["retcode"] == StoppedError.retcode:
        word = Segment("was STOPPED", WARN)
    numbers = []
    for rank, noun in enumerate(("failed", "skipped", "done")):
        count = len([node for node in nodes if _rank(node) == rank])
        if count:
            numbers.append(f"{count} {noun}")
    counts = f": {counted(len(nodes), 'node')}, {', '.join(numbers)}" if nodes else ""
    return paragraph(f"run {report['id']} ", word, f" after {report['elapsed']:.1f} s{counts}")


def _node_table(nodes: Sequence[Object]) -> Block:
    """Return one row for each step; for many steps, one row for each node or several nodes."""
    rows: list[Row] = []
    for node in nodes:
        rows += _step_rows(node)
    if len(rows) <= STEP_ROWS:
        header: tuple[str, ...] = ("node", "step", "result", "seconds")
        return Block(header=header, rows=tuple(rows), noun="steps")
    header = ("node", "result", "steps", "seconds")
    groups: dict[tuple[Any, ...], list[Object]] = {}
    for node in nodes:
        key: tuple[Any, ...] = (_rank(node), node["skipped"], len(node["steps"]))
        groups.setdefault(key if len(nodes) > ONE_BY_ONE else (node["name"],), []).append(node)
    return Block(header=header, rows=tuple(map(_node_row, groups.values())), noun="rows")


def _node_row(nodes: Sequence[Object]) -> Row:
    first = nodes[0]
    seconds = [_seconds(node["steps"]) for node in nodes]
    fastest, slowest = f"{min(seconds):.1f}", f"{max(seconds):.1f}"
    number = f" ({len(nodes)})" if len(nodes) > 1 else ""
    name = listed([node["name"] for node in nodes], longest=120) + number
    spent = slowest if fastest == slowest else f"{fastest} to {slowest}"
    return (name, _result(first), str(len(first["steps"])), spent)


def _seconds(steps: Sequence[Object]) -> float:
    """Return the seconds from the first step to the end of the last.

    The states of an orchestration are among the steps, in the time of its own step.
    """
    starts = [step["started"] for step in steps]
    ends = [step["started"] + step["elapsed"] for step in steps]
    return max(ends) - min(starts) if steps else 0.0


def _result(node: Object) -> Segment:
    if node["skipped"]:
        return Segment(f"skipped: {node['skipped']}", WARN)
    return Segment("ok", GOOD) if node["ok"] else Segment("FAILED", BAD)


def _step_rows(node: Object) -> list[Row]:
    rows: list[Row] = []
    for step in node["steps"]:
        result = Segment("ok", GOOD) if step["ok"] else Segment("FAILED", BAD)
        rows.append((node["name"], step["name"], result, f"{step['elapsed']:.1f}"))
    if node["skipped"] or not rows:
        rows.append((node["name"], "-", _result(node), ""))
    others = [("", *row[1:]) for row in rows[1:]]
    return [rows[0], *others]


def _snapshot(snapshot: Object) -> list[Segment]:
    member, copied = snapshot.get("member"), snapshot.get("copied_to")
    origin = f", of {member}" if member else ""
    where = f"{snapshot['path']} ({snapshot['bytes']} bytes{origin})"
    return [
        Segment("etcd snapshot: ", TITLE),
        Segment(f"{where}, copied to {copied}" if copied else where),
    ]


def _failures(nodes: Sequence[Object]) -> list[Entry]:
    """Return the failures; those of one cause once, with their nodes."""
    causes: dict[str, list[Object]] = {}
    for node in nodes:
        causes.setdefault(similar_texts.cause(node["name"], _words(node)), []).append(node)
    return [_failure(group) for group in causes.values()]


def _words(node: Object) -> str:
    error = node["error"]
    texts = [message_of(error), str(error.get("hint") or "")]
    texts += problem_texts(error.get("problems") or ())
    return "\n".join([*texts, *(node.get("undone") or ()), node.get("state") or ""])


def _failure(nodes: Sequence[Object]) -> Entry:
    first = nodes[0]
    error = first["error"]
    names = [node["name"] for node in nodes]
    where = names[0]
    if len(names) > 1:
        example = f", such as {names[0]}" if len(set(map(_words, nodes))) > 1 else ""
        where = f"{listed(names)} ({len(names)} nodes){example}"
    lines = [paragraph(Segment(f"{where}:", TITLE), f" {message_of(error)}", indent=2)]
    for problem in similar_texts.sentences(problem_texts(error.get("problems") or ())):
        lines.append(paragraph(f"- {problem}", indent=4))
    lines += remedy(error, indent=4)
    for change in first.get("undone") or ():
        lines.append(paragraph(Segment("rolled back:", TITLE), f" {change}", indent=4))
    if first.get("state"):
        lines.append(paragraph(Segment("current state:", TITLE), f" {first['state']}", indent=4))
    return tuple(lines)


def _known(notes: Sequence[str], names: Sequence[str]) -> set[str]:
    """Return the names that notes begin with: those of the run, and of unchanged nodes."""
    unchanged = {note.partition(":")[0] for note in notes if note.endswith(NOTHING)}
    return {*names, *unchanged}
