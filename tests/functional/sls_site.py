"""The directories of a masterless minion that renders the role states."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalk8s_expand.minion import fence
from tests import extension

ROOT = Path(__file__).resolve().parents[2]

IMAGES = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "pause",
    "flannel",
    "busybox",
    "coredns",
]

ARCHIVES = ("salt-minion.tar", "node.tar", "client.tar")

CLUSTER = {
    "version": "2.0.0-dev",
    "bootstrap": {"name": "bootstrap", "address": "10.200.0.10", "roles": ["bootstrap", "master", "etcd", "infra"], "taints": ["infra"]},
    "networks": {"pod": "10.233.0.0/16", "service": "10.96.0.0/12", "dns": "10.96.0.10", "domain": "cluster.local"},
    "artifacts": {
        "url": "http://10.200.0.10:8080",
        "directory": "/srv/artifacts",
        "sha256": {**{f"images/{name}.tar": "0" * 64 for name in IMAGES}, **dict.fromkeys(ARCHIVES, "0" * 64)},
    },
    "images": {name: f"registry.example/{name}:1" for name in IMAGES},
}  # fmt: skip

# Replaces the module that queries the API; other tests check the real result.
KNOWN = """
def node(name):
    roles = {"cp-1": ["metalk8s.roles.etcd", "metalk8s.roles.master"], "etcd-1": ["metalk8s.roles.etcd"]}.get(name, [])
    archive = {"url": "http://10.200.0.10:8080/salt-minion.tar", "sha256": "0" * 64}
    return {
        "ca_server": "bootstrap",
        "roles": roles,
        "heartbeat": "2026-11-29T02:40:00.000000Z",
        "minion": {"archive": archive, "configuration": {"id": name, "master": "10.200.0.10"}},
    }


def renewal(name=None):
    if name is not None:
        return {"ca_server": "bootstrap", "control_plane": [], "others": [name], "absent": []}
    others = ["w-%02d" % n for n in range(30)]
    return {"ca_server": "bootstrap", "control_plane": ["bootstrap", "cp-1"], "others": others, "absent": ["w-98", "w-99"]}
"""

# Like a role: states before and after the fence, and a second fence.
HOST = """
{%- from "metalk8s/roles/map.jinja" import fence with context %}
Come first in the file:
  test.succeed_with_changes

{{ fence("change this host") }}

Come last in the file:
  test.succeed_with_changes

{{ fence("start etcd", [{"test": "Come last in the file"}]) }}

Start etcd:
  test.succeed_with_changes:
    - require:
      - metalk8s_expand_fence: Let no older run start etcd
"""

MEMBER = """
{%- for name in ("member_added", "member_promoted") %}
Have {{ name }}:
  metalk8s_expand_etcd.{{ name }}:
    - name: cp-1
    - address: 127.0.0.1
    - endpoints: []
    - epoch: {{ pillar.orchestrate.epoch }}
{%- endfor %}
"""

PILLAR = """
Show the pillar:
  test.nop:
    - pillar: {{ pillar | json }}
"""

PROGRAM = """
import json, sys
import salt.client, salt.config
opts = salt.config.minion_config(sys.argv[1])
opts["id"] = sys.argv[2]
caller = salt.client.Caller(mopts=opts)
print(json.dumps([caller.cmd(name, *arguments, **named) for name, arguments, named in json.loads(sys.argv[3])], default=str))
"""

Chunk = dict[str, Any]


class Site:
    """Salt without a master, with the documented pillar.

    The plugins are synced or installed, and the trees are the served ones.
    """

    def __init__(
        self,
        base: Path,
        cluster: Mapping[str, Any] = CLUSTER,
        declaration: Mapping[str, Any] | None = None,
    ) -> None:
        """Lay out the site; the declaration is by default the documented one."""
        self.base = base
        self.cluster = cluster
        self.declaration = declaration
        self.epoch = base / "expand-epoch"
        self.copy = extension.lay_out_copy(base, base / "ext", "modules", "pillar", "states")
        # The epoch file of this machine must not change.
        library = self.copy.library / "minion" / "fence.py"
        library.write_text(library.read_text().replace(fence.PATH, str(self.epoch)))
        (base / "ext" / "modules").mkdir(exist_ok=True)
        (base / "ext" / "modules" / "metalk8s_expand_cluster.py").write_text(KNOWN)
        (base / "srv" / "metalk8s").mkdir(parents=True)
        for name in ("roles", "orchestrate"):
            (base / "srv" / "metalk8s" / name).symlink_to(extension.served(name))
        for name, text in (("host", HOST), ("pillar", PILLAR), ("member", MEMBER)):
            (base / "srv" / f"{name}.sls").write_text(text)
        self._write_pillar(base / "pillar")
        self._write_config()

    def call(self, minion: str, *requests: tuple[str, list[Any], dict[str, Any]]) -> list[Any]:
        """Call execution functions with their arguments in one process; return their results."""
        command = [
            sys.executable,
            "-c",
            PROGRAM,
            str(self.base / "minion"),
            minion,
            json.dumps(requests),
        ]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            cwd=self.base,
            env=self.copy.environment,
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        assert isinstance(found, list)
        return found

    def _write_pillar(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "top.sls").write_text(
            "base:\n  '*':\n    - cluster\n  'bootstrap_master':\n    - metalk8s_expand\n"
        )
        (directory / "cluster.sls").write_text(
            "#!json\n" + json.dumps({"metalk8s": {"cluster": self.cluster}})
        )
        declared = directory / "metalk8s_expand.sls"
        if self.declaration is None:
            declared.symlink_to(ROOT / "pillar" / "metalk8s_expand.sls")
        else:
            declared.write_text(
                "#!json\n" + json.dumps({"metalk8s_expand": dict(self.declaration)})
            )

    def _write_config(self) -> None:
        config = {
            "root_dir": str(self.base), "cachedir": str(self.base / "cache"), "extension_modules": str(self.base / "ext"),
            "file_client": "local", "id": "set by the program", "log_level": "quiet", "log_level_logfile": "quiet",
            "file_roots": {"base": [str(self.base / "srv")]}, "pillar_roots": {"base": [str(self.base / "pillar")]},
            "ext_pillar": [{"metalk8s_expand": {"master_id": "bootstrap_master", "kubeconfig": str(self.base / "absent")}}],
            "features": {"x509_v2": True},
            # An option of the master, which the rendering of an orchestration uses.
            "worker_threads": 13,
        }  # fmt: skip
        (self.base / "minion").write_text(json.dumps(config))
