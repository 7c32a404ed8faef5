"""Reports of runs as a master stores them: successful, failed, stopped, a removal, and a fleet."""

from __future__ import annotations

import random
from typing import Any

Report = dict[str, Any]
Steps = list[dict[str, Any]]

STARTED = 1795943304.8
PREFIX = "node-role.kubernetes.io/"
JOB = "20261129090847574412"
# The states of each step with their seconds; the first state of a preparation runs beside the next.
PREPARATION = (
    ("Let the CA know {}", 2.1),
    ("Run the minion of {}", 8.4),
    ("Prepare {}", 10.0),
)
DEPLOYMENT = (("Let {} join the cluster", 4.3), ("Verify {}", 3.5))
PROXIES = ("Let every API proxy know {}", 0.6)
CP, INFRA, WORKER = ("master", "etcd"), ("infra",), ("node",)


def step(name: str, at: float, elapsed: float, ok: bool = True, detail: str = "") -> dict[str, Any]:
    """Return a step that starts at a number of seconds after the run."""
    started = STARTED + at
    return {"name": name, "started": started, "elapsed": elapsed, "ok": ok, "detail": detail}


def node_steps(
    name: str,
    at: float,
    roles: Any = WORKER,
    failed: str = "",
    pace: float = 1.0,
    turn: float = 0.0,
) -> Steps:
    """Return the steps of one node; the state whose title begins with ``failed`` fails.

    A control-plane node that is prepared waits until its ``turn``.
    """
    steps = [step("check_ssh, preflight", 0.0, 1.1), step("register", at, 0.3)]
    if not _orchestration(steps, "prepare", name, at + 0.35, PREPARATION, failed, pace):
        return steps
    at = end_of(steps) + 0.2
    deployment = DEPLOYMENT
    if roles == CP:
        at = max(at, turn)
        steps.append(step("health", at, 0.4))
        at += 0.5
        deployment = (DEPLOYMENT[0], PROXIES, DEPLOYMENT[1])
    if not _orchestration(steps, "deploy", name, at, deployment, failed, pace):
        return steps
    at = end_of(steps) + 0.1
    steps.append(step("verify", at, 0.3))
    steps.append(step("uncordon", at + 0.4, 0.2))
    return steps


def _orchestration(
    steps: Steps, title: str, name: str, at: float, states: Any, failed: str, pace: float
) -> bool:
    """Add the states of an orchestration and the step itself; return whether all succeeded."""
    begun, good = at, True
    for state, seconds in states:
        what = state.format(name)
        good = not (failed and what.startswith(failed))
        steps.append(step(f"{title}: {what}", at, seconds * pace, good, JOB))
        if not good:
            break
        if not what.startswith("Let the CA"):
            at += seconds * pace
    steps.append(step(title, begun, end_of(steps) - begun + 0.4, good))
    return good


def end_of(steps: Steps) -> float:
    """Return the seconds after the start of the run at which these steps end."""
    return max(item["started"] + item["elapsed"] for item in steps) - STARTED


def reported(name: str, steps: Steps, **changes: Any) -> dict[str, Any]:
    """Return the report of one node."""
    plain = {"ok": True, "skipped": None, "error": None, "undone": [], "state": None}
    return {"name": name, "steps": steps, **plain, **changes}


def failure(
    name: str, problem: str, job: str = JOB, orchestration: str = "deploy_node"
) -> dict[str, Any]:
    """Return the error of a failed orchestration."""
    hint = "fix the first of these problems and run the same command again; the whole result:"
    return {
        "type": "DeployError", "retcode": 8, "message": f"metalk8s.orchestrate.{orchestration} failed",
        "node": name, "hint": f"{hint} salt-run jobs.lookup_jid {job}", "job": job,
        "log": "on the master: /var/log/salt/master; on the node: /var/log/salt/minion",
        "problems": [problem], "text": "",
    }  # fmt: skip


def seen(name: str, roles: Any, taints: Any = None, **changes: Any) -> dict[str, Any]:
    """Return a Node in a recorded state; its taints are those of its roles by default."""
    own = roles if taints is None else taints
    taint_list = [f"{PREFIX}{role}:NoSchedule" for role in own if role != "node"]
    plain = {"name": name, "roles": list(roles), "taints": taint_list}
    return {**plain, "state": "ready", "cordoned": False, **changes}


def member(name: str, **changes: Any) -> dict[str, Any]:
    """Return a healthy voter of etcd."""
    plain = {"name": name, "learner": False, "healthy": True, "leads": False, "db_size": 41943040}
    return {**plain, **changes}


def change(path: str, wanted: str, *nodes: str) -> dict[str, Any]:
    """Return a difference that several nodes have."""
    return {"path": path, "found": None, "wanted": wanted, "nodes": list(nodes)}


BOOTSTRAP = seen("bootstrap", ("bootstrap", "master", "etcd", "infra"), ("bootstrap", "infra"))


def expansion() -> Report:
    """Return the report of an expansion that added four nodes."""
    first = node_steps("cp-1", 1.3, CP)
    second = node_steps("cp-2", 1.3, CP, turn=end_of(first) + 0.3)
    nodes = [
        reported("cp-1", first),
        reported("cp-2", second),
        reported("infra-1", node_steps("infra-1", 1.3, INFRA, pace=1.15)),
        reported("worker-1", node_steps("worker-1", 1.3)),
    ]
    after = [seen("cp-1", CP), seen("cp-2", CP), seen("infra-1", INFRA), seen("worker-1", WORKER)]
    annotation = "metadata.annotations[metalk8s.scality.com/ssh-host]"
    return {
        "id": "20261129090824", "ok": True, "retcode": 0, "started": STARTED,
        "elapsed": end_of(second) + 3.1, "nodes": nodes, "unchanged": False,
        "notes": ["worker_threads is 5: set worker_threads to 13 or more", "old-1: nothing to change"],
        "command": "salt-run metalk8s_expand.expand", "unchanged_nodes": ["old-1"],
        "snapshot": {"path": "/snapshots/etcd-1.db", "bytes": 41943040, "member": "bootstrap", "copied_to": None},
        "changes": [
            change(f"metadata.labels[{PREFIX}master]", "", "cp-1", "cp-2"),
            change(f"spec.taints[{PREFIX}master:NoSchedule]", "", "cp-1", "cp-2"),
            change(f"metadata.labels[{PREFIX}node]", "", "worker-1"),
            *(change(annotation, f"10.200.0.{number}", node["name"]) for number, node in enumerate(nodes, 11)),
        ],
        "cluster": {
            "before": {"nodes": [BOOTSTRAP], "etcd": [member("bootstrap", leads=True)]},
            "after": {
                "nodes": [BOOTSTRAP, *after],
                "etcd": [member("bootstrap", leads=True), member("cp-1"), member("cp-2")],
            },
        },
    }  # fmt: skip


def failed() -> Report:
    """Return the report of an expansion whose second control-plane node failed."""
    report = expansion()
    turn = end_of(report["nodes"][0]["steps"]) + 0.3
    problem = "state 'Let cp-2 join the cluster': the learner cp-2 has not started after 120 s"
    report["nodes"][1] = reported(
        "cp-2", node_steps("cp-2", 1.3, CP, "Let cp-2", turn=turn), ok=False, error=failure("cp-2", problem),
        undone=["its etcd learner cp-2 was removed"], state="NodeStatusUnknown; cordoned by us",
    )  # fmt: skip
    skipped = "cp-2 failed, and the run starts no further control-plane node"
    checks = [step("check_ssh, preflight", 0.0, 4.2)]
    report["nodes"].append(reported("cp-3", checks, ok=False, skipped=skipped))
    report.update(id="20261129101500", ok=False, retcode=8)
    after = report["cluster"]["after"]
    after["nodes"][2].update(state="not ready", cordoned=True)
    after["etcd"].pop()
    return report


def stopped() -> Report:
    """Return the report of an expansion that an operator stopped."""
    report = expansion()
    report.update(id="20261129111500", ok=False, retcode=10)
    message = "the run was stopped before the step verify (SIGTERM)"
    error = {**failure("worker-1", ""), "type": "StoppedError", "retcode": 10, "message": message,
             "problems": [], "job": None}  # fmt: skip
    steps = report["nodes"][3]["steps"][:-2]
    report["nodes"][3] = reported("worker-1", steps, ok=False, error=error)
    reason = "the run was stopped before it began (SIGTERM)"
    report["nodes"][1] = reported("cp-2", [], ok=False, skipped=reason)
    report["cluster"]["after"]["nodes"].pop(2)
    report["cluster"]["after"]["etcd"].pop()
    return report


def removal() -> Report:
    """Return the report of the removal of a control-plane node."""
    steps, at = [], 0.0
    names = (
        "guard",
        "cordon",
        "drain",
        "leadership",
        "api_server",
        "member",
        "retire",
        "key",
        "node",
    )
    for name, seconds in zip(names, (0.4, 0.1, 41.3, 0.6, 3.2, 0.7, 18.2, 0.2, 0.3), strict=True):
        steps.append(step(name, at, seconds, detail="12 Pods" if name == "drain" else ""))
        at += seconds + 0.05
    before = expansion()["cluster"]["after"]
    staying = [node for node in before["nodes"] if node["name"] != "cp-2"]
    tolerances = {"before": {"voters": 3, "failures": 1}, "after": {"voters": 2, "failures": 0}}
    return {
        "id": "20261130010000", "ok": True, "retcode": 0, "started": STARTED, "elapsed": at + 1,
        "nodes": [reported("cp-2", steps)], "notes": ["the pillar still declares cp-2"],
        "command": "salt-run metalk8s_expand.remove_node cp-2", "removed": "cp-2",
        "unchanged": False, "snapshot": None,
        "plan": {
            "node": "cp-2", "roles": list(CP), "given_up": False, "refused": [],
            "steps": [{"name": name, "reason": f"the reason of {name}"} for name in names],
            "guard": {"agrees": True, "problems": [], "etcd": tolerances},
        },
        "cluster": {"before": before, "after": {"nodes": staying, "etcd": before["etcd"][:2]}},
    }  # fmt: skip


def fleet(count: int = 1000, every: int = 3) -> Report:
    """Return the report of an expansion by many workers, of which each ``every``-th one failed."""
    report, chance = expansion(), random.Random(4)
    after, changes = report["cluster"]["after"]["nodes"], report["changes"]
    free = [1.3] * 50
    for number in range(1, count + 1):
        name, job = f"worker-{number:04d}", f"20261129090847{number:06d}"
        slot = free.index(min(free))
        bad = number % every == 0
        pace = chance.uniform(0.85, 1.4)
        steps = node_steps(name, free[slot], failed="Run the minion" if bad else "", pace=pace)
        free[slot] = end_of(steps) + 0.2
        address = f"10.201.{number // 250}.{number % 250}"
        problem = f"state 'Run the minion of {name}': {address} does not answer"
        error = failure(name, problem, job, "prepare_node") if bad else None
        report["nodes"].append(reported(name, steps, ok=not bad, error=error))
        after.append(seen(name, WORKER, state="not ready" if bad else "ready", cordoned=bad))
        changes.append(change("metadata.annotations[metalk8s.scality.com/ssh-host]", address, name))
    report.update(id="20261201000000", ok=False, retcode=8, elapsed=max(free) + 12)
    return report
