"""Manage the bases of the runs: snapshots of a lab with one, two and three members.

The harness makes them once for each state of the code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from chaos import lab_hosts
from chaos.cases import ADDRESSES, BASES, HOSTS, pillar
from chaos.lab_hosts import ChaosError
from chaos.paths import MADE_OF, Place, fingerprint

BUILD_S = 7200.0


def snapshot(base: int) -> str:
    return f"chaos-{base}"


def ensure(place: Place, wanted: set[int]) -> None:
    """Make all bases up to the largest one in ``wanted``; keep the existing bases of this code."""
    code = fingerprint(MADE_OF)
    known = _known(place, code)
    if wanted <= known:
        return
    if not known:
        print("making a new lab", flush=True)
        lab_hosts.lab("destroy")
        lab_hosts.lab("up", "--nodes", str(HOSTS), timeout=BUILD_S)
    else:
        lab_hosts.lab("rollback", snapshot(max(known)))
        ready(max(known))
    for base in range(max(known, default=0) + 1, max(wanted) + 1):
        _make(base)
        known.add(base)
        place.root.mkdir(parents=True, exist_ok=True)
        place.bases.write_text(
            json.dumps({"code": code, "lab": lab_hosts.LAB, "bases": sorted(known)})
        )


def _known(place: Place, code: str) -> set[int]:
    try:
        found = json.loads(place.bases.read_text())
    except (FileNotFoundError, ValueError):
        return set()
    if found.get("code") != code or found.get("lab") != lab_hosts.LAB:
        return set()
    kept = lab_hosts.snapshots()
    there = {base for base in found["bases"] if snapshot(base) in kept}
    # Each base was made from the one before, so a gap makes all of them unusable.
    return there if there == set(range(1, len(there) + 1)) else set()


def _make(base: int) -> None:
    """Add the last node of the base to the previous base, and make a snapshot."""
    print(f"making the base with {base} members", flush=True)
    if base > 1:
        lab_hosts.declare(pillar(BASES[base][1:]))
        done = lab_hosts.on(
            lab_hosts.BOOTSTRAP,
            "salt-run",
            "--out=json",
            "metalk8s_expand.expand",
            timeout=900,
            check=False,
        )
        if done.returncode:
            raise ChaosError(
                f"the base with {base} members: expand ended with"
                f" {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-2000:]}"
            )
    ready(base)
    lab_hosts.lab("snapshot", snapshot(base))
    ready(base)


def begin(base: int, names: Iterable[str]) -> None:
    """Restore a base, start these hosts, and wait until the control plane works."""
    lab_hosts.lab("rollback", snapshot(base), "--start", *names)
    ready(base)


def rest() -> None:
    """Stop the hosts; disks and snapshots stay."""
    lab_hosts.lab("down")


def ready(base: int) -> None:
    """Wait until the base's control plane works; raise ``ChaosError`` with the last problem."""
    lab_hosts.until("the Salt master", lab_hosts.master_problem, 120)
    for name in BASES[base]:
        lab_hosts.until(
            f"the API server of {name}",
            lambda name=name: lab_hosts.api_problem(name, ADDRESSES[name]),
            240,
        )  # type: ignore[misc]
    lab_hosts.until("the minions", lambda: lab_hosts.minions_problem(BASES[base]), 180)
    lab_hosts.until("the Nodes", lambda: lab_hosts.nodes_problem(BASES[base]), 240)
