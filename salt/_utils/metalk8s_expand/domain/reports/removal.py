"""Render a removal plan as text for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.reports.terminal.document import (
    BAD,
    GOOD,
    TITLE,
    Block,
    Segment,
    counted,
    paragraph,
    text_block,
)

Object = Mapping[str, Any]


def render_removal_plan(plan: Object) -> list[Block]:
    """Return the document of ``RemovalPlan.as_dict()``: refusals, guard, steps with reasons."""
    digest = plan["digest"][:12]
    blocks = [text_block(Segment(f"Removal of {plan['node']}", TITLE), f", plan {digest}")]
    if not plan["steps"] and not plan["refused"]:
        blocks.append(text_block("Nothing to do: the node does not exist.", joined=True))
    if plan["refused"]:
        entries = [(paragraph(Segment("REFUSED: ", BAD), reason),) for reason in plan["refused"]]
        blocks.append(Block(entries=tuple(entries), noun="reasons"))
    if plan["guard"]:
        blocks.append(_guard(plan["guard"]))
    if plan["steps"]:
        rows = [(step["name"], step["reason"]) for step in plan["steps"]]
        blocks.append(Block(header=("step", "reason"), rows=tuple(rows), noun="steps"))
        verdict = [Segment("refused", BAD)] if plan["refused"] else ["1 node to remove"]
        blocks.append(text_block(Segment("Plan: ", TITLE), *verdict))
    return blocks


def _guard(guard: Object) -> Block:
    """Return the verdict of the guard; the refusals of the plan contain its problems."""
    verdict = Segment("agrees", GOOD) if guard["agrees"] else Segment("refuses", BAD)
    title = paragraph("The guard ", verdict, ".")
    if guard["etcd"] is None:
        none = paragraph("etcd: the node has no member, so its tolerance does not change", indent=2)
        return Block(title, entries=((none,),))
    before, after = guard["etcd"]["before"], guard["etcd"]["after"]
    lines = (f"etcd before: {tolerance(before)}", f"etcd after: {tolerance(after)}")
    return Block(title, entries=tuple((paragraph(line, indent=2),) for line in lines))


def tolerance(etcd: Object) -> str:
    """Return the voters and how many more failures they survive, from ``Tolerance.as_dict()``."""
    failures = etcd["failures"]
    if failures < 0:
        survives = "has no quorum"
    elif failures == 0:
        survives = "tolerates no further failure"
    else:
        survives = f"tolerates {counted(failures, 'further failure')}"
    voters = counted(etcd["voters"], "voter")
    return f"{voters}, {etcd['healthy']} healthy, {etcd['needed']} needed: {survives}"
