"""The commands of a page, step by step, so that what is tested is what an operator types."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
_TITLE = re.compile(r"([0-9]+)\. .+")
_COMMAND = re.compile(r" +root@([a-z]+) \$ (.+)")


@dataclass(frozen=True)
class Command:
    """A command in one line, and the host in its prompt."""

    where: str
    text: str


def steps(page: str) -> dict[int, list[Command]]:
    """Return the commands below each numbered title of a page."""
    text = re.sub(r" *\\\n *", " ", (DOCS / page).read_text(encoding="utf-8"))
    found: dict[int, list[Command]] = {}
    for line in text.splitlines():
        if title := _TITLE.fullmatch(line):
            found[int(title[1])] = []
        elif (command := _COMMAND.fullmatch(line)) and found:
            found[max(found)].append(Command(command[1], command[2]))
    return found
