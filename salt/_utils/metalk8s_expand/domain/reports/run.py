"""The report of an expansion, as values for programs and as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metalk8s_expand.domain.node.spec import DEFAULT_PORT
from metalk8s_expand.errors import StoppedError

Object = Mapping[str, Any]
Row = Sequence[str]


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


def render_report(report: Object) -> str:
    """Return the report as a table of nodes and steps, with failures and remedies below it."""
    verdict = "was STOPPED" if report["retcode"] == StoppedError.retcode else "FAILED"
    if report["ok"]:
        verdict = "succeeded"
    rows: list[Row] = []
    for node in report["nodes"]:
        rows += _node_rows(node)
    failures = [_failure(node) for node in report["nodes"] if node["error"]]
    blocks = [f"run {report['id']} {verdict} after {report['elapsed']:.1f} s"]
    if rows:
        blocks.append(table(("node", "step", "result", "seconds"), rows))
    if report.get("snapshot"):
        blocks.append(_snapshot(report["snapshot"]))
    if failures:
        blocks.append("\n".join(["Failures:", *failures]))
    if report.get("command") and not report["ok"]:
        blocks.append(f"Continue with: {report['command']}")
    if report["notes"]:
        notes = [f"- {note}" for note in report["notes"]]
        blocks.append("\n".join(["Notes:", *notes]))
    if report.get("page"):
        blocks.append(f"As a page: {report['page']}")
    return "\n\n".join(blocks)


def render_report_plan(plan: Object) -> str:
    """Return the text of a plan: each node's steps with reasons, its differences and refusals."""
    serial, beside = plan["control_plane"], plan["workers"]
    blocks = [f"plan {plan['digest']}"]
    if not serial and not beside:
        blocks.append("Nothing to do: every declared node matches its declaration.")
    if plan["waves"]:
        blocks.append("\n".join(["Waves, in parallel:", *map(_wave, plan["waves"])]))
    if serial:
        blocks.append("\n".join(["Control plane:", *map(_plan_block, serial)]))
    if beside:
        blocks.append("\n".join(["Workers:", *map(_plan_block, beside)]))
    if plan["unchanged"]:
        blocks.append(f"Unchanged: {', '.join(plan['unchanged'])}")
    if plan["waves"]:
        blocks.append(
            f"To run exactly this plan: salt-run metalk8s_expand.expand plan={plan['digest']}"
        )
    return "\n\n".join(blocks)


def table(header: Row, rows: Iterable[Row], numbers: bool = True) -> str:
    """Return a table with columns as wide as their widest cell.

    The last column is right-aligned if it holds numbers.
    """
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(line, widths, numbers) for line in lines)


def _line(cells: Row, widths: Sequence[int], numbers: bool) -> str:
    *left, (last, width) = zip(cells, widths, strict=True)
    padded = [cell.ljust(size) for cell, size in left]
    return "  ".join([*padded, last.rjust(width) if numbers else last]).rstrip()


def _node_rows(node: Object) -> list[Row]:
    rows = []
    for step in node["steps"]:
        result = "ok" if step["ok"] else "FAILED"
        rows.append((node["name"], step["name"], result, f"{step['elapsed']:.1f}"))
    if node["skipped"]:
        rows.append((node["name"], "-", f"skipped: {node['skipped']}", ""))
    elif not rows:
        rows.append((node["name"], "-", "ok" if node["ok"] else "FAILED", ""))
    others = [("", *row[1:]) for row in rows[1:]]
    return [rows[0], *others]


def _snapshot(snapshot: Object) -> str:
    member, copied = snapshot.get("member"), snapshot.get("copied_to")
    origin = f", of {member}" if member else ""
    line = f"etcd snapshot: {snapshot['path']} ({snapshot['bytes']} bytes{origin})"
    return f"{line}\ncopied to {copied}" if copied else line


def _failure(node: Object) -> str:
    error = node["error"]
    described = str(error.get("text") or error.get("message"))
    named = described if error.get("node") else f"node {node['name']}: {described}"
    lines = named.splitlines()
    lines += [f"  rolled back: {what}" for what in node.get("undone") or ()]
    if node.get("state"):
        lines.append(f"  current state: {node['state']}")
    return "\n".join(f"  {line}" for line in lines)


def _wave(wave: Object) -> str:
    pace = "one after another" if wave["at_once"] == 1 else f"{wave['at_once']} at a time"
    return f"  {wave['title']}, {pace}: {', '.join(wave['nodes'])}"


def _plan_block(node: Object) -> str:
    node_roles = f"roles {' '.join(node['roles'])}"
    words = (node["address"], _ssh_port(node["ssh"]), node["profile"], node_roles)
    place = ", ".join(filter(None, words))
    lines = [f"  {node['node']} ({place})"]
    if node["refused"]:
        lines.append(f"    REFUSED: {node['refused']}")
    width = max((len(step["name"]) for step in node["steps"]), default=0)
    lines += [f"    {step['name'].ljust(width)}  {step['reason']}" for step in node["steps"]]
    lines += [f"      found: {problem}" for problem in node["problems"]]
    lines += [f"      {_change(change)}" for change in node["changes"]]
    return "\n".join(lines)


def _ssh_port(ssh: Object) -> str:
    """Return a port that is not the default. YAML may have read another one than was written."""
    return f"SSH port {ssh['port']}" if ssh["port"] != DEFAULT_PORT else ""


def _change(change: Object) -> str:
    if change["found"] is None:
        return f"+ {change['path']} = {change['wanted']!r}"
    if change["wanted"] is None:
        return f"- {change['path']} = {change['found']!r}"
    return f"~ {change['path']}: {change['found']!r} -> {change['wanted']!r}"
