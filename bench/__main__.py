"""Measure, print the table, exit with 1 if a limit is missed: ``python -m bench [PART …]``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence

from bench.rows import Line, table

# Each part is a module with a function ``rows``.
PARTS = ("api", "ssh", "preflight")
# These need the lab, and take an hour.
ON_REQUEST = ("expansion",)


def main(arguments: Sequence[str]) -> int:
    """Measure the selected parts and return the exit code: 0 if all rows keep their limits."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "part",
        nargs="*",
        default=PARTS,
        help=f"{', '.join(PARTS)}, which are the default, or {', '.join(ON_REQUEST)}",
    )
    chosen = parser.parse_args(arguments).part
    if unknown := sorted(set(chosen) - {*PARTS, *ON_REQUEST}):
        parser.error(f"unknown: {', '.join(unknown)}")
    lines = list(_measured(chosen))
    print(f"\n{table(lines)}")
    return 0 if lines and all(line.ok for line in lines) else 1


def _measured(parts: Sequence[str]) -> Iterator[Line]:
    for part in parts:
        for line in importlib.import_module(f"bench.{part}").rows():
            print(line, flush=True)
            yield line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
