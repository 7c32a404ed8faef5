"""A Salt master that uses a real API server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import salt.config
import salt.loader

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.cluster.context import ClusterContext
from tests.fakes.runner import RunnerCalls
from tests.integration.apiserver import ApiServer

ROOT = Path(__file__).resolve().parents[2]

DECLARED: dict[str, Any] = {
    "defaults": {"version": "2.0.0"},
    "profiles": {"gpu": {"roles": ["node"], "taints": [{"key": "example.com/gpu", "value": "a"}], "labels": {"example.com/g": "1"}}},
    "nodes": {
        "plan-cp": {"profile": "control-plane", "address": "192.0.2.1"},
        "plan-gpu": {"profile": "gpu", "address": "192.0.2.2"},
        "plan-w": {"profile": "worker", "address": "192.0.2.3"},
    },
}  # fmt: skip


class Master:
    """The options of a master with this API, and a pillar that a test can rewrite."""

    def __init__(self, server: ApiServer, base: Path) -> None:
        self.base = base
        (base / "pillar").mkdir()
        (base / "pillar" / "top.sls").write_text("base:\n  'lab_master': [declared]\n")
        (base / "ext").mkdir()
        for kind in ("states", "utils", "runners"):
            (base / "ext" / kind).symlink_to(ROOT / "salt" / f"_{kind}")
        deployment = base / "tree" / "metalk8s" / "orchestrate" / "deploy_node.sls"
        deployment.parent.mkdir(parents=True)
        deployment.touch()
        self.values = {
            "id": "lab_master",
            "cachedir": str(base / "cache"),
            "file_roots": {"metalk8s-2.0.0": [str(base / "tree")], "base": [str(base / "sls")]},
            "extension_modules": str(base / "ext"),
            "pillar_roots": {"base": [str(base / "pillar")]},
            "metalk8s_expand": {"kubeconfig": str(server.admin)},
        }
        self.opts = salt.config.master_config(None)
        self.opts.update({**self.values, "grains": {}})
        self.declare(DECLARED)

    def declare(self, pillar: dict[str, Any]) -> None:
        """Write the pillar."""
        (self.base / "pillar" / "declared.sls").write_text(json.dumps({"metalk8s_expand": pillar}))

    def orchestrate(self, sls: str, *words: str) -> tuple[int, list[dict[str, Any]]]:
        """Run ``salt-run state.orchestrate``; return its exit code and the states in order."""
        (self.base / "cache" / "proc").mkdir(parents=True, exist_ok=True)
        more = {"root_dir": str(self.base), "log_level": "quiet", "log_level_logfile": "quiet"}
        (self.base / "master").write_text(json.dumps({**self.values, **more}))
        program = str(Path(sys.executable).with_name("salt-run"))
        command = [program, "-c", str(self.base), "--out=json", "state.orchestrate", sls, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        [states] = json.loads(done.stdout[done.stdout.index("{") :])["data"].values()
        return done.returncode, sorted(states.values(), key=lambda state: int(state["__run_num__"]))

    @property
    def commands(self) -> RunnerCalls:
        """Return the functions of the runner."""
        return RunnerCalls.on(self.opts, Clock(), ClusterContext.from_opts)

    def registered(self, name: str, test: bool) -> dict[str, Any]:
        """Run the state metalk8s_expand_node.registered and return its result."""
        self.opts["test"] = test
        utils = salt.loader.utils(self.opts)
        modules = salt.loader.minion_mods(self.opts, utils=utils)
        states = salt.loader.states(self.opts, modules, utils, serializers=None)
        return dict(states["metalk8s_expand_node.registered"](name))
