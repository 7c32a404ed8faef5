"""Store the result of each run as a JSON line, so that a long series of runs can be resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chaos.cases import Case

GOOD, BAD, MISSED = "good", "bad", "missed"
Result = Mapping[str, Any]


class Results:
    """The file of all results; the last line of a run is the valid one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, result: Result) -> None:
        """Append a result; a truncated line before it (after a kill) does not corrupt it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(result, default=str) + "\n"
        cut = (
            self.path.exists()
            and self.path.stat().st_size
            and not self.path.read_bytes().endswith(b"\n")
        )
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"\n{text}" if cut else text)

    def of(self, code: str) -> dict[str, Result]:
        """Return the last result of each run of this code by the run's name."""
        return {str(item["name"]): item for item in self._read() if item.get("code") == code}

    def _read(self) -> Iterable[Result]:
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                item = json.loads(line)
            except ValueError:
                continue
            if isinstance(item, dict) and "name" in item:
                yield item


def made(cases: Sequence[Case], known: Mapping[str, Result]) -> dict[str, Result]:
    """Return the results of these cases, without those of different cases with the same name."""
    return {
        case.name: known[case.name]
        for case in cases
        if known.get(case.name, {}).get("case") == _plain(case)
    }


def remaining(cases: Sequence[Case], known: Mapping[str, Result]) -> list[Case]:
    """Return the cases that have not passed with this code."""
    good = {name for name, result in made(cases, known).items() if result["outcome"] == GOOD}
    return [case for case in cases if case.name not in good]


def chains(
    cases: Sequence[Case], known: Mapping[str, Result], length: Callable[[str], int]
) -> list[list[Case]]:
    """Group the cases into rows: a row is one run with the same fault at distant boundaries.

    ``length`` returns the maximum length of a row of a kind. A random case has a run of its own,
    and so does a case that has failed: that shows which case of a row failed.
    """
    bad = {name for name, result in made(cases, known).items() if result["outcome"] != GOOD}
    alone: list[list[Case]] = []
    alike: dict[str, list[Case]] = {}
    for case in cases:
        if case.seed is not None or case.name in bad:
            alone.append([case])
        else:
            alike.setdefault(case.kind, []).append(case)
    return [*(row for kind, group in alike.items() for row in _spread(group, length(kind))), *alone]


def _spread(cases: Sequence[Case], length: int) -> list[list[Case]]:
    count = -(-len(cases) // length)
    return [list(cases[first::count]) for first in range(count)]


def _plain(case: Case) -> Any:
    """Return the case as it is after a round trip through JSON."""
    return json.loads(json.dumps(case.as_dict(), default=str))


def summary(cases: Sequence[Case], known: Mapping[str, Result]) -> str:
    """Return the table of all selected runs with its totals."""
    there = made(cases, known)
    rows = [_row(case, there.get(case.name)) for case in cases]
    done = list(there.values())
    bad = [item for item in done if item["outcome"] != GOOD]
    longest = max((float(item.get("pause", 0)) for item in done), default=0.0)
    lines = [
        *rows,
        "",
        (
            f"{len(cases)} runs: {len(done) - len(bad)} good, {len(bad)} not,"
            f" {len(cases) - len(done)} not made"
        ),
        (
            f"lost writes: {_total(done, 'lost')}; split clusters: {_total(done, 'split')}; manual"
            f" steps: {_total(done, 'manual')}"
        ),
        f"longest pause between two acknowledged writes: {longest:.1f} s",
        f"acknowledged writes: {_total(done, 'writes')}",
    ]
    seeds = [str(item["seed"]) for item in bad if item.get("seed") is not None]
    if seeds:
        lines.append(f"seeds that failed: {', '.join(seeds)}")
    return "\n".join(lines)


def all_good(cases: Sequence[Case], known: Mapping[str, Result]) -> bool:
    """Return whether every run was made and passed; False without cases."""
    return bool(cases) and not remaining(cases, known)


def _row(case: Case, result: Result | None) -> str:
    if result is None:
        return f"{case.name:<34} {case.kind:<18} {'-':<7}"
    if "within" in result:
        return (
            f"{case.name:<34} {case.kind:<18} {result['outcome']:<7} in the run of"
            f" {result['within']}"
        )
    pause, took = float(result.get("pause", 0)), float(result.get("took", 0))
    codes = ",".join(str(item.get("code")) for item in result.get("attempts", ()))
    text = (
        f"{case.name:<34} {case.kind:<18} {result['outcome']:<7} {took:>6.0f} s  pause"
        f" {pause:>5.1f} s  exit codes {codes}"
    )
    first = next(iter(result.get("problems", ())), "")
    return text + (
        f"\n    {first.splitlines()[0]}\n    {result.get('evidence', '')}" if first else ""
    )


def _total(items: Iterable[Result], key: str) -> int:
    return sum(int(item.get(key, 0)) for item in items)
