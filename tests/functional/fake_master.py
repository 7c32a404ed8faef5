"""The directory of a master without daemons, whose real runner uses a fake cluster."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from tests import extension
from tests.fakes.runner import PILLAR, node
from tests.unit.metalk8s_expand.conftest import free_port

ROOT = Path(__file__).resolve().parents[2]
# Appended to the real runner, to use the cluster of the test.
WORLD = """
import sys
sys.path.append({root!r})
from tests.functional import fake_cluster
fake_cluster.install()
"""


class Master:
    """A master's directory with the extension, synced or installed, and a tree with its SLS."""

    def __init__(self, base: Path, *nodes: dict[str, Any]) -> None:
        self.base, self.nodes = base, base / "nodes.json"
        self.nodes.write_text(json.dumps(nodes))
        copy = extension.lay_out_copy(base, base / "ext", "states", "runners", "output")
        self.environment = copy.environment
        with (copy.plugins / "runners" / "metalk8s_expand.py").open("a") as runner:
            runner.write(WORLD.format(root=str(ROOT)))
        shutil.copytree(extension.served("metalk8s_expand"), base / "tree" / "metalk8s_expand")
        served = base / "served" / "metalk8s" / "orchestrate"
        served.mkdir(parents=True)
        (served / "deploy_node.sls").touch()
        (base / "var" / "cache" / "salt" / "master" / "proc").mkdir(parents=True)
        self._declare()

    def _declare(self) -> None:
        closed = {"host": "127.0.0.1", "port": free_port()}
        nodes = {
            **PILLAR["nodes"],
            "far-1": {"profile": "infra", "address": "10.0.0.9", "ssh": closed},
        }
        (self.base / "pillar").mkdir()
        (self.base / "pillar" / "top.sls").write_text(
            json.dumps({"base": {"lab_master": ["declared"]}})
        )
        (self.base / "pillar" / "declared.sls").write_text(
            json.dumps({"metalk8s_expand": {**PILLAR, "nodes": nodes}})
        )
        roots = {"base": [str(self.base / "tree")], "metalk8s-2.0": [str(self.base / "served")]}
        config = {
            "id": "lab_master", "root_dir": str(self.base), "extension_modules": str(self.base / "ext"), "file_roots": roots,
            "pillar_roots": {"base": [str(self.base / "pillar")]}, "log_level": "quiet", "log_level_logfile": "quiet",
            "metalk8s_expand": {"kubeconfig": str(self.nodes)},
        }  # fmt: skip
        (self.base / "master").write_text(json.dumps(config))

    def serve(self, sls: str, text: str) -> None:
        """Write a file of the tree."""
        path = self.base / "tree" / f"{sls.replace('.', '/')}.sls"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def command(self, *words: str) -> list[str]:
        """Return the command line of ``salt-run`` on this master, with JSON as output."""
        program = str(Path(sys.executable).with_name("salt-run"))
        return [program, "-c", str(self.base), "--out=json", *words]

    def label(self, name: str) -> str:
        """Return the version of the Node."""
        [found] = [
            item for item in json.loads(self.nodes.read_text()) if item["metadata"]["name"] == name
        ]
        return str(found["metadata"]["labels"]["metalk8s.scality.com/version"])


def drifted(name: str) -> dict[str, Any]:
    """Return a deployed Node of another version.

    ``expand`` registers the Node and does not change its host.
    """
    found = node(name)
    found["metadata"]["labels"]["metalk8s.scality.com/version"] = "1.0"
    found["metadata"]["uid"] = f"uid-{name}"
    return found
