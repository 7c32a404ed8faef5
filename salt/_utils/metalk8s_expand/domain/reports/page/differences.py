"""Render what the run changed on Node objects, and the plan of a removal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.domain.reports.page import header, outcome, values
from metalk8s_expand.domain.reports.page.markup import Child, Markup, element

Object = Mapping[str, Any]

# A difference with more values than this, such as an address for each node, shows their number.
SHOWN_VALUES = 3
NOT_MADE = (outcome.FAILED, outcome.STOPPED, outcome.SKIPPED)


def render_differences(report: Object) -> Markup | None:
    """Return the differences between Nodes and declaration, or the plan of a removal."""
    plan = report.get("plan")
    if outcome.is_removal(report) and plan:
        return element(
            "section", element("h2", "Plan of the removal"), _removal(plan), id="differences"
        )
    changes = report.get("changes") or ()
    if not changes:
        return None
    return element(
        "section",
        element("h2", "Differences"),
        element(
            "p",
            "The Node objects differed from the declaration in these places. The step register"
            " makes them equal.",
            class_="soft",
        ),
        _table(changes, outcome.outcomes(report)),
        id="differences",
    )


def _table(changes: Sequence[Object], results: Mapping[str, str]) -> Markup:
    by_path: dict[tuple[str, str], list[Object]] = {}
    for change in changes:
        by_path.setdefault((_sign(change), str(change["path"])), []).append(change)
    rows: list[list[Child]] = []
    for (sign, path), members in by_path.items():
        names = [str(name) for change in members for name in change["nodes"]]
        undone = [name for name in names if results.get(name) in NOT_MADE]
        made = values.names([name for name in names if name not in undone])
        unsure: Child = values.names(undone) if undone else "none"
        rows.append([_path(sign, path), _values(members), made or "none", unsure])
    heads = ("Place in the Node", "Value", "Made on", "On failed or skipped nodes")
    return values.table("Differences by place", heads, rows)


def _path(sign: str, path: str) -> Markup:
    kind = {"+": "plus", "−": "minus"}.get(sign, "tilde")
    words = {"+": "set", "−": "removed", "~": "changed"}
    return element(
        "span",
        element("span", f"{sign} {words[sign]} ", class_=kind),
        element("code", path),
    )


def _sign(change: Object) -> str:
    if change.get("found") is None:
        return "+"
    return "−" if change.get("wanted") is None else "~"


def _values(changes: Sequence[Object]) -> Child:
    if len(changes) <= SHOWN_VALUES:
        return [element("div", _value(change)) for change in changes]
    items = []
    for change in changes:
        owners = ", ".join(map(str, change["nodes"]))
        items.append(element("li", f"{owners}: ", _value(change)))
    return values.fold(values.counted(len(changes), "value"), element("ul", items, class_="plain"))


def _value(change: Object) -> Child:
    old, new = change.get("found"), change.get("wanted")
    if old is None:
        return _new(new)
    if new is None:
        return element("del", _quoted(old))
    return [element("del", _quoted(old)), " → ", _new(new)]


def _new(value: object) -> Child:
    return element("code", str(value)) if value else _quoted(value)


def _quoted(value: object) -> str:
    return "(empty)" if value == "" else str(value)


def _removal(plan: Object) -> list[Child]:
    rows: list[list[Child]] = [[step["name"], step["reason"]] for step in plan.get("steps") or ()]
    blocks: list[Child] = []
    if plan.get("given_up"):
        text = "The host is permanently off: the run did not contact it."
        blocks.append(element("p", text))
    etcd = (plan.get("guard") or {}).get("etcd")
    if etcd:
        before, after = etcd["before"], etcd["after"]
        blocks.append(
            element(
                "p",
                f"Quorum guard: etcd had {values.counted(before['voters'], 'voter')} and"
                f" {header.survival(before['failures'])}; without this member it has"
                f" {values.counted(after['voters'], 'voter')} and"
                f" {header.survival(after['failures'])}.",
            )
        )
    if rows:
        blocks.append(values.table("Planned steps and their reasons", ("Step", "Reason"), rows))
    else:
        blocks.append(element("p", "The plan has no steps: the node does not exist."))
    return blocks
