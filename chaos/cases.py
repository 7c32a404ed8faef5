"""Define all runs: every boundary with every fault, and random runs from a seed. Pure functions."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from chaos import trigger as moments
from chaos.trigger import Trigger

# The control-plane nodes of each base in the order in which they joined. A run adds the next one
# and a worker.
BASES: Mapping[int, tuple[str, ...]] = {
    1: ("bootstrap",),
    2: ("bootstrap", "cp-1"),
    3: ("bootstrap", "cp-1", "cp-2"),
}
NEWCOMER: Mapping[int, str] = {1: "cp-1", 2: "cp-2", 3: "worker-2"}
WORKER = "worker-1"
# The hosts of a lab with five blank hosts, in the lab's own order from 10.200.0.10.
ADDRESSES = {
    name: f"10.200.0.{10 + number}"
    for number, name in enumerate(("bootstrap", "cp-1", "cp-2", "infra-1", "worker-1", "worker-2"))
}
HOSTS = len(ADDRESSES) - 1
ENUMERATED_BASE = 2

RUNNER_KILLED, RUN_KILLED, MASTER_KILLED, NEWCOMER_CRASHED = (
    "runner-killed",
    "run-killed",
    "master-killed",
    "newcomer-crashed",
)
AT_BOUNDARIES = (RUNNER_KILLED, RUN_KILLED, MASTER_KILLED, NEWCOMER_CRASHED)
MEMBER_CRASHED, BOOTSTRAP_CRASHED, ONE_WAY, PEERS_ONLY = (
    "member-crashed",
    "bootstrap-crashed",
    "one-way",
    "peers-only",
)
FULL_DISK, BLANK_DISK, LEADER_FROZEN, RUNNER_FROZEN = (
    "full-disk",
    "blank-disk",
    "leader-frozen",
    "runner-frozen",
)
REPLY_LOST, API_KILLED, TWO_AT_ONCE = "promote-reply-lost", "api-killed", "two-at-once"
# The seed selects the kind in this order: consecutive seeds, one for each kind, have all kinds.
RANDOM = (
    MEMBER_CRASHED,
    ONE_WAY,
    RUNNER_FROZEN,
    FULL_DISK,
    BOOTSTRAP_CRASHED,
    PEERS_ONLY,
    BLANK_DISK,
    REPLY_LOST,
    LEADER_FROZEN,
    API_KILLED,
    TWO_AT_ONCE,
)
# A fault of an existing node needs several etcd members and their API servers.
NEEDS_MEMBERS = (MEMBER_CRASHED, LEADER_FROZEN)
# If one of two members loses its disk, the cluster has no quorum. Only the backup could repair it.
NEEDS_THREE = (BLANK_DISK,)
# The approximate duration of an expansion without faults.
USUAL_S = 60.0


@dataclass(frozen=True)
class Case:
    """A run: the base, the fault, the moment, the host and the duration in seconds (``hold``)."""

    name: str
    kind: str
    base: int
    trigger: Trigger
    target: str = ""
    hold: float = 0.0
    seed: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    # Whether the run also adds a worker. The runs at boundaries need only the control-plane node.
    worker: bool = True

    @property
    def members(self) -> tuple[str, ...]:
        """The control-plane nodes of the base."""
        return BASES[self.base]

    @property
    def newcomer(self) -> str:
        """The control-plane node that the run adds."""
        return NEWCOMER[self.base]

    @property
    def declared(self) -> tuple[str, ...]:
        """All declared nodes, including those of the base."""
        return (*self.members[1:], self.newcomer, *([WORKER] if self.worker else []))

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that the run starts: the start of unused hosts would cost time."""
        return (BASES[1][0], *self.declared)

    @property
    def voters(self) -> tuple[str, ...]:
        """The members that etcd must have at the end."""
        return (*self.members, self.newcomer)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "trigger": str(self.trigger), "options": dict(self.options)}

    def __str__(self) -> str:
        where = f" of {self.target}" if self.target else ""
        return f"{self.name}: {self.kind}{where}, {self.trigger}, base {self.base}" + (
            f", {self.hold:.0f} s" if self.hold else ""
        )


def pillar(nodes: tuple[str, ...]) -> dict[str, Any]:
    """Return the declaration of these nodes."""
    profiles = {name: "worker" if name == WORKER else "control-plane" for name in nodes}
    return {
        "metalk8s_expand": {
            "defaults": {"version": "134.0.0"},
            # A fault can cause a deployment that never ends.
            "deploy_timeout": 600,
            "networks": {"pod_cidr": "10.233.0.0/16", "service_cidr": "10.96.0.0/12"},
            # All hosts write to one disk of the machine, and a small disk is one of the faults.
            "preflight": {
                "thresholds": {
                    "fsync_warning_ms": 1000,
                    "fsync_error_ms": 10000,
                    "disk_mb": {"etcd": 500, "master": 500},
                    "disk_inodes": 1000,
                }
            },
            "nodes": {
                name: {"profile": profile, "address": ADDRESSES[name]}
                for name, profile in profiles.items()
            },
        }
    }


def boundaries(node: str) -> dict[str, Trigger]:
    """Return every boundary between two steps of a control-plane node by its name, in time order.

    The runner prints its own steps. The jobs on the master's event bus show the steps of the
    deployment, and the member lists show the steps of the etcd role.
    """
    on, by = moments.published, moments.returned
    runner = {
        "looking": moments.progress(node, "check_ssh, preflight", "asking"),
        "snapshot": Trigger(moments.RUNNER, r"\] cluster +.*: saving a snapshot of etcd "),
        "register": moments.progress(node, "register", "started"),
        "registered": moments.progress(node, "register", "done"),
        "prepare": moments.progress(node, "prepare", "job"),
    }
    preparation = {
        "key-accepted": moments.authenticated(node),
        "minion-started": moments.started(node),
        "ca-told": on("saltutil.refresh_pillar", "bootstrap"),
        "role-prepared": on("state.sls", node, "metalk8s.roles.prepared"),
        "role-prepared-done": by("state.sls", node, "metalk8s.roles.prepared"),
        "prepared": moments.progress(node, "prepare", "done"),
    }
    deployment = {
        "health": moments.progress(node, "health", "started"),
        "deploy": moments.progress(node, "deploy", "job"),
        "role-etcd": on("state.sls", node, "metalk8s.roles.etcd"),
        "learner-added": moments.member(node, "learner"),
        "learner-started": moments.member(node, "started"),
        "promoted": moments.member(node, "voter"),
        "role-etcd-done": by("state.sls", node, "metalk8s.roles.etcd"),
        # Every other Ready node is asked this. A proxy that lists the server gets no further job.
        "proxies": on("metalk8s_expand_host.apiserver_proxy", "bootstrap"),
        "proxies-done": by("metalk8s_expand_host.apiserver_proxy", "bootstrap"),
    }
    end = {
        "deployed": moments.progress(node, "deploy", "done"),
        "verify": moments.progress(node, "verify", "started"),
        "verified": moments.progress(node, "verify", "done"),
        "uncordoned": moments.progress(node, "uncordon", "done"),
    }
    return {**runner, **preparation, **deployment, **end}


# The runner's own lines at which an orchestration runs.
ORCHESTRATED = ("prepare", "deploy")


def enumerated() -> list[Case]:
    """Return every boundary with every fault.

    The fault that kills the runner with its orchestration needs a running orchestration.
    """
    node = NEWCOMER[ENUMERATED_BASE]
    cases = []
    for name, moment in boundaries(node).items():
        for kind in AT_BOUNDARIES:
            if kind == RUN_KILLED and moment.source == moments.RUNNER and name not in ORCHESTRATED:
                continue
            target = node if kind == NEWCOMER_CRASHED else ""
            cases.append(
                Case(f"{name}+{kind}", kind, ENUMERATED_BASE, moment, target, worker=False)
            )
    return cases


SHORT = (
    f"registered+{RUNNER_KILLED}",
    f"learner-added+{RUN_KILLED}",
    f"promoted+{NEWCOMER_CRASHED}",
)


def short() -> list[Case]:
    """Return a few of the boundaries."""
    return [case for case in enumerated() if case.name in SHORT]


def drawn(first: int, count: int) -> list[Case]:
    """Return the runs of ``count`` consecutive seeds from ``first``."""
    return [random_case(seed) for seed in range(first, first + count)]


def random_case(seed: int) -> Case:
    """Return the run of a seed; it depends on the seed alone."""
    dice = random.Random(seed)
    kind = RANDOM[seed % len(RANDOM)]
    base = dice.choice(_bases(kind))
    node = NEWCOMER[base]
    moment = moments.after(round(dice.uniform(1.0, USUAL_S), 1))
    target, hold, options = "", 0.0, dict[str, Any]()
    existing = BASES[base][1:] or BASES[base]
    if kind in (MEMBER_CRASHED, API_KILLED):
        target, hold = dice.choice(existing), round(dice.uniform(2, 15), 1)
    elif kind == BOOTSTRAP_CRASHED:
        target, hold = "bootstrap", round(dice.uniform(2, 10), 1)
    elif kind in (ONE_WAY, PEERS_ONLY):
        target, hold = dice.choice(BASES[base] + (node,)), round(dice.uniform(5, 40), 1)
        other = dice.choice([name for name in (*BASES[base], node) if name != target])
        options = {"other": other}
    elif kind in (FULL_DISK, BLANK_DISK):
        target, hold = node, round(dice.uniform(5, 30), 1)
        moment = _around_the_join(dice, node, kind)
    elif kind == LEADER_FROZEN:
        hold = round(dice.uniform(3, 25), 1)
    elif kind == REPLY_LOST:
        target, hold, moment = node, round(dice.uniform(6, 12), 1), moments.member(node, "voter")
    elif kind == TWO_AT_ONCE:
        moment = moments.after(round(dice.uniform(0.0, 20.0), 1))
        options = {"wait_s": dice.choice((0, 300))}
    return Case(f"seed-{seed}", kind, base, moment, target, hold, seed, options)


def _bases(kind: str) -> tuple[int, ...]:
    if kind in NEEDS_THREE:
        return (2, 3)
    return (2, 3, 3) if kind in NEEDS_MEMBERS else (1, 2, 2, 3)


def _around_the_join(dice: random.Random, node: str, kind: str) -> Trigger:
    """Return a moment around the join of the newcomer's member.

    A full disk has an effect from just before etcd starts, a wiped disk only after etcd wrote to
    it.
    """
    states = ("learner", "started", "voter") if kind == FULL_DISK else ("started", "voter")
    moment = moments.member(node, dice.choice(states))
    return Trigger(moment.source, moment.pattern, round(dice.uniform(0, 2), 2))


def named(names: list[str]) -> Iterator[Case]:
    """Yield the runs of these names; raise ``KeyError`` with an unknown name."""
    known = {case.name: case for case in enumerated()}
    for name in names:
        number = name.removeprefix("seed-")
        yield random_case(int(number)) if number != name and number.isdigit() else known[name]
