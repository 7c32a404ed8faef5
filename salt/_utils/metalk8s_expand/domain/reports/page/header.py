"""Render the top of the page: the result in words, then its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.reports import timeline
from metalk8s_expand.domain.reports.page import outcome, values
from metalk8s_expand.domain.reports.page.markup import Markup, element, join

Object = Mapping[str, Any]

BADGES = {
    "succeeded": ("good", "✓", "Succeeded"),
    outcome.FAILED: ("bad", "✕", "Failed"),
    outcome.STOPPED: ("warn", "■", "Stopped"),
}
# The order in which the summary counts the outcomes of nodes.
COUNTED = (
    outcome.ADDED,
    outcome.CHANGED,
    outcome.REMOVED,
    outcome.FAILED,
    outcome.STOPPED,
    outcome.SKIPPED,
)


def render_header(report: Object) -> Markup:
    """Return the title with the verdict, a summary sentence and the facts of the run."""
    tone, sign, word = BADGES[outcome.verdict(report)]
    command = str(report.get("command") or "")
    facts = [
        join("Run ", element("code", report.get("id"))),
        join("Started ", values.date(report.get("id"))),
        join("Exit code ", element("b", report.get("retcode"))),
    ]
    if command:
        facts.insert(0, element("code", command))
    return element(
        "header",
        element("div", _logo(), "metalk8s-expand · report of a run", class_="brand"),
        element(
            "div",
            element("h1", title(report)),
            element(
                "span", element("span", sign, aria_hidden="true"), word, class_=f"badge {tone}"
            ),
            class_="title",
        ),
        element("p", summary(report), class_="lead"),
        element("ul", [element("li", fact) for fact in facts], class_="facts"),
    )


def title(report: Object) -> str:
    """Return what the run was: an expansion, or the removal of a node."""
    if not outcome.is_removal(report):
        return "Expansion" if outcome.function_of(report) else f"Run {report.get('id')}"
    plan = report.get("plan") or {}
    return f"Removal of {plan.get('node') or report.get('removed') or 'a node'}"


def summary(report: Object) -> str:
    """Return one sentence with the number of nodes of each outcome."""
    counts = Counter(outcome.outcomes(report).values())
    words: list[str] = []
    for kind in COUNTED:
        if counts[kind]:
            noun = values.counted(counts[kind], "node")
            words.append(f"{noun} {kind}" if not words else f"{counts[kind]:,} {kind}")
    same = len(report.get("unchanged_nodes") or ())
    if same:
        words.append(f"{same:,} unchanged")
    if not words:
        return "There was nothing to do: every node matches its declaration."
    if outcome.verdict(report) == outcome.FAILED and not counts[outcome.FAILED]:
        words.append("a check of the whole cluster failed")
    return f"{', '.join(words)}, in {values.duration(report.get('elapsed'))}."


def render_numbers(report: Object) -> Markup:
    """Return the numbers of the run as tiles."""
    nodes = outcome.nodes_of(report)
    done = sum(1 for node in nodes if node.get("ok"))
    tiles = [_tile("Duration", values.duration(report.get("elapsed")), _last_node(report))]
    if nodes:
        left = len(nodes) - done
        note = "all of them" if not left else f"{left:,} failed, stopped or skipped"
        tiles.append(_tile("Nodes done", f"{done:,} of {len(nodes):,}", note))
    tiles += _cluster_tiles(report.get("cluster") or {})
    return element(
        "section",
        element("dl", tiles, class_="tiles"),
        class_="numbers",
        aria_label="Numbers of the run",
    )


def etcd_sentence(members: list[Object]) -> str:
    """Return how many members etcd has and how many failures it survives."""
    voters = [member for member in members if not member.get("learner")]
    healthy = sum(1 for member in voters if member.get("healthy") is True)
    spare = healthy - quorum.quorum(len(voters)) if voters else -1
    learners = len(members) - len(voters)
    words = [values.counted(len(voters), "voter")]
    if healthy != len(voters):
        words.append(f"{healthy} healthy")
    if learners:
        words.append(values.counted(learners, "learner"))
    words.append(survival(spare))
    return ", ".join(words)


def survival(spare: int) -> str:
    """Return how many more failures etcd survives; a negative number means no quorum."""
    if spare < 0:
        return "has no quorum"
    if spare == 0:
        return "survives no failure"
    return f"survives {values.counted(spare, 'failure')}"


def _cluster_tiles(cluster: Object) -> list[Markup]:
    before, after = cluster.get("before"), cluster.get("after")
    if not before:
        return []
    now = after or before
    tiles = [_tile("Nodes in the cluster", _change(_count(before), _count(now)), _ready(now))]
    old, new = before.get("etcd"), now.get("etcd")
    if old is not None and new is not None:
        note = etcd_sentence(new).partition(", ")[2]
        tiles.append(_tile("etcd voters", _change(_voters(old), _voters(new)), note))
    return tiles


def _tile(name: str, value: str, note: str) -> Markup:
    shown = [element("dd", value, class_="v")]
    if note:
        shown.append(element("dd", note, class_="h"))
    return element("div", element("dt", name), shown, class_="tile")


def _last_node(report: Object) -> str:
    steps = timeline.steps_only(timeline.spans(report))
    if len({span.node for span in steps}) < 2:
        return ""
    return f"last node: {max(steps, key=lambda span: span.end).node}"


def _change(before: int, after: int) -> str:
    return f"{after:,}" if before == after else f"{before:,} → {after:,}"


def _count(state: Object) -> int:
    return len(state.get("nodes") or ())


def _ready(state: Object) -> str:
    nodes = state.get("nodes") or ()
    ready = sum(1 for node in nodes if node.get("state") == "ready")
    return "all ready" if ready == len(nodes) else f"{ready:,} ready"


def _voters(members: list[Object]) -> int:
    return sum(1 for member in members if not member.get("learner"))


def _logo() -> Markup:
    return element(
        "svg",
        element("rect", x=2, y=2, width=9, height=9, rx=2, fill="currentColor"),
        element("rect", x=13, y=2, width=9, height=9, rx=2, fill="currentColor", opacity="0.55"),
        element("rect", x=2, y=13, width=9, height=9, rx=2, fill="currentColor", opacity="0.55"),
        element("path", d="M17.5 13.5v8M13.5 17.5h8", stroke="currentColor", stroke_width="2.4"),
        viewBox="0 0 24 24",
        aria_hidden="true",
    )
