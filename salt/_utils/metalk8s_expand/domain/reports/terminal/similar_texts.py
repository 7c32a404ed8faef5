"""Put texts together that say the same about several nodes, so that a fleet fits on a screen."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from metalk8s_expand.domain.node import name_ranges
from metalk8s_expand.domain.reports.terminal.document import Block, list_block, paragraph

# A sentence about a node begins with its name.
_ABOUT = re.compile(r"([Nn]ode )?([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(: | (?=is |was |lacks |has ))")
# What differs between two nodes for the same cause: numbers, addresses, identities.
_VARIABLE = re.compile(r"[0-9a-f]*[0-9][0-9a-f]*")
_NAME = "\0"


@dataclass(frozen=True)
class SimilarTexts:
    """Texts of one cause: the names that they hold for, and the text of the first name.

    ``varies`` says that the text of another name has other numbers or another name in it.
    """

    names: tuple[str, ...]
    text: str
    varies: bool = False
    count: int = 1

    def __str__(self) -> str:
        """Return the text behind the names that it holds for."""
        if not self.names:
            more = f" (and {self.count - 1} more like it)" if self.count > 1 else ""
            return self.text + more
        if len(self.names) == 1:
            return f"{self.names[0]}: {self.text}"
        where = f"{name_ranges.listed(self.names)} ({len(self.names)} nodes)"
        example = f", such as {self.names[0]}" if self.varies else ""
        return f"{where}{example}: {self.text}"


def by_name(texts: Iterable[tuple[str, str]]) -> list[SimilarTexts]:
    """Return the texts of these names, together by cause, in the order of their first names."""
    causes: dict[str, list[tuple[str, str]]] = {}
    for name, text in texts:
        causes.setdefault(cause(name, text), []).append((name, text))
    similar = []
    for items in causes.values():
        first = items[0][1]
        varies = any(text != first for _, text in items)
        names = tuple(dict.fromkeys(name for name, _ in items if name))
        similar.append(SimilarTexts(names, first, varies, len(items)))
    return similar


def sentences(texts: Iterable[str], known: Collection[str] = ()) -> list[str]:
    """Return sentences about nodes, such as ``node w-1: no answer``; each cause once.

    A sentence begins with the word node and a name, or with one of the ``known`` names. A sentence
    of one node, or about something else, stays as it is.
    """
    parts: list[tuple[str, str]] = []
    originals: dict[tuple[str, str], str] = {}
    for text in texts:
        match = _ABOUT.match(text)
        part = ("", text)
        if match is not None and (match[1] or match[2] in known):
            part = (match[2], text[match.end() :])
        originals.setdefault(part, text)
        parts.append(part)
    shown = []
    for item in by_name(parts):
        name = item.names[0] if item.names else ""
        shown.append(originals[name, item.text] if len(item.names) == 1 else str(item))
    return shown


def block(text: str, noun: str, known: Collection[str] = ()) -> Block:
    """Return the block of a title and of sentences, one behind each dash; each cause once."""
    title, *others = text.split("\n")
    items = sentences([line.removeprefix("- ") for line in others], known)
    return list_block(paragraph(title), items, noun)


def cause(name: str, text: str) -> str:
    """Return the text without what differs between nodes."""
    if name:
        text = re.sub(rf"(?<![a-z0-9-]){re.escape(name)}(?![a-z0-9-])", _NAME, text)
    return ("node " if name else "") + _VARIABLE.sub("#", text)
