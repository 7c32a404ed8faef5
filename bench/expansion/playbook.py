"""Do the page's expansion by an Ansible playbook.

Ansible runs on this machine, in the network of the lab.
"""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bench import ansible
from bench.expansion.cluster import DIRECTORY, HERE, IMAGES, read, verify
from bench.expansion.lab import ADDRESS, BOOTSTRAP, NAME, NODES, SSH_KEY, Node, Run, measured
from bench.expansion.salt import HOSTS

LIMIT_S = 900
# The default ``max_parallel`` of an expansion.
FORKS = 10
CONTROLLER = "controller"


def expand() -> Run:
    """Run the playbook for all four nodes; the CPU time includes Ansible's own."""
    program = ansible.program("ansible-playbook")
    with tempfile.TemporaryDirectory(prefix="metalk8s-expand-bench-") as directory:
        base = Path(directory)
        kit = base / "kit.tar"
        kit.write_bytes(read(BOOTSTRAP, "-C", DIRECTORY, "node.tar", "master.tar", "SHA256SUMS"))
        subprocess.run(["tar", "-C", directory, "-xf", str(kit)], check=True)
        sums = checksums((base / "SHA256SUMS").read_text())
        (base / "inventory.yaml").write_text(yaml.safe_dump(inventory(NODES, directory, sums)))
        command = [
            *("nsenter", f"--net=/run/netns/{NAME}", str(program), f"--forks={FORKS}"),
            *("--inventory", str(base / "inventory.yaml"), str(HERE / "playbook.yaml")),
        ]
        with measured(*HOSTS) as run:
            before = _children_cpu()
            _run(command, base)
            controller = _children_cpu() - before
        run.cpu[CONTROLLER] = controller
    verify([node.name for node in NODES])
    return run


def inventory(nodes: Sequence[Node], kit: str, sums: Mapping[str, str]) -> dict[str, Any]:
    """Return the inventory with the groups and variables that the playbook names."""
    hosts: dict[str, Any] = {BOOTSTRAP: {"ansible_host": ADDRESS}}
    for node in nodes:
        hosts[node.name] = {
            "ansible_host": node.address,
            "address": node.address,
            "roles": node.roles.split(","),
            "images": list(IMAGES[node.roles]),
        }
    shared = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(SSH_KEY),
        "bootstrap_address": ADDRESS,
        "kit": kit,
        "sums": dict(sums),
    }
    groups = {
        "bootstrap": [BOOTSTRAP],
        "nodes": [node.name for node in nodes],
        "control_plane": [node.name for node in nodes if "master" in node.roles],
    }
    children = {name: {"hosts": dict.fromkeys(members)} for name, members in groups.items()}
    return {"all": {"hosts": hosts, "vars": shared, "children": children}}


def checksums(text: str) -> dict[str, str]:
    """Return the SHA-256 of each file that the output of ``sha256sum`` names."""
    pairs = (line.split(maxsplit=1) for line in text.splitlines())
    return {name: digest for digest, name in pairs}


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(command: Sequence[str], base: Path) -> None:
    settings = {
        "HOME": str(base),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_HOST_KEY_CHECKING": "0",
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(base / "shared"),
    }
    done = subprocess.run(
        command,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the playbook failed: {done.stdout[-4000:]} {done.stderr[-1000:]}")
