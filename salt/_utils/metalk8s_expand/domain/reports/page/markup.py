"""Build HTML from elements. Every value passes through ``text``, which escapes it."""

from __future__ import annotations

import html
from collections.abc import Iterable

from metalk8s_expand.errors import visible

# Elements of HTML without an end. Those of SVG have one.
VOID = frozenset({"meta", "br", "hr"})


class Markup(str):
    """HTML that is safe to include as it is. Only this module makes it from a value."""

    __slots__ = ()


Child = Markup | str | int | None | Iterable["Child"]
Attribute = str | int | float | bool | None


def text(value: object) -> Markup:
    """Return a value as HTML text or as the value of an attribute.

    Control and direction characters become escapes, and the characters of HTML become entities.
    """
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(visible(value), quote=True))


def join(*children: Child) -> Markup:
    """Return children one after another. A child that is not Markup is a value; None is nothing."""
    return Markup("".join(_parts(children)))


def element(tag: str, *children: Child, **attributes: Attribute) -> Markup:
    """Return an element.

    An attribute that is None or False is left out, and one that is True has no value. ``class_``
    stands for ``class``, and an underscore for a hyphen.
    """
    opened = [tag]
    for name, value in attributes.items():
        key = name.rstrip("_").replace("_", "-")
        if value is True:
            opened.append(key)
        elif value is not None and value is not False:
            opened.append(f'{key}="{text(value)}"')
    start = f"<{' '.join(opened)}>"
    return Markup(start if tag in VOID else f"{start}{join(*children)}</{tag}>")


def _parts(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if isinstance(child, str):
            yield text(child)
        elif isinstance(child, Iterable):
            yield from _parts(child)
        elif child is not None:
            yield text(child)
