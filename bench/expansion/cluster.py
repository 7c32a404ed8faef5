"""Prepare the cluster for a run, and verify the end that all peers must reach."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.expansion.lab import (
    ADDRESS,
    BOOTSTRAP,
    BY_NAME,
    ENVIRONMENT,
    LAB,
    answers,
    lab,
    on,
    until,
)
from tests.lab.hosts import EXEC

HERE = Path(__file__).parent
SCRIPTS = ("kit.sh", "keys.sh", "sign.sh", "host.sh", "floor.sh")
DIRECTORY = "/root/bench"
FRESH = "fresh"
ON_EVERY_NODE = ("pause", "kube-proxy", "flannel", "busybox")
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
# The images of a node by its roles.
IMAGES = {
    "master,etcd": (*ON_EVERY_NODE, *CONTROL_PLANE),
    "infra": (*ON_EVERY_NODE, "coredns"),
    "node": ON_EVERY_NODE,
}
# The master has just started. Each of its twelve workers loads its modules with its first requests,
# which takes eight CPU seconds in all. A master that has run for days has done that.
SERVE_REQUESTS = f"""
import salt.client
client = salt.client.LocalClient()
for _ in range(2):
    for _ in range(11):
        client.cmd_async("{BOOTSTRAP}", "pillar.items")
    client.cmd("{BOOTSTRAP}", "pillar.items")
"""
ETCDCTL = (
    "etcdctl",
    f"--endpoints=https://{ADDRESS}:2379",
    "--cacert=/etc/kubernetes/pki/etcd/ca.crt",
    "--cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt",
    "--key=/etc/kubernetes/pki/etcd/healthcheck-client.key",
)


def make() -> None:
    """Make a lab with a bootstrap node, the scripts of the peers and four blank hosts."""
    lab("destroy")
    lab("up", "--nodes", "4", timeout=3600)
    for name in SCRIPTS:
        install(BOOTSTRAP, (HERE / name).read_bytes(), f"{DIRECTORY}/{name}")
    on(BOOTSTRAP, "bash", f"{DIRECTORY}/kit.sh", DIRECTORY)
    lab("snapshot", FRESH)


def restore() -> None:
    """Restore the bootstrap node and the blank hosts, and wait until the cluster is idle."""
    lab("rollback", FRESH)
    until("the API", lambda: answers(BOOTSTRAP, "kubectl", "get", "--raw", "/readyz"))
    until("Salt's master", lambda: answers(BOOTSTRAP, "salt", "bootstrap", "test.ping"))
    until(
        "the Pods of the bootstrap node",
        lambda: answers(
            BOOTSTRAP,
            *("kubectl", "wait", "--for=condition=Ready", "pod", "--all"),
            *("--namespace=kube-system", f"--field-selector=spec.nodeName={BOOTSTRAP}"),
            "--timeout=60s",
        ),
    )
    on(BOOTSTRAP, *EXEC, "/opt/salt/bin/python3", "-c", SERVE_REQUESTS)


def verify(names: Sequence[str]) -> None:
    """Raise ``RuntimeError`` unless the nodes are Ready and the control plane is complete.

    All etcd members vote and are healthy, and the API server of each master is ready.
    """
    nodes = json.loads(on(BOOTSTRAP, "kubectl", "get", "nodes", "--output=json"))["items"]
    ready = {node["metadata"]["name"] for node in nodes if is_ready(node)}
    masters = [name for name in names if "master" in BY_NAME[name].roles]
    problems = [f"{name} is not Ready" for name in names if name not in ready]
    members = json.loads(on(BOOTSTRAP, *ETCDCTL, "member", "list", "--write-out=json"))["members"]
    problems += member_problems(members, [BOOTSTRAP, *masters])
    if problems:
        raise RuntimeError(f"the run ended, but {'; '.join(problems)}")
    on(BOOTSTRAP, *ETCDCTL, "endpoint", "health", "--cluster")
    for name in masters:
        url = f"https://{BY_NAME[name].address}:6443/readyz"
        on(BOOTSTRAP, "curl", "--fail", "--silent", "--cacert", "/etc/kubernetes/pki/ca.crt", url)


def is_ready(node: dict[str, object]) -> bool:
    """Return whether a Node object has the condition Ready."""
    status = node.get("status")
    conditions = status.get("conditions", ()) if isinstance(status, dict) else ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def member_problems(members: Sequence[dict[str, object]], names: Sequence[str]) -> list[str]:
    """Return what prevents the members from being exactly these voters."""
    voters = sorted(str(each.get("name")) for each in members if not each.get("isLearner"))
    if voters == sorted(names) and len(members) == len(names):
        return []
    return [f"etcd has the voters {', '.join(voters)} among {len(members)} members"]


def install(host: str, content: bytes, path: str) -> None:
    """Write an executable file of a host."""
    _run(host, ["install", "-D", "-m", "0755", "/dev/stdin", path], content)


def read(host: str, *arguments: str) -> bytes:
    """Return an archive of files of a host; the arguments are those of ``tar``."""
    return _run(host, ["tar", "-cf", "-", *arguments], b"")


def unpack(host: str, archive: bytes, directory: str) -> None:
    """Unpack an archive in a host."""
    on(host, "mkdir", "-p", directory)
    _run(host, ["tar", "-C", directory, "-xf", "-"], archive)


def _run(host: str, command: Sequence[str], data: bytes) -> bytes:
    return subprocess.run(
        [LAB, "exec", host, "--", *command],
        env=ENVIRONMENT,
        input=data,
        stdout=subprocess.PIPE,
        timeout=300,
        check=True,
    ).stdout
