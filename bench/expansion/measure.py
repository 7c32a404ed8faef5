"""Measure each work from the same snapshot of the lab, in turns, and compare the medians."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bench.expansion import cluster, floor, kubeadm, playbook, salt
from bench.expansion.lab import Run, lab
from bench.rows import Figure, Line, Row

T = TypeVar("T")
ROUNDS = 3
# The CPU seconds of the whole expansion when the limit was set, on a quiet machine with two cores.
EARLIER_CPU_S, MAX_CPU_S, AIM_CPU_S = 197, 110, 80
PAGE = "the page's expansion, four blank hosts"


def _seconds(run: Run) -> float:
    return run.seconds


def _gap(run: Run) -> float:
    return run.gap


@dataclass(frozen=True)
class Comparison:
    """A row of the table: the titles of two works, the compared value, the limit and the aim."""

    what: str
    ours: str
    peer: str
    peer_title: str
    limit: float
    aim: float
    faster: bool = False
    value: Callable[[Run], float] = _seconds


COMPARISONS = (
    Comparison(PAGE, "expand", "hand", "deploy_node by hand, four times", 0.6, 0.45),
    Comparison(PAGE, "expand", "floor", "the floor: a script over parallel ssh", 2, 1.5),
    Comparison(PAGE, "expand", "playbook", "an Ansible playbook", 1, 2, faster=True),
    Comparison(
        "prepared host to verified control-plane member",
        "prepared member",
        "kubeadm member",
        "kubeadm join --control-plane",
        0.6,
        0.35,
    ),
    Comparison(
        "one worker, blank to verified",
        "worker",
        "kubeadm worker",
        "kubeadm join of an installed worker",
        8,
        5,
    ),
    Comparison(
        "a second expand, nothing to do", "expand again", "bare runner", "salt-run test.arg", 2, 1.5
    ),
    Comparison(
        "longest gap between acknowledged writes during expand",
        "expand beside writes",
        "kubeadm member",
        "during kubeadm join --control-plane",
        1,
        0.5,
        value=_gap,
    ),
    Comparison(
        "the same, expand of one control-plane node",
        "member beside writes",
        "kubeadm member",
        "during kubeadm join --control-plane",
        1,
        0.5,
        value=_gap,
    ),
)


@dataclass
class Results:
    """The runs of each work in the order of the rounds, by the title of the work."""

    runs: dict[str, list[Run]] = field(default_factory=dict)

    def add(self, title: str, run: Run) -> None:
        """Add one run and print it."""
        self.runs.setdefault(title, []).append(run)
        hosts = ", ".join(f"{host} {seconds:.1f}" for host, seconds in run.cpu.items())
        cpu = f", {run.cpu_total:.1f} CPU s ({hosts})" if run.cpu else ""
        gap = f", longest gap between writes {run.gap:.2f} s" if run.gap else ""
        print(f"-- {title}: {run.seconds:.1f} s{cpu}{gap}", flush=True)

    def median(self, title: str, value: Callable[[Run], float]) -> float:
        """Return the median of a value of the runs of a work."""
        return statistics.median(value(run) for run in self.runs[title])


def rows() -> Iterator[Line]:
    """Yield all rows; make the lab at the start and destroy it at the end.

    With ``KEEP_LAB=1`` the lab stays, and ``LAB_AS_IT_IS=1`` uses the lab that stayed.
    """
    rounds = int(os.environ.get("ROUNDS") or ROUNDS)
    names = (os.environ.get("WORKS") or ",".join(WORKS)).split(",")
    results = Results()
    try:
        if not os.environ.get("LAB_AS_IT_IS"):
            cluster.make()
            if "kubeadm" in names:
                kubeadm.make()
        for turn in range(rounds):
            for name in in_turn(names, turn):
                WORKS[name](results)
    finally:
        if not os.environ.get("KEEP_LAB"):
            lab("destroy")
    yield from compared(results)


def in_turn(works: Sequence[T], turn: int) -> Sequence[T]:
    """Return the works of one round; every other round reverses their order."""
    return works[:: -1 if turn % 2 else 1]


def _expand(results: Results) -> None:
    cluster.restore()
    run, _ = salt.expand()
    results.add("expand", run)
    results.add("expand again", salt.timed("metalk8s_expand.expand"))
    results.add("bare runner", salt.timed("test.arg"))


def _writes(results: Results) -> None:
    cluster.restore()
    run, _ = salt.expand(writes=True)
    results.add("expand beside writes", run)
    cluster.restore()
    run, _ = salt.expand("cp-1", writes=True)
    results.add("member beside writes", run)


def _by_hand(results: Results) -> None:
    cluster.restore()
    results.add("hand", salt.deploy_by_hand())


def _floor(results: Results) -> None:
    cluster.restore()
    results.add("floor", floor.expand())


def _playbook(results: Results) -> None:
    cluster.restore()
    results.add("playbook", playbook.expand())


def _single(results: Results) -> None:
    cluster.restore()
    run, _ = salt.expand("worker-1")
    results.add("worker", run)
    run, report = salt.expand("cp-1")
    results.add("member", run)
    results.add("prepared member", Run(seconds_after_preparation(report, "cp-1")))


def _kubeadm(results: Results) -> None:
    kubeadm.restore()
    results.add("kubeadm worker", kubeadm.join("worker-1"))
    results.add("kubeadm member", kubeadm.join("cp-1"))


WORKS: Mapping[str, Callable[[Results], None]] = {
    "expand": _expand,
    "writes": _writes,
    "hand": _by_hand,
    "floor": _floor,
    "playbook": _playbook,
    "single": _single,
    "kubeadm": _kubeadm,
}


def seconds_after_preparation(report: Mapping[str, Any], name: str) -> float:
    """Return the seconds from the end of a node's step ``prepare`` to the end of the run.

    A report without that step counts from the start of the deployment, which then prepares the
    host itself.
    """
    [node] = [node for node in report["nodes"] if node["name"] == name]
    ends, starts = [], []
    for step in node["steps"]:
        kind = step["name"].partition(":")[0]
        if kind == "prepare":
            ends.append(step["started"] + step["elapsed"])
        elif kind == "deploy":
            starts.append(step["started"])
    begin = max(ends) if ends else min(starts)
    return float(report["started"] + report["elapsed"] - begin)


def compared(results: Results) -> Iterator[Line]:
    """Yield the rows of all works that were measured."""
    for each in COMPARISONS:
        if {each.ours, each.peer} <= set(results.runs):
            yield Row(
                each.what,
                results.median(each.ours, each.value),
                each.peer_title,
                results.median(each.peer, each.value),
                each.limit,
                each.faster,
                aim=each.aim,
            )
    yield from _cpu(results)


def _cpu(results: Results) -> Iterator[Line]:
    """Yield the CPU seconds of each work, and those of the whole expansion by host."""
    if expansions := results.runs.get("expand"):
        yield Row(
            f"{PAGE}: CPU",
            results.median("expand", lambda run: run.cpu_total),
            f"allowed; {EARLIER_CPU_S} when the limit was set",
            MAX_CPU_S,
            1,
            aim=AIM_CPU_S / MAX_CPU_S,
        )
        for host in expansions[0].cpu:
            used = statistics.median(run.cpu[host] for run in expansions)
            yield Figure(f"CPU of expand on {host}", used)
    for title, runs in results.runs.items():
        if runs[0].cpu:
            yield Figure(f"CPU of {title}", results.median(title, lambda run: run.cpu_total))
