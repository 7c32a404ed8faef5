"""Lose the whole control plane and restore it with the commands of docs/guides/restore.rst on real nodes.

The test uses the cluster of the expansion, or expands the cluster itself. It leaves the cluster as
it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest

from tests.documented import steps
from tests.lab.hosts import get, is_true, kubectl, on, runner

pytestmark = pytest.mark.full

MEMBERS = ("bootstrap", "cp-1", "cp-2")
# The test repeats these commands until they succeed, as an operator would.
ASKED = ("etcdctl ", "kubectl ", "ss ")
PATIENCE_S = 300
# A run takes the snapshot like this before its first member. This needs no declaration.
SAVE = r"""
import json, sys, time
sys.path.insert(0, "/etc/salt/metalk8s-expand/salt/_utils")
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.cluster import context, etcd_snapshot
run = time.strftime("%Y%m%d%H%M%S", time.gmtime())
taken = etcd_snapshot.take_etcd_snapshot(context.ClusterContext.from_opts({}), Settings(), run, Clock())
print(json.dumps(taken))
"""


def saved() -> dict[str, Any]:
    """Take a snapshot with the extension, and return its description."""
    return dict(
        json.loads(on("bootstrap", "/opt/salt/bin/python", "-", stdin=SAVE, timeout=300).stdout)
    )


def settled(what: str, until: float = PATIENCE_S) -> None:
    """Wait until ``health`` finds nothing."""
    deadline = time.monotonic() + until
    while (answer := runner("health"))[0]:
        assert time.monotonic() < deadline, f"{what}: {answer[1]}"
        time.sleep(3)


def do(number: int, host: str, without: Sequence[str] = (), **values: str) -> str:
    """Run the commands of one step in one shell on a host.

    ``values`` replace its variables. Commands that query a state are repeated until they succeed.
    """
    lines = ["set -e", "cd /"]
    for command in steps("guides/restore.rst")[number]:
        variable = command.text.partition("=")[0]
        if variable in values:
            lines.append(f"{variable}='{values[variable]}'")
        elif command.text.startswith("ss "):
            lines.append(f'while [ -n "$({command.text})" ]; do sleep 1; done')
        elif command.text.startswith(ASKED):
            lines.append(f"until {command.text}; do sleep 1; done")
        elif not command.text.startswith(tuple(without)):
            lines.append(command.text)
    script = "\n".join(lines) + "\n"
    return on(
        host, "timeout", str(PATIENCE_S), "bash", "-s", stdin=script, timeout=PATIENCE_S + 30
    ).stdout


def put(name: str) -> None:
    """Create a ConfigMap through the API."""
    kubectl("create", "configmap", name, f"--from-literal=written={name}")


def has(name: str) -> bool:
    """Return whether the API has this ConfigMap."""
    return bool(kubectl("get", "configmap", name, "--ignore-not-found", "--output=name"))


def test_control_plane_is_restored_on_empty_disks() -> None:
    """Restore all objects of the snapshot and none that is newer; all nodes are Ready."""
    code, report, done = runner("expand", timeout=1800)
    assert code == 0, json.dumps(report, indent=1)[-4000:] + done.stderr[-2000:]
    settled("before")
    nodes = [item["metadata"]["name"] for item in get("nodes")["items"]]
    kubectl("delete", "configmap", "before", "after", "--ignore-not-found")
    kubectl("delete", "secret", "before", "--ignore-not-found")
    put("before")
    kubectl("create", "secret", "generic", "before", "--from-literal=secret=kept")

    taken = saved()
    print(f"\n{taken}")
    put("after")
    modes = on(
        "bootstrap",
        "stat",
        "--format=%a",
        taken["path"],
        "/var/cache/salt/metalk8s-expand/snapshots",
    ).stdout.split()
    assert modes == ["600", "700"]
    lost = int(get("configmap", "after")["metadata"]["resourceVersion"])

    started = time.monotonic()
    for host in MEMBERS:
        on(host, "sh", "-c", "rm -rf /var/lib/etcd/*")
    for host in MEMBERS:
        do(1, host)
        # The disks are empty: there is no data to keep, only files that etcd wrote when it ended.
        on(host, "sh", "-c", "rm -rf /var/lib/etcd/*")
        do(2, host, without=("mv /var/lib/etcd/member",))
    for number in (3, 4, 5):
        print(
            do(number, "bootstrap", snapshot=taken["path"], name="bootstrap", address="10.200.0.10")
        )

    assert has("before")
    assert not has("after")
    assert get("secret", "before")["data"] == {"secret": "a2VwdA=="}, (
        "and it can be read: the key of its encryption is there"
    )
    put("after")
    assert int(get("configmap", "after")["metadata"]["resourceVersion"]) > lost

    code, plan, _ = runner("plan")
    assert code == 0
    assert [item["node"] for item in plan["control_plane"]] == ["cp-1", "cp-2"]
    code, report, done = runner("expand", timeout=1800)
    assert code == 0, json.dumps(report, indent=1)[-4000:] + done.stderr[-2000:]
    settled("after")
    print(f"restored and three members again after {time.monotonic() - started:.0f} s")
    assert [item["metadata"]["name"] for item in get("nodes")["items"]] == nodes
    assert all(is_true(item, "Ready") for item in get("nodes")["items"])
    for member in MEMBERS:
        for component in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
            assert is_true(get("--namespace=kube-system", "pod", f"{component}-{member}"), "Ready")
    assert has("before")
    assert has("after")
    code, report, _ = runner("expand")
    assert (code, report["unchanged"]) == (0, True)

    # Controllers whose watches started before the restore see new objects: a Deployment gets its
    # Pod, and a Node the status of its kubelet.
    kubectl(
        "create",
        "deployment",
        "restored",
        "--image=docker.io/library/busybox:1.37",
        "--",
        "sleep",
        "600",
    )
    try:
        kubectl("wait", "deployment/restored", "--for=condition=Available", "--timeout=120s")
    finally:
        kubectl("delete", "deployment", "restored", "--wait=false")
        for host in MEMBERS:
            on(host, "rm", "-rf", "/etc/kubernetes/stopped", "/var/lib/etcd/before-restore")
