"""Render an error: what was being done, where, the causes, what to do next, and the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.domain.reports.terminal import similar_texts
from metalk8s_expand.domain.reports.terminal.document import (
    BAD,
    TITLE,
    Block,
    Paragraph,
    Segment,
    list_block,
    paragraph,
)

Object = Mapping[str, Any]


def render_error(error: Object, title: str = "Error") -> list[Block]:
    """Return the document of ``ExpandError.as_dict()``. What several nodes share is there once."""
    node = f"node {error['node']}: " if error.get("node") else ""
    blocks = [Block(paragraph(Segment(f"{title}: ", BAD), node, message_of(error)))]
    problems = problem_texts(error.get("problems") or ())
    if problems:
        causes = list_block(None, similar_texts.sentences(problems), "problems")
        blocks.append(Block(entries=causes.entries, noun=causes.noun, joined=True))
    last = remedy(error)
    if last:
        blocks.append(Block(entries=((*last,),), joined=True))
    return blocks


def message_of(error: Object) -> str:
    """Return the message of an error. That of an older run may be its whole text."""
    return str(error.get("message") or error.get("text"))


def problem_texts(problems: Sequence[Any]) -> list[str]:
    """Return the problems of ``ExpandError.as_dict()`` as sentences."""
    texts = []
    for problem in problems:
        if isinstance(problem, Mapping):
            advice = f"; {problem['remedy']}" if problem.get("remedy") else ""
            value = problem.get("value")
            texts.append(f"{problem['path']}: {problem['message']} (found {value!r}){advice}")
        else:
            texts.append(str(problem))
    return texts


def remedy(error: Object, indent: int = 2) -> tuple[Paragraph, ...]:
    """Return the lines of the next command, the job and the log."""
    lines = []
    for title, key in (("do next", "hint"), ("job", "job"), ("log", "log")):
        if error.get(key):
            lines.append(
                paragraph(Segment(f"{title}:", TITLE), " ", str(error[key]), indent=indent)
            )
    return tuple(lines)
