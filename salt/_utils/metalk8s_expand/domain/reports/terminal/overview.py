"""Render the overview of the cluster: one row for each thing that an operator asks first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.domain.etcd import snapshot_policy
from metalk8s_expand.domain.node.name_ranges import listed
from metalk8s_expand.domain.reports.removal import tolerance
from metalk8s_expand.domain.reports.terminal.document import (
    BAD,
    GOOD,
    WARN,
    Block,
    Row,
    Segment,
    counted,
)

Object = Mapping[str, Any]

HEADER = ("cluster", "state")


def render_overview(overview: Object) -> Block:
    """Return the table of ``Overview.as_dict()``."""
    rows: list[Row] = [
        ("nodes", _nodes(overview["nodes"])),
        ("etcd", _etcd(overview["etcd"])),
        ("API servers", _api_servers(overview["api_servers"])),
        ("DNS", _dns(overview["dns"])),
        ("API proxies", _proxies(overview["proxies_behind"])),
        ("lock", _lock(overview["lock"])),
    ]
    return Block(header=HEADER, rows=tuple(rows), noun="rows")


def _nodes(part: Object) -> Segment:
    every = f"{part['ready']} of {part['total']} ready"
    by_role = [f"{role} {row['ready']} of {row['total']}" for role, row in part["roles"].items()]
    text = f"{every}: {', '.join(by_role)}" if by_role else every
    return Segment(text, GOOD if part["ready"] == part["total"] else BAD)


def _etcd(part: Object) -> Segment:
    """Return the state of etcd. The list of problems has the sentences about them."""
    if part["unknown"]:
        return _unknown(part)
    texts = [tolerance(part), f"leader {part['leader'] or 'unknown'}"]
    if part["db_size"] is not None:
        texts.append(f"database {snapshot_policy.size_text(part['db_size'])}")
    ill = [member["name"] for member in part["members"] if member["healthy"] is not True]
    learners = [member["name"] for member in part["members"] if member["learner"]]
    for title, names in (("alarm", part["alarms"]), ("not healthy", ill), ("learner", learners)):
        if names:
            texts.append(f"{title}: {', '.join(names)}")
    return Segment("; ".join(texts), BAD if part["problems"] else GOOD)


def _api_servers(part: Object) -> Segment:
    if part["unknown"]:
        return _unknown(part)
    if not part["total"]:
        return Segment("no Node has the role master", WARN)
    text = f"{len(part['answering'])} of {part['total']} answer"
    if part["missing"]:
        return Segment(f"{text}; not in the endpoints: {listed(part['missing'])}", BAD)
    return Segment(f"{text}: {listed(part['answering'])}", GOOD)


def _dns(part: Object) -> Segment:
    if part["unknown"]:
        return _unknown(part)
    text = f"{part['ready']} of {part['wanted']} CoreDNS Pods ready"
    if part["nodes"]:
        text += f", on {counted(len(part['nodes']), 'node')}: {listed(part['nodes'])}"
    if part["ready"] >= part["wanted"]:
        return Segment(text, GOOD)
    return Segment(text, WARN if part["ready"] else BAD)


def _proxies(behind: Sequence[str]) -> Segment:
    if not behind:
        return Segment("no node is known to be behind", GOOD)
    return Segment(f"behind on {counted(len(behind), 'node')}: {listed(behind)}", WARN)


def _lock(part: Object) -> Segment:
    if part["unknown"]:
        return _unknown(part)
    if not part["held"]:
        return Segment("free")
    return Segment(
        f"held by run {part['run'] or '?'} ({part['command'] or '?'}) of {part['user'] or '?'} on"
        f" {part['host'] or '?'}, since {part['since']}, last renewed {part['renewed']}",
        WARN,
    )


def _unknown(part: Object) -> Segment:
    return Segment(f"unknown: {part['unknown']}", WARN)
