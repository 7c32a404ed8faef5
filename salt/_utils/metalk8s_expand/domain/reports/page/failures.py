"""Render failed, stopped and skipped nodes: cause, state and next command; equal causes once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.domain.reports.page import outcome, values
from metalk8s_expand.domain.reports.page.markup import Child, Markup, element, join

Object = Mapping[str, Any]

# Stands for the name of a node in a text that holds for several nodes.
PLACEHOLDER = "NODE"
# The first lines are visible; the reader opens the others.
SHOWN_PROBLEMS = 12
SHOWN_NOTES = 8
# The title for a run in which no node failed.
NOT_DONE = "Not done"
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
_JOB = re.compile(r"\b\d{20}\b")
_SECONDS = re.compile(r"\b\d+(?:\.\d+)? s\b")


def render_failures(report: Object) -> Markup | None:
    """Return the nodes that are not done, by cause, and the command that continues the run."""
    groups = _groups(report)
    skipped = _by_reason(report)
    problems = [] if report.get("ok") or groups else _problems(report)
    if not groups and not skipped and not problems:
        return None
    verdict = outcome.verdict(report)
    blocks = [_failure(group) for group in groups]
    blocks += [_skipped(report, reason, names) for reason, names in skipped.items()]
    if problems:
        blocks.append(element("ul", [element("li", line) for line in problems], class_="plain"))
    return element(
        "section",
        element("h2", "Failures and next command" if verdict == outcome.FAILED else NOT_DONE),
        _continue(report),
        blocks,
        id="failures",
        class_="failed" if verdict == outcome.FAILED else None,
    )


def render_notes(report: Object) -> Markup | None:
    """Return the notes of the run and its etcd snapshot."""
    skipped = {str(node["name"]) for node in outcome.nodes_of(report) if node.get("skipped")}
    same = {f"{name}: nothing to change" for name in report.get("unchanged_nodes") or ()}
    notes = []
    for note in map(str, report.get("notes") or ()):
        if note not in same and note.partition(" was skipped: ")[0] not in skipped:
            notes.append(element("li", note))
    blocks: list[Child] = []
    if notes:
        blocks.append(element("ul", notes[:SHOWN_NOTES], class_="plain"))
    if len(notes) > SHOWN_NOTES:
        more = values.counted(len(notes) - SHOWN_NOTES, "more note")
        blocks.append(values.fold(more, element("ul", notes[SHOWN_NOTES:], class_="plain")))
    blocks.append(_unchanged(report))
    blocks.append(_snapshot(report.get("snapshot")))
    if not any(blocks):
        return None
    return element("section", element("h2", "Notes"), blocks, id="notes")


def _unchanged(report: Object) -> Markup | None:
    names = [str(name) for name in report.get("unchanged_nodes") or ()]
    return element("div", "Unchanged: ", values.names(names)) if names else None


def _snapshot(snapshot: Object | None) -> Markup | None:
    if not snapshot:
        return None
    member, copied = snapshot.get("member"), snapshot.get("copied_to")
    return element(
        "p",
        "Snapshot of etcd from before the change of members: ",
        element("code", snapshot.get("path")),
        f" ({values.size(snapshot.get('bytes'))}{f', of {member}' if member else ''})",
        join(", copied to ", element("code", copied)) if copied else None,
    )


def _continue(report: Object) -> Markup | None:
    command = report.get("command")
    if report.get("ok") or not command:
        return None
    stopped = outcome.verdict(report) == outcome.STOPPED
    words = "Continue" if stopped else "Fix the causes below, then continue"
    return join(
        element("p", f"{words} with the same command:"),
        element("pre", element("code", command)),
    )


def _problems(report: Object) -> list[str]:
    """Return the notes of a run that failed although no node did: the problems of the cluster."""
    return [str(note) for note in report.get("notes") or ()]


def _groups(report: Object) -> list[list[Object]]:
    """Return the nodes with an error; those whose errors differ only in names are together."""
    groups: dict[tuple[str, ...], list[Object]] = {}
    for node in outcome.nodes_of(report):
        if node.get("error"):
            groups.setdefault(_cause(node), []).append(node)
    return sorted(groups.values(), key=len, reverse=True)


def _cause(node: Object) -> tuple[str, ...]:
    error, name = node["error"], str(node["name"])
    lines = (error.get("message"), error.get("hint"), *_lines(error), *(node.get("undone") or ()))
    return tuple(_SECONDS.sub("… s", _general(line, name)) for line in (*lines, node.get("state")))


def _general(value: object, name: str) -> str:
    """Return a text without the node's name, addresses and jobs, to compare it with others."""
    own = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])")
    return _JOB.sub("JOB", _ADDRESS.sub("ADDRESS", own.sub(PLACEHOLDER, str(value))))


def _lines(error: Object) -> list[str]:
    """Return the problems of an error, one sentence each."""
    lines = []
    for problem in error.get("problems") or ():
        if isinstance(problem, Mapping):
            parts = (problem.get("path"), problem.get("message"), problem.get("remedy"))
            lines.append(": ".join(str(part) for part in parts if part))
        else:
            lines.append(str(problem))
    return lines


def _failure(nodes: Sequence[Object]) -> Markup:
    node, error = nodes[0], nodes[0]["error"]
    names = [str(item["name"]) for item in nodes]

    def shown(value: object) -> str:
        return _general(value, names[0]) if len(nodes) > 1 else str(value)

    where = names[0] if len(nodes) == 1 else values.counted(len(nodes), "node")
    step = next((item["name"] for item in reversed(node.get("steps") or ()) if not item["ok"]), "")
    message = str(error.get("message") or error.get("text") or "")
    rows: list[tuple[str, Child]] = []
    if len(nodes) > 1:
        rows.append(("Nodes", values.names(names)))
    if step:
        rows.append(("Step", shown(step)))
    rows.append(("Found", shown(message)))
    problems = [element("li", shown(line)) for line in _lines(error)]
    if problems:
        rows.append(("Cause", _list(problems)))
    if error.get("hint"):
        rows.append(("Do next", shown(error["hint"])))
    rows += _state(node, shown) + _places(nodes)
    pairs = [join(element("dt", name), element("dd", value)) for name, value in rows]
    stopped = error.get("retcode") == 10
    return element(
        "article",
        element(
            "h3",
            where,
            " ",
            element(
                "span",
                "■ stopped" if stopped else "✕ failed",
                class_=f"tag {'warn' if stopped else 'bad'}",
            ),
            " ",
            element("span", error.get("type"), class_="soft small"),
        ),
        element("dl", pairs),
        class_="failure",
    )


def _list(items: Sequence[Markup]) -> Markup:
    """Return a list whose first items are visible."""
    first = element("ul", items[:SHOWN_PROBLEMS], class_="plain")
    if len(items) <= SHOWN_PROBLEMS:
        return first
    more = values.counted(len(items) - SHOWN_PROBLEMS, "more problem")
    return join(first, values.fold(more, element("ul", items[SHOWN_PROBLEMS:], class_="plain")))


def _state(node: Object, shown: Any) -> list[tuple[str, Child]]:
    rows: list[tuple[str, Child]] = []
    undone = [element("li", shown(line)) for line in node.get("undone") or ()]
    if undone:
        rows.append(("Rolled back", element("ul", undone, class_="plain")))
    if node.get("state"):
        rows.append(("State now", shown(node["state"])))
    return rows


def _places(nodes: Sequence[Object]) -> list[tuple[str, Child]]:
    """Return the Salt jobs and the logs of failed nodes."""
    rows: list[tuple[str, Child]] = []
    jobs = [(str(item["name"]), item["error"].get("job")) for item in nodes]
    commands = []
    for name, job in jobs:
        if job:
            command = element("code", f"salt-run jobs.lookup_jid {job}")
            commands.append(command if len(nodes) == 1 else element("li", f"{name}: ", command))
    if len(nodes) == 1 and commands:
        rows.append(("Salt job", commands[0]))
    elif commands:
        listed = element("ul", commands, class_="plain")
        rows.append(("Salt jobs", values.fold(values.counted(len(commands), "job"), listed)))
    log = nodes[0]["error"].get("log")
    if log:
        rows.append(("Log", log))
    return rows


def _by_reason(report: Object) -> dict[str, list[str]]:
    """Return the skipped nodes by the reason why."""
    reasons: dict[str, list[str]] = {}
    for node in outcome.nodes_of(report):
        if node.get("skipped") and not node.get("error"):
            name = str(node["name"])
            reasons.setdefault(_general(node["skipped"], name), []).append(name)
    return reasons


def _skipped(report: Object, reason: str, names: Sequence[str]) -> Markup:
    rows: list[tuple[str, Child]] = []
    if len(names) > 1:
        rows.append(("Nodes", values.names(names)))
    else:
        nodes = outcome.nodes_of(report)
        reason = next(str(node["skipped"]) for node in nodes if str(node["name"]) == names[0])
    rows.append(("Reason", reason))
    where = names[0] if len(names) == 1 else values.counted(len(names), "node")
    pairs = [join(element("dt", name), element("dd", value)) for name, value in rows]
    return element(
        "article",
        element("h3", where, " ", element("span", "… skipped", class_="tag warn")),
        element("dl", pairs),
        class_="failure",
    )
