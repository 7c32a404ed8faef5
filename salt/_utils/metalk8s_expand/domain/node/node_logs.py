"""The last lines of the logs of a node, without secrets, as data and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.domain.parsing.secret_texts import without_secrets
from metalk8s_expand.errors import visible

Object = Mapping[str, Any]

SALT, SSH = "salt", "ssh"
# Characters of one line: a line may hold a whole document.
LONGEST = 2000
_OVER = {SALT: "over Salt", SSH: "over SSH"}


def readable_parts(parts: object, most_lines: int) -> list[dict[str, Any]] | None:
    """Return the parts that a host sends, without secrets and control characters.

    Each part has ``part`` (its name), ``source`` (the file or the command), ``lines``, ``cut``
    (whether the log has earlier lines) and ``problem`` (why it has no lines, or None). Return None
    if the answer has another form: a host can send any answer.
    """
    if not isinstance(parts, Sequence) or isinstance(parts, str):
        return None
    readable = []
    for item in parts:
        if not isinstance(item, Mapping) or not isinstance(item.get("lines"), Sequence):
            return None
        problem = item.get("problem")
        lines = list(map(str, item["lines"]))
        readable.append(
            {
                "part": visible(item.get("part", "")),
                "source": visible(item.get("source", "")),
                "lines": _readable_lines(lines[-most_lines:]),
                "cut": bool(item.get("cut")) or len(lines) > most_lines,
                "problem": _readable_lines([str(problem)])[0] if problem else None,
            }
        )
    return readable


def _readable_lines(lines: Sequence[str]) -> list[str]:
    readable = []
    # A tab is for people; it does not control the terminal.
    for line in without_secrets([line.expandtabs(4) for line in lines]):
        text = visible(line.rstrip("\r"))
        readable.append(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")
    return readable


def render_node_logs(data: Object) -> str:
    """Return the text for the result of ``logs``."""
    blocks = [f"Logs of {data['node']}, {_OVER[data['over']]}, at most {data['lines']} lines each"]
    blocks += [f"- {note}" for note in data["notes"]]
    for item in data["parts"]:
        title = f"== {item['part']}: {item['source']}"
        if item["cut"]:
            title += " (its end)"
        body = list(item["lines"])
        if item["problem"]:
            body.append(f"({item['problem']})")
        blocks.append("\n".join([title, *body]))
    return "\n\n".join(blocks)
