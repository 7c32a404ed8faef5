"""Render what an expansion would do: the plan, the host preflight, and a possible refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from metalk8s_expand.domain.expansion.plan import NEVER_DEPLOYED, NO_NODE
from metalk8s_expand.domain.node.name_ranges import listed
from metalk8s_expand.domain.node.spec import DEFAULT_PORT
from metalk8s_expand.domain.reports import preflight
from metalk8s_expand.domain.reports.terminal import similar_texts
from metalk8s_expand.domain.reports.terminal.document import (
    ADD,
    BAD,
    CHANGE,
    REMOVE,
    TITLE,
    WARN,
    Block,
    Entry,
    Paragraph,
    Row,
    Segment,
    counted,
    paragraph,
    text_block,
)
from metalk8s_expand.domain.reports.terminal.error import render_error

Object = Mapping[str, Any]
Body = Callable[[Object], list[Paragraph]]

ADDED, CHANGED, REFUSED, UNCHANGED = "add", "change", "REFUSED", "unchanged"
SIGNS = {ADDED: "+", CHANGED: "~", REFUSED: "!", UNCHANGED: " "}
STYLES = {ADDED: ADD, CHANGED: CHANGE, REFUSED: BAD, UNCHANGED: ""}
# The order of the nodes: what is refused first, what stays last.
ORDER = (REFUSED, CHANGED, ADDED)
HEADER = ("node", "profile", "address", "action", "steps")
# More nodes than these are shown together if they have the same profile, action and steps.
ONE_BY_ONE = 20
SHOWN_DIGEST = 12


def render_plan(data: Object) -> list[Block]:
    """Return the document for the result of ``plan`` or of a dry run of ``expand``.

    The refusal of the run comes first: it may explain the problems of the nodes.
    """
    blocks: list[Block] = []
    if data.get("refusal"):
        code = data["refusal"]["retcode"]
        blocks += render_error(data["refusal"], f"expand would be refused (exit code {code})")
    blocks += render_question(data)
    if data.get("dry_run"):
        verdict = "would be refused, as above" if data["refusal"] else "would start"
        blocks.append(
            text_block(f"Nothing was changed: this was a dry run. The run itself {verdict}.")
        )
    elif data["waves"]:
        command = f"salt-run metalk8s_expand.expand plan={data['digest'][:SHOWN_DIGEST]}"
        blocks.append(Block(paragraph("To run exactly this plan: ", command), joined=True))
    return blocks


def render_question(data: Object) -> list[Block]:
    """Return the document of a plan without what to do next, as an operator confirms it."""
    blocks = render_nodes(data)
    if "preflight" in data:
        blocks += preflight.render_preflight(data["preflight"])
    blocks += warning_blocks(data.get("warnings") or ())
    blocks.append(text_block(Segment("Plan: ", TITLE), *summary(data)))
    return blocks


def render_nodes(plan: Object) -> list[Block]:
    """Return the table of a plan's nodes, their order, and their differences with reasons."""
    nodes = _nodes(plan)
    if not nodes:
        return [text_block("Nothing to do: every declared node matches its declaration.")]
    blocks = [Block(header=HEADER, rows=_rows(nodes, plan["unchanged"]), noun="rows")]
    if plan["waves"]:
        order = "; ".join(map(_wave, plan["waves"]))
        blocks.append(text_block(Segment("Order: ", TITLE), order))
    for name, body in (("Steps, with their reasons:", _steps), ("Differences:", _differences)):
        entries = tuple(_details(nodes, body))
        if entries:
            title = paragraph(Segment(name, TITLE))
            blocks.append(Block(title, entries=entries, noun="groups of nodes"))
    return blocks


def warning_blocks(warnings: Iterable[str]) -> list[Block]:
    """Return each warning as a block; those of one cause once."""
    blocks = []
    for index, warning in enumerate(similar_texts.sentences(warnings)):
        blocks.append(text_block(Segment("Warning: ", WARN), warning, joined=index > 0))
    return blocks


def summary(plan: Object) -> list[Segment]:
    """Return the numbers of nodes to add and to change, and of those that stay as they are."""
    added = _roles_of(plan, ADDED)
    changed = _roles_of(plan, CHANGED)
    refused = _roles_of(plan, REFUSED)
    parts = [
        Segment(f"{added or 0} to add", ADD if added else ""),
        Segment(", "),
        Segment(f"{changed or 0} to change", CHANGE if changed else ""),
        Segment(f", {len(plan['unchanged'])} unchanged"),
    ]
    if refused:
        parts += [Segment(", "), Segment(f"{refused} refused", BAD)]
    return parts


def action_of(node: Object) -> str:
    """Return what the plan does with a node: add, change or refuse it."""
    if node["refused"]:
        return REFUSED
    reasons = {step["reason"] for step in node["steps"]}
    return ADDED if reasons & {NO_NODE, NEVER_DEPLOYED} else CHANGED


def change_line(change: Object) -> Segment:
    """Return one difference: ``+`` is added, ``-`` removed, ``~`` changed."""
    before, wanted = change["found"], change["wanted"]
    if before is None:
        return Segment(f"+ {change['path']} = {wanted!r}", ADD)
    if wanted is None:
        return Segment(f"- {change['path']} = {before!r}", REMOVE)
    return Segment(f"~ {change['path']}: {before!r} -> {wanted!r}", CHANGE)


def _nodes(plan: Object) -> list[Object]:
    """Return the nodes of a plan, those that are refused first."""
    nodes = [*plan["control_plane"], *plan["workers"]]
    return sorted(nodes, key=lambda node: ORDER.index(action_of(node)))


def _roles_of(plan: Object, action: str) -> str:
    """Return the number of nodes with this action by kind; empty if there are none."""
    kinds = []
    for key, noun in (("control_plane", "control-plane node"), ("workers", "worker")):
        number = len([node for node in plan[key] if action_of(node) == action])
        if number:
            kinds.append(counted(number, noun))
    return " and ".join(kinds)


def _rows(nodes: Sequence[Object], unchanged: Sequence[str]) -> tuple[Row, ...]:
    """Return one row for each node, or for those with the same profile, action and steps."""
    groups: dict[tuple[Any, ...], list[Object]] = {}
    for node in nodes:
        key: tuple[Any, ...] = (action_of(node), node["profile"], len(node["steps"]))
        if len(nodes) <= ONE_BY_ONE:
            key = (node["node"],)
        groups.setdefault(key, []).append(node)
    rows = [_row(group) for group in groups.values()]
    if unchanged:
        stays = Segment(_named(unchanged))
        rows.append((stays, "", "", f"{SIGNS[UNCHANGED]} {UNCHANGED}", "0"))
    return tuple(rows)


def _row(nodes: Sequence[Object]) -> Row:
    first = nodes[0]
    action = action_of(first)
    return (
        _named([node["node"] for node in nodes]),
        first["profile"],
        listed([_place(node) for node in nodes], longest=60),
        Segment(f"{SIGNS[action]} {action}", STYLES[action]),
        str(len(first["steps"])),
    )


def _named(names: Sequence[str]) -> str:
    number = f" ({len(names)})" if len(names) > 1 else ""
    return listed(names, longest=120) + number


def _place(node: Object) -> str:
    """Return the address, with a port that is not the default.

    YAML may have read another port than was written.
    """
    port = node["ssh"]["port"]
    if port == DEFAULT_PORT:
        return str(node["address"])
    return f"{node['address']} port {port}"


def _wave(wave: Object) -> str:
    pace = "one after another" if wave["at_once"] == 1 else f"{wave['at_once']} at a time"
    return f"{wave['title']} {pace}: {listed(wave['nodes'])}"


def _details(nodes: Sequence[Object], body: Body) -> list[Entry]:
    """Return what ``body`` says about the nodes; what is the same for several nodes once."""
    groups: dict[str, list[Object]] = {}
    for node in nodes:
        lines = [_plain(part) for part in body(node)]
        if lines:
            cause = similar_texts.cause(node["node"], "\n".join(lines))
            groups.setdefault(cause, []).append(node)
    return [_entry(group, body) for group in groups.values()]


def _entry(nodes: Sequence[Object], body: Body) -> Entry:
    first = nodes[0]
    varies = len({"\n".join(map(_plain, body(node))) for node in nodes}) > 1
    example = f", such as {first['node']}" if varies else ""
    head = Segment(f"{_named([node['node'] for node in nodes])}{example}:", TITLE)
    return (paragraph(head, indent=2), *body(first))


def _steps(node: Object) -> list[Paragraph]:
    """Return the steps of a node with their reasons, and what was found on it."""
    lines = []
    if node["refused"]:
        lines.append(paragraph(Segment("REFUSED: ", BAD), node["refused"], indent=4))
    reasons: dict[str, list[str]] = {}
    for step in node["steps"]:
        reasons.setdefault(step["reason"], []).append(step["name"])
    for reason, names in reasons.items():
        lines.append(paragraph(f"{', '.join(names)}: {reason}", indent=4))
    lines += [paragraph(Segment("found: ", WARN), item, indent=6) for item in node["problems"]]
    return lines


def _differences(node: Object) -> list[Paragraph]:
    return [paragraph(change_line(change), indent=4) for change in node["changes"]]


def _plain(part: Paragraph) -> str:
    return "".join(segment.text for segment in part.segments)
