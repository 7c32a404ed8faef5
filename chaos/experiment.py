"""Run an experiment and judge it.

The steps are: restore the snapshot of the base, start the workload, expand, inject the fault,
recover as an operator would, and check the invariants. In a run of several cases each fault follows
the one before in the same expansion. If a fault ended the expansion, the next one gets the next
fault.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from chaos import faults, https, invariants, lab_hosts, lab_snapshots, linearizability
from chaos.cases import ADDRESSES, Case, pillar
from chaos.diagnostics import keep
from chaos.event_log import Board
from chaos.faults import Scene
from chaos.lab_hosts import ChaosError
from chaos.linearizability import Operation
from chaos.paths import Place
from chaos.processes import Events, Process, beside
from chaos.results import BAD, GOOD, MISSED
from chaos.trigger import EVENT, RUNNER

TRIGGER_S = 900.0
RUNNER_S = 1200.0
SETTLE_S = 240.0
ATTEMPTS = 3
BETWEEN_S = 15.0
LOOK_S = 90.0
# The exit codes other than 0 that the last expand may have, by the kind of the fault: none today.
REFUSALS: dict[str, frozenset[int]] = {}


def make(cases: Sequence[Case], place: Place) -> list[dict[str, Any]]:
    """Make the cases one after another in one run and return their results.

    A case whose moment did not come has no result, unless no case had one: then the first case is
    ``missed``. An error of the harness is a problem of the run, too. The first result holds the
    data of the whole run.
    """
    first = cases[0]
    evidence = place.evidence(first.name)
    shutil.rmtree(evidence, ignore_errors=True)
    evidence.mkdir(parents=True)
    scene = Scene(first, Board(evidence / "heard.log"), evidence)
    started = time.monotonic()
    result: dict[str, Any] = {}
    try:
        with _credentials(place):
            found = _run(cases, scene, place, result)
        problems = [*scene.problems, *found]
    except Exception as error:
        problems = [*scene.problems, f"{type(error).__name__}: {error}"]
        scene.came = scene.came or [first]
    outcome = GOOD if scene.came else MISSED
    if problems:
        outcome = BAD
    if not scene.came:
        problems.append(f"the moment never came: {first.trigger}")
    result |= {
        "problems": problems,
        "notes": scene.notes,
        "took": round(time.monotonic() - started, 1),
    }
    result |= {
        kind: sum(line.startswith(f"{kind.upper()}:") for line in problems)
        for kind in ("lost", "split")
    }
    told = scene.came or [first]
    results = [
        {
            "name": case.name,
            "kind": case.kind,
            "seed": case.seed,
            "case": case.as_dict(),
            "outcome": outcome,
        }
        for case in told
    ]
    results[0] |= result
    for item in results[1:]:
        item["within"] = told[0].name
    if outcome == GOOD:
        shutil.rmtree(evidence)
    else:
        results[0]["evidence"] = str(evidence)
        keep(evidence, results[0])
    return results


def _run(cases: Sequence[Case], scene: Scene, place: Place, result: dict[str, Any]) -> list[str]:
    """Make the faults and return the violated invariants."""
    case = scene.case
    faults.mend()
    lab_snapshots.begin(case.base, case.hosts)
    lab_hosts.declare(pillar(case.declared))
    _copy_keys(place)
    start = int(_in_network(place, "revision", case.members[:1]))
    scene.note("begun")
    try:
        with _clients(scene, place, start):
            waiting = deque(cases)
            while waiting:
                _expanded(scene, waiting)
                _settled(scene)
                if scene.main.process.code == 0:
                    break
            _finished(scene)
    finally:
        faults.mend()
        result["attempts"] = [runner.outcome() for runner in scene.runners]
        result["manual"] = int(not result["attempts"] or result["attempts"][-1]["code"] != 0)
    return _judged(scene, place, start, result)


def _expanded(scene: Scene, waiting: deque[Case]) -> None:
    """Run an expansion with the faults of the waiting cases until it ends.

    Remove each case whose moment came from ``waiting``, and the first case in any event.
    """
    with ExitStack() as stack:
        if any(case.trigger.source == EVENT for case in waiting):
            stack.callback(Events(scene.board).close)
        first = scene.case = waiting[0]
        stack.enter_context(faults.PREPARED.get(first.kind, lambda _: nullcontext())(scene))
        since = time.monotonic()
        main = scene.expand(*(["wait_s=90"] if scene.runners else []), source=RUNNER)
        stack.callback(_ended, scene)
        while scene.board.wait(scene.case.trigger, since, TRIGGER_S, main.process.ended):
            scene.note(f"{scene.case.kind} after {time.monotonic() - since:.1f} s")
            with faults.made(scene):
                pass
            scene.note("healed")
            scene.came.append(waiting.popleft())
            since = time.monotonic()
            if main.killed or main.process.ended() or not waiting:
                break
            scene.case = waiting[0]
        else:
            scene.note(f"the moment of {scene.case.name} did not come")
            if scene.case is first:
                waiting.popleft()
        _await_end(scene)


def _await_end(scene: Scene) -> None:
    for runner in list(scene.runners):
        if not runner.wait(RUNNER_S):
            scene.problems.append(f"expand {runner.number} had not ended after {RUNNER_S:.0f} s")
            runner.kill(jobs=True)


def _ended(scene: Scene) -> None:
    """Kill all runners that still run: no process may outlive its run."""
    for runner in scene.runners:
        if not runner.process.ended():
            with suppress(ChaosError):
                runner.kill(jobs=True)
            runner.process.kill()


def _settled(scene: Scene) -> None:
    """Wait, as an operator does before a retry, until the hosts, the master and the API are up.

    The function starts hosts that are down, records them as a problem, and fixes nothing else.
    """
    for name in scene.case.hosts:
        if not lab_hosts.is_up(name):
            scene.problems.append(f"{name} was down")
            lab_hosts.start(name)
    lab_hosts.until("the Salt master", lab_hosts.master_problem, SETTLE_S)
    lab_hosts.until(
        "the API",
        lambda: "" if lab_hosts.kubectl("get", "--raw", "/readyz").strip() == "ok" else "not ready",
        SETTLE_S,
    )


def _finished(scene: Scene) -> None:
    """Run the same ``expand`` again until it succeeds, at most three times."""
    for number in range(ATTEMPTS):
        runner = scene.expand("wait_s=90")
        if not runner.wait(RUNNER_S):
            scene.problems.append(f"expand {runner.number} had not ended after {RUNNER_S:.0f} s")
            runner.kill(jobs=True)
            runner.wait(30)
        scene.note(f"expand {runner.number} ended with {runner.process.code}")
        if runner.process.code == 0 or number == ATTEMPTS - 1:
            return
        time.sleep(BETWEEN_S)


@contextmanager
def _clients(scene: Scene, place: Place, start: int) -> Iterator[None]:
    """Run writers and watchers of all present and future members; end them with the context."""
    voters = _places(scene.case.voters)
    running: list[Process] = []
    try:
        words = ["--keys", str(place.keys)]
        watch = [
            "watch",
            *words,
            "--log",
            str(scene.evidence / "seen.jsonl"),
            "--start",
            str(start),
            *voters,
        ]
        running.append(beside(scene.board, "member", "etcd_state", *watch))
        running.append(
            beside(
                scene.board,
                "writer",
                "workload",
                *words,
                "--log",
                str(scene.evidence / "operations.jsonl"),
                *voters,
            )
        )
        yield
    finally:
        for process in reversed(running):
            if not process.close_input():
                process.kill()


def _judged(scene: Scene, place: Place, start: int, result: dict[str, Any]) -> list[str]:
    case = scene.case
    operations = [
        linearizability.operation(item) for item in _lines(scene.evidence / "operations.jsonl")
    ]
    seen = [
        (item["member"], linearizability.event(item))
        for item in _lines(scene.evidence / "seen.jsonl")
    ]
    text = _in_network(place, "collect", case.voters, "--start", str(start))
    (scene.evidence / "members.json").write_text(text)
    gathered = json.loads(text)
    result |= _figures(operations)
    return [
        *invariants.attempt_problems(result["attempts"], REFUSALS.get(case.kind, frozenset())),
        *linearizability.problems(operations, invariants.member_histories(gathered), seen),
        *invariants.etcd_problems(gathered, case.voters),
        *_looked(case),
        *([] if result["writes"] else ["no write was ever acknowledged"]),
    ]


def _figures(operations: list[Operation]) -> dict[str, Any]:
    return {
        "writes": len(linearizability.acknowledged(operations)),
        "operations": linearizability.counts(operations),
        "pause": round(linearizability.longest_pause(operations), 2),
    }


def _looked(case: Case) -> list[str]:
    """Return the problems of the cluster; give the kubelets up to 90 seconds to report Ready."""
    look, deadline = invariants.Look(case.declared), time.monotonic() + LOOK_S
    while (problems := look.problems()) and time.monotonic() < deadline:
        time.sleep(3)
    return problems


def _places(names: tuple[str, ...]) -> list[str]:
    return [f"{name}={ADDRESSES[name]}" for name in names]


def _in_network(place: Place, what: str, names: tuple[str, ...], *more: str) -> str:
    """Return the output of ``chaos.etcd_state``; raise ``ChaosError`` if it fails."""
    words = [
        sys.executable,
        "-m",
        "chaos.etcd_state",
        what,
        "--keys",
        str(place.keys),
        *more,
        *_places(names),
    ]
    done = subprocess.run(
        lab_hosts.inside(words),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=lab_hosts.REPOSITORY,
    )
    if done.returncode:
        raise ChaosError(f"members {what}: exit code {done.returncode}\n{done.stderr[-3000:]}")
    return done.stdout


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the JSON lines that a process wrote; skip a truncated last line."""
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            yield json.loads(line)
        except ValueError:
            continue


@contextmanager
def _credentials(place: Place) -> Iterator[None]:
    """Create the directory for client certificates, and delete it at the end of the run."""
    shutil.rmtree(place.keys, ignore_errors=True)
    place.keys.mkdir(parents=True, mode=0o700)
    try:
        yield
    finally:
        shutil.rmtree(place.keys, ignore_errors=True)


def _copy_keys(place: Place) -> None:
    for kind, paths in https.CREDENTIALS.items():
        (place.keys / kind).mkdir(mode=0o700)
        for name, path in zip(https.FILES, paths, strict=True):
            target = place.keys / kind / name
            target.touch(mode=0o600)
            target.write_text(lab_hosts.on(lab_hosts.BOOTSTRAP, "cat", path).stdout)
