"""Expand through this project's public interface: ``expand``, and ``deploy_node`` by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from bench.expansion.cluster import verify
from bench.expansion.lab import BOOTSTRAP, NODES, Run, measured, on

LIMIT_S = 1200
# Clients of MetalK8s use the local proxy in front of all API servers.
PROXY = 7443
SALTENV = "metalk8s-134.0.0"
HOSTS = (BOOTSTRAP, *(node.name for node in NODES))


def expand(*names: str, writes: bool = False) -> tuple[Run, dict[str, Any]]:
    """Expand to all nodes, or to the named ones; return the measurement and the report.

    With ``writes``, a client writes meanwhile; its CPU time and that of its requests are included.
    """
    selection = [f"nodes={','.join(names)}"] if names else []
    with measured(*HOSTS, port=PROXY if writes else 0) as run:
        text = on(BOOTSTRAP, *_runner("metalk8s_expand.expand", *selection), timeout=LIMIT_S)
    verify(names or [node.name for node in NODES])
    report: dict[str, Any] = json.loads(text)
    for node in report["nodes"]:
        steps = (f"{step['name']} {step['elapsed']:.1f}" for step in node["steps"])
        print(f"   {node['name']}: {'; '.join(steps)}", flush=True)
    return run, report


def timed(function: str) -> Run:
    """Measure one call of a runner function without arguments."""
    started = time.perf_counter()
    on(BOOTSTRAP, *_runner(function), timeout=LIMIT_S)
    return Run(time.perf_counter() - started)


def deploy_by_hand() -> Run:
    """Deploy the four nodes by hand, one after another.

    The Nodes are registered before the measurement.
    """
    for node in NODES:
        manifest = on(BOOTSTRAP, "salt-run", "metalk8s_expand.manifest", node.name)
        on(BOOTSTRAP, "kubectl", "apply", "--filename=-", data=manifest)
    with measured(*HOSTS) as run:
        for node in NODES:
            pillar = json.dumps({"orchestrate": {"node_name": node.name}})
            command = _runner(
                "state.orchestrate",
                "metalk8s.orchestrate.deploy_node",
                f"saltenv={SALTENV}",
                f"pillar={pillar}",
            )
            on(BOOTSTRAP, *command, timeout=LIMIT_S)
    verify([node.name for node in NODES])
    return run


def _runner(function: str, *arguments: str) -> Sequence[str]:
    return ("salt-run", "--out=json", function, *arguments)
