"""Draw the cluster before and after the run: nodes by role, taints and the members of etcd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.reports.page import header, outcome, values
from metalk8s_expand.domain.reports.page.markup import Child, Markup, element

Object = Mapping[str, Any]

CONTROL_PLANE, INFRA, WORKERS, OTHERS = "Control plane", "Infra", "Workers", "Other nodes"
GROUPS = (CONTROL_PLANE, INFRA, WORKERS, OTHERS)
# A larger group is drawn as one mark for each node.
LARGEST_GROUP = 24
# Of a larger group, at most this many changed or failed nodes are drawn with their names.
NAMED = 6
# The table of a larger cluster does not fit on paper.
PRINTED_ROWS = 60
_ROLE_PREFIX = roles.LABEL_PREFIX
_SPACING, _RADIUS = 34, 12


def render_cluster(report: Object) -> Markup | None:
    """Return the section with two panels and the table of the same facts."""
    cluster = report.get("cluster") or {}
    before, after = cluster.get("before"), cluster.get("after")
    if not before:
        return None
    results = _results(report, before, after)
    if after is None:
        note = element("p", "The state after the run could not be read.", class_="soft")
        panels = element("div", _panel("Before", before, results, is_after=False), class_="panels")
    elif _same(before, after):
        note = element("p", "The run changed no role, taint or member.", class_="soft")
        panel = _panel("Before and after", after, results, is_after=True, class_="panel one")
        panels = element("div", panel, class_="panels")
    else:
        note = None
        panels = element(
            "div",
            _panel("Before", before, results, is_after=False),
            _panel("After", after, results, is_after=True),
            class_="panels stacked" if _is_large(after) else "panels",
        )
    return element(
        "section",
        element("h2", "The cluster before and after"),
        note,
        panels,
        _key(results),
        _table(before, after, results),
        id="cluster",
    )


def _is_large(state: Object) -> bool:
    """Return whether a group has a mark for each node, which needs the whole width."""
    groups = Counter(map(_group, state.get("nodes") or ()))
    return max(groups.values(), default=0) > LARGEST_GROUP


def _results(report: Object, before: Object, after: Object | None) -> dict[str, str]:
    """Return the outcome of each node: of the run, or from the two states."""
    old, new = outcome.node_names(before), outcome.node_names(after)
    results = {}
    for name in sorted(old | new):
        results[name] = outcome.UNCHANGED
        if after is not None and name not in new:
            results[name] = outcome.REMOVED
        elif name not in old:
            results[name] = outcome.ADDED
    for name, result in outcome.outcomes(report).items():
        if result not in (outcome.REMOVED, outcome.SKIPPED) and name in results:
            results[name] = result
    return results


def _same(before: Object, after: Object) -> bool:
    return bool(before["nodes"] == after["nodes"]) and _members(before) == _members(after)


def _members(state: Object) -> list[tuple[Any, ...]]:
    keys = ("name", "learner", "healthy", "leads")
    return [tuple(member.get(key) for key in keys) for member in state.get("etcd") or ()]


def _panel(
    title: str, state: Object, results: Mapping[str, str], is_after: bool, class_: str = "panel"
) -> Markup:
    groups: dict[str, list[Object]] = {group: [] for group in GROUPS}
    for node in state.get("nodes") or ():
        groups[_group(node)].append(node)
    members = {str(member["name"]): member for member in state.get("etcd") or ()}
    drawn = []
    for group, nodes in groups.items():
        if nodes:
            drawn.append(_group_of_nodes(group, nodes, members, results, is_after))
    total = values.counted(len(state.get("nodes") or ()), "node")
    return element(
        "div",
        element("h3", title, element("span", total, class_="soft")),
        _etcd(state.get("etcd"), title),
        drawn,
        class_=class_,
    )


def _group(node: Object) -> str:
    own = set(node.get("roles") or ())
    if own & {roles.BOOTSTRAP, roles.MASTER, roles.ETCD}:
        return CONTROL_PLANE
    if roles.INFRA in own:
        return INFRA
    return WORKERS if roles.NODE in own else OTHERS


def _group_of_nodes(
    title: str,
    nodes: Sequence[Object],
    members: Mapping[str, Object],
    results: Mapping[str, str],
    is_after: bool,
) -> Markup:
    heading = element("h4", title, element("span", values.counted(len(nodes), "node")))
    if len(nodes) <= LARGEST_GROUP:
        cards = [_card(node, members, results, is_after) for node in nodes]
        return element("div", heading, element("ul", cards, class_="nodes"), class_="group")
    bad = (outcome.FAILED, outcome.STOPPED)
    named = [node for node in nodes if results[node["name"]] in bad][:NAMED]
    cards = [_card(node, members, results, is_after) for node in named]
    marks = []
    for node in nodes:
        result = _shown_result(str(node["name"]), results, is_after)
        hollow = "" if node.get("state") == "ready" else " hollow"
        marks.append(element("i", class_=f"{result}{hollow}", title=node["name"]))
    label = f"{title}: {_counts(nodes, results, is_after)}"
    return element(
        "div",
        heading,
        element("div", marks, class_="dots", role="img", aria_label=label),
        element("p", _counts(nodes, results, is_after), class_="small soft"),
        element("ul", cards, class_="nodes") if cards else None,
        class_="group",
    )


def _counts(nodes: Sequence[Object], results: Mapping[str, str], is_after: bool) -> str:
    """Return the numbers of nodes by result, and of those that are not ready."""
    counts = Counter(_shown_result(str(node["name"]), results, is_after) for node in nodes)
    words = [f"{count:,} {result}" for result, count in counts.most_common()]
    unready = sum(1 for node in nodes if node.get("state") != "ready")
    if unready:
        words.append(f"{unready:,} not ready")
    return ", ".join(words)


def _shown_result(name: str, results: Mapping[str, str], is_after: bool) -> str:
    """Return the result to mark: a removed node stands before, all others stand after."""
    result = results[name]
    if is_after or result == outcome.REMOVED:
        return result
    return outcome.UNCHANGED


def _card(
    node: Object, members: Mapping[str, Object], results: Mapping[str, str], is_after: bool
) -> Markup:
    name = str(node["name"])
    result = _shown_result(name, results, is_after)
    tag = None
    if result != outcome.UNCHANGED:
        tone = outcome.TONES.get(result, "")
        tag = element("span", f"{outcome.SIGNS[result]} {result}", class_=f"tag {tone}")
    taints = _short_taints(node)
    member = members.get(name)
    return element(
        "li",
        element("b", name),
        tag,
        element("span", ", ".join(node.get("roles") or ("no role",)), class_="m"),
        element("span", f"taints: {taints}", class_="m") if taints else None,
        element("span", f"etcd: {_member_state(member)}", class_="m") if member else None,
        _condition(node),
        class_=f"node {result}",
    )


def _condition(node: Object) -> Markup | None:
    """Return what is not normal about a Node: not ready, not deployed, cordoned."""
    words = [] if node.get("state") == "ready" else [str(node.get("state"))]
    if node.get("cordoned"):
        words.append("cordoned")
    return element("span", f"⚠ {', '.join(words)}", class_="tag warn") if words else None


def _short_taints(node: Object) -> str:
    texts = [str(taint).removeprefix(_ROLE_PREFIX) for taint in node.get("taints") or ()]
    return ", ".join(text.removesuffix(":NoSchedule") for text in texts)


def _member_state(member: Object) -> str:
    words = ["learner" if member.get("learner") else "voter"]
    if member.get("leads"):
        words = ["leader"]
    if member.get("healthy") is not True:
        words.append("not healthy" if member.get("healthy") is False else "health unknown")
    return ", ".join(words)


def _etcd(members: Sequence[Object] | None, when: str) -> Markup:
    if members is None:
        return element("div", element("p", "etcd did not answer."), class_="etcd")
    sentence = header.etcd_sentence(list(members))
    described = [f"{member['name']}: {_member_state(member)}" for member in members]
    drawn = []
    for number, member in enumerate(members):
        drawn.append(_circle(member, _SPACING * number + _SPACING // 2))
    picture = element(
        "svg",
        element("title", f"Members of etcd, {when.lower()}"),
        element("desc", "; ".join(described)),
        drawn,
        viewBox=f"0 0 {max(1, len(members)) * _SPACING} {_SPACING}",
        width=max(1, len(members)) * _SPACING,
        role="img",
    )
    return element("div", picture, element("p", f"etcd: {sentence}"), class_="etcd")


def _circle(member: Object, x: int) -> Markup:
    """Return the mark of a member: filled for a voter, dashed for a learner, a star for the leader.

    A member that is not healthy is crossed out.
    """
    learner, healthy = member.get("learner"), member.get("healthy") is True
    middle, filled = _SPACING // 2, healthy and not learner
    color = "var(--accent)" if healthy else "var(--bad)"
    sign = "★" if member.get("leads") else ""
    if not healthy:
        sign = "✕"
    circle = element(
        "circle",
        cx=x,
        cy=middle,
        r=_RADIUS,
        fill=color if filled else "none",
        stroke=color,
        stroke_width=2,
        stroke_dasharray="4 3" if learner else None,
    )
    text = element(
        "text",
        sign,
        x=x,
        y=middle + 5,
        text_anchor="middle",
        font_size=14,
        fill="var(--card)" if filled else color,
    )
    return element("g", circle, text if sign else None)


def _key(results: Mapping[str, str]) -> Markup:
    """Return the meaning of the signs that the panels use."""
    shown = sorted(set(results.values()), key=list(outcome.SIGNS).index)
    items: list[Child] = []
    for result in shown:
        mark = element("span", element("i", class_=result), class_="dots", aria_hidden="true")
        items.append(element("li", mark, f"{outcome.SIGNS[result]} {result}"))
    for sign, meaning in (("★", "leader of etcd"), ("●", "voter"), ("◌", "learner")):
        items.append(element("li", f"{sign} {meaning}"))
    return element("ul", items, class_="key")


def _table(before: Object, after: Object | None, results: Mapping[str, str]) -> Markup:
    old = {str(node["name"]): node for node in before.get("nodes") or ()}
    new = {str(node["name"]): node for node in (after or {}).get("nodes") or ()}
    members = {}
    for member in (after or before).get("etcd") or ():
        members[str(member["name"])] = _member_state(member)
    order = list(outcome.SIGNS)
    rows: list[list[Child]] = []
    for name in sorted(results, key=lambda name: (_rank(results[name], order), name)):
        node = new.get(name) or old[name]
        rows.append(
            [
                name,
                f"{outcome.SIGNS[results[name]]} {results[name]}",
                ", ".join(node.get("roles") or ()) or "none",
                ", ".join(map(str, node.get("taints") or ())) or "none",
                members.get(name, "no member"),
                _state(old.get(name)),
                _state(new.get(name)) if after is not None else "unknown",
            ]
        )
    heads = ("Node", "Result", "Roles", "Taints", "etcd", "Before", "After")
    caption = "Nodes, roles, taints and members of etcd"
    made = values.table(caption, heads, rows)
    folded = values.fold("The same facts as a table", made)
    return element("div", folded, class_="long" if len(rows) > PRINTED_ROWS else None)


def _rank(result: str, order: Sequence[str]) -> int:
    """Return the place of a result in the table: failed nodes first."""
    first = (outcome.FAILED, outcome.STOPPED)
    return first.index(result) - len(first) if result in first else order.index(result)


def _state(node: Object | None) -> str:
    if node is None:
        return "absent"
    return f"{node.get('state')}{', cordoned' if node.get('cordoned') else ''}"
