"""Write durations, dates, sizes and lists of names for the page."""

from __future__ import annotations

from collections.abc import Sequence

from metalk8s_expand.domain.reports.page.markup import Child, Markup, element, join

# The names that a sentence shows; a part that the reader opens has the rest.
SHOWN_NAMES = 8


def duration(seconds: object) -> str:
    """Return seconds as a text such as ``39.2 s``, ``12 min 05 s`` or ``1 h 02 min``."""
    value = seconds_of(seconds)
    if value < 60:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def tick(seconds: float) -> str:
    """Return a time since the start of the run, such as ``12.5 s``, ``2:05`` or ``1:02:05``."""
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    minutes = f"{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{whole // 3600}:{minutes}" if whole >= 3600 else minutes.removeprefix("0")


def seconds_of(value: object) -> float:
    """Return a number of a report, or 0 if it is none."""
    return float(value) if isinstance(value, (int, float)) else 0.0


def date(run: object) -> str:
    """Return the UTC time of a run's start from its ID; the ID itself if it is no time."""
    digits = str(run)
    if len(digits) != 14 or not digits.isdecimal():
        return digits
    day = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"
    return f"{day} {digits[8:10]}:{digits[10:12]}:{digits[12:]} UTC"


def size(count: object) -> str:
    """Return a number of bytes with its unit."""
    value = seconds_of(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun, such as ``1 node`` or ``4 nodes``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def names(all_names: Sequence[str], shown: int = SHOWN_NAMES) -> Markup:
    """Return the first names; a part that the reader opens has the rest."""
    if len(all_names) <= shown:
        return join(", ".join(all_names))
    more = counted(len(all_names) - shown, "more name")
    return join(
        f"{', '.join(all_names[:shown])} ",
        fold(f"and {more}", element("p", ", ".join(all_names[shown:]))),
    )


def fold(summary: Child, *content: Child, is_open: bool = False) -> Markup:
    """Return a part that the reader opens, without a script."""
    return element("details", element("summary", summary), *content, open=is_open)


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Child]],
    numbers: Sequence[int] = (),
) -> Markup:
    """Return a table with a caption, whose first column names the row.

    ``numbers`` are the columns with numbers. The reader scrolls a wide table with the keyboard.
    """
    heads = []
    for column, title in enumerate(header):
        heads.append(element("th", title, scope="col", class_=_number(column, numbers)))
    body = []
    for row in rows:
        cells = [element("th", row[0], scope="row")]
        for column, cell in enumerate(row[1:], 1):
            cells.append(element("td", cell, class_=_number(column, numbers)))
        body.append(element("tr", cells))
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", element("tr", heads)),
            element("tbody", body),
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=caption,
    )


def _number(column: int, numbers: Sequence[int]) -> str | None:
    return "n" if column in numbers else None
