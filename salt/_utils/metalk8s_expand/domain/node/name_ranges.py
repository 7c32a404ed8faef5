"""Write many names as ranges, such as ``worker-[001-300]``, so that a fleet fits into one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# At most this many names are listed one by one.
LISTED = 5
_NUMBERED = re.compile(r"(.*?)([0-9]+)([^0-9]*)", re.DOTALL)
# The text around the number, and the width that leading zeros give the number, or 0.
_Family = tuple[str, str, int]


def ranges(names: Iterable[str]) -> list[str]:
    """Return the names as ranges of their last number, in the order of their first names.

    Each name is in exactly one range: ``w-[1-3,7]`` stands for w-1, w-2, w-3 and w-7, and
    ``w-[08-11]`` for w-08, w-09, w-10 and w-11. A name that has no neighbor stays as it is.
    """
    unique = list(dict.fromkeys(names))
    widths = _padded_widths(unique)
    families: dict[_Family | str, list[int]] = {}
    for name in unique:
        parts = _parts(name)
        if parts is None:
            families[name] = []
            continue
        before, digits, after = parts
        padded = len(digits) if (before, after, len(digits)) in widths else 0
        families.setdefault((before, after, padded), []).append(int(digits))
    written = []
    for family, numbers in families.items():
        written.append(family if isinstance(family, str) else _range(family, sorted(numbers)))
    return written


def listed(names: Sequence[str], longest: int = 200) -> str:
    """Return up to five names as a list, and more of them as ranges of at most ``longest`` signs.

    A list that is longer ends with the number of the other names.
    """
    if len(names) <= LISTED:
        return ", ".join(names)
    shown: list[str] = []
    texts = ranges(names)
    for text in texts:
        if shown and len(", ".join([*shown, text])) > longest:
            break
        shown.append(text if len(text) <= longest else text[: longest - 1] + "…")
    more = len(texts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _parts(name: str) -> tuple[str, str, str] | None:
    """Return the text before the last number, the number and the text after it."""
    match = _NUMBERED.fullmatch(name)
    if match is None:
        return None
    before, digits, after = match.groups()
    return before, digits, after


def _padded_widths(names: Iterable[str]) -> set[tuple[str, str, int]]:
    """Return the widths of the numbers that have leading zeros, with the text around them."""
    widths = set()
    for name in names:
        parts = _parts(name)
        if parts is not None and len(parts[1]) > 1 and parts[1].startswith("0"):
            widths.add((parts[0], parts[2], len(parts[1])))
    return widths


def _range(family: _Family, numbers: Sequence[int]) -> str:
    before, after, width = family
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = []
    for first, last in runs:
        ends = (first,) if first == last else (first, last)
        texts.append("-".join(str(end).zfill(width) for end in ends))
    if len(numbers) == 1:
        return f"{before}{texts[0]}{after}"
    return f"{before}[{','.join(texts)}]{after}"
