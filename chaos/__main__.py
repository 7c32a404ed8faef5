"""Make all runs that have not passed with the current code, and print the table of all runs.

The command is ``python -m chaos``. Its exit code is 1 if any run has not passed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from chaos import cases as schedule
from chaos import paths as places
from chaos.cases import Case
from chaos.paths import PROVEN, Place
from chaos.results import GOOD, Results, all_good, chains, remaining, summary

FIRST_SEED, RANDOM_RUNS, SHORT_RUNS = 1, 30, 2
# The number of boundaries in a run, far from each other. The kubelet doubles its wait after each
# crash of a container, beginning with ten seconds: five minutes for the sixth crash.
CHAIN, CHAINS = 6, {schedule.MASTER_KILLED: 4}


def main(arguments: Sequence[str]) -> int:
    """Make the runs and return the exit code: 0 if all passed, 1 if not, 2 for an unknown name."""
    options = parser().parse_args(arguments)
    try:
        cases = chosen(options)
    except KeyError as error:
        print(f"there is no run {error}; those there are: python -m chaos --list", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(map(str, cases)))
        return 0
    place, code = places.from_environment(), places.fingerprint(PROVEN)
    results = Results(place.results)
    begun = datetime.now(timezone.utc).isoformat()
    if not options.summary:
        make_all(
            cases if options.again else remaining(cases, results.of(code)),
            place,
            code,
            results,
            options,
        )
    known = results.of(code)
    if options.again:
        known = {name: item for name, item in known.items() if item["begun"] >= begun}
    print(
        f"\ncommit {places.commit()}, code {code}, results"
        f" {place.results}\n\n{summary(cases, known)}"
    )
    return 0 if all_good(cases, known) else 1


def parser() -> argparse.ArgumentParser:
    """Return the parser of all options."""
    top = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    top.add_argument(
        "run",
        nargs="*",
        help="names of runs: of a boundary and fault, or seed-NUMBER; by default all",
    )
    top.add_argument(
        "--short",
        action="store_true",
        help=f"{len(schedule.SHORT)} boundaries and {SHORT_RUNS} random runs",
    )
    top.add_argument(
        "--seed", type=int, help=f"random runs only, from this seed on (by default {FIRST_SEED})"
    )
    top.add_argument(
        "--runs",
        type=int,
        help=f"how many random runs (by default {RANDOM_RUNS}); without --seed no boundaries",
    )
    top.add_argument("--boundaries", action="store_true", help="no random runs")
    top.add_argument("--kind", action="append", help="runs of this fault only; can be repeated")
    top.add_argument("--again", action="store_true", help="also runs that are known to be good")
    top.add_argument("--alone", action="store_true", help="each boundary in a run of its own")
    top.add_argument("--stop", action="store_true", help="stop at the first run that is not good")
    top.add_argument("--list", action="store_true", help="say which runs there are, and make none")
    top.add_argument("--summary", action="store_true", help="only the table of what is known")
    return top


def chosen(options: argparse.Namespace) -> list[Case]:
    """Return the runs that the options select; raise ``KeyError`` with an unknown name."""
    if options.run:
        cases = list(schedule.named(options.run))
    else:
        only_random = options.seed is not None or options.runs is not None
        fixed = schedule.short() if options.short else schedule.enumerated()
        if only_random:
            fixed = []
        count = SHORT_RUNS if options.short else RANDOM_RUNS
        if options.runs is not None:
            count = options.runs
        if options.boundaries:
            count = 0
        cases = fixed + schedule.drawn(FIRST_SEED if options.seed is None else options.seed, count)
    return [case for case in cases if not options.kind or case.kind in options.kind]


def make_all(
    cases: Sequence[Case], place: Place, code: str, results: Results, options: argparse.Namespace
) -> None:
    """Make the cases one after another, and record each result when its run ends.

    If a run was not good, the lab stays up for an investigation.
    """
    if not cases:
        return
    if os.geteuid() != 0:
        raise SystemExit("root is needed for namespaces and mounts: run it with sudo")
    # Import these modules first: the lab's own modules read the name of the lab at import.
    from chaos import experiment, lab_snapshots

    commit = places.commit()
    started = time.monotonic()
    lab_snapshots.ensure(place, {case.base for case in cases})
    rows = deque(
        chains(
            cases, results.of(code), lambda kind: 1 if options.alone else CHAINS.get(kind, CHAIN)
        )
    )
    good, number = True, 0
    while rows and not (options.stop and not good):
        row, number = rows.popleft(), number + 1
        print(
            f"[{number}/{number + len(rows)}, {(time.monotonic() - started) / 60:.0f} min]",
            *row,
            sep="\n    ",
            flush=True,
        )
        begun = datetime.now(timezone.utc).isoformat()
        found = experiment.make(row, place)
        for result in found:
            results.add({"code": code, "commit": commit, "begun": begun, **result})
        print(f"    {told(found[0])}", flush=True)
        good = good and found[0]["outcome"] == GOOD
        names = {result["name"] for result in found}
        rows.extend([case] for case in row if case.name not in names)
    if good:
        lab_snapshots.rest()


def told(result: dict[str, Any]) -> str:
    """Return the result of a run as a few lines of text."""
    clients = f"pause {result.get('pause', 0):.1f} s, {result.get('writes', 0)} writes"
    head = f"{result['outcome']} after {result['took']:.0f} s, {clients}"
    notes = "; ".join(result["notes"])
    lines = [f"    - {line}" for line in result["problems"][:5]]
    where = [f"    {result['evidence']}"] if "evidence" in result else []
    return "\n".join([head, f"    {notes}", *lines, *where])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
