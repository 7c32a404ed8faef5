"""Return text to ``salt-run`` so that this project's outputter prints it, or Salt's own does."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from metalk8s_expand.domain.reports.terminal.document import (
    WIDTH,
    Block,
    fitted,
    plain,
    styles_of,
)

log = logging.getLogger(__name__)

OUTPUTTER = "metalk8s_expand"
# Salt's own outputter indents a text by four columns, below the name of its key.
SALTS_INDENT = 4
# Lines of a wider terminal are hard to read.
WIDEST = 120


def chooses_itself(opts: Mapping[str, Any]) -> bool:
    """Return whether the operator leaves the choice of the outputter to this project."""
    return opts.get("output") in (None, "", OUTPUTTER)


def printed(opts: Mapping[str, Any], key: str, content: Sequence[Block] | str) -> dict[str, Any]:
    """Return the part of a runner's result that prints this content, which has the name ``key``.

    ``styles`` are the places of the text that have a style: line, first and end column, style.
    """
    ours = is_installed(opts)
    if isinstance(content, str):
        return {key: content, **({"outputter": OUTPUTTER} if ours else {})}
    shown = fitted(content, columns() - (0 if ours else SALTS_INDENT))
    if not ours:
        return {key: plain(shown)}
    return {key: plain(shown), "styles": styles_of(shown), "outputter": OUTPUTTER}


def with_colors(opts: Mapping[str, Any], content: Sequence[Block], width: int) -> str:
    """Return the text of this content for a terminal, with the colors of the outputter.

    Salt decides on ``color`` by standard output, and after the runner has ended.
    """
    shown = fitted(content, width)
    outputter = _outputter({**opts, "color": not opts.get("no_color")})
    if outputter is None:
        return plain(shown)
    return str(outputter({"text": plain(shown), "styles": styles_of(shown)}))


def is_installed(opts: Mapping[str, Any]) -> bool:
    """Return whether Salt finds the outputter of this project.

    An upgrade may have synced the runner and the library before it.
    """
    return _outputter(opts) is not None


def _outputter(opts: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], object] | None:
    import salt.loader

    try:
        found: Callable[[Mapping[str, Any]], object] = salt.loader.outputters(dict(opts))[OUTPUTTER]
    except KeyError:
        return None
    except Exception as error:  # Salt's loader raises what the files of a master make it raise.
        log.debug("cannot look for the outputter: %s", error)
        return None
    return found


def columns() -> int:
    """Return the width of the terminal, and 80 columns for a pipe or a file."""
    if not sys.stdout.isatty():
        return WIDTH
    return min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDEST)
