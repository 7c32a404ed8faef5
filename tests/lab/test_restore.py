"""The whole control plane is lost and restored from a snapshot, by the commands of docs/restore.rst on real nodes.

It goes on where the expansion has ended, or makes the expansion itself, and leaves the cluster as it was.
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
# What is asked until it is so, as an operator would ask again.
ASKED = ("etcdctl ", "kubectl ", "ss ")
PATIENCE_S = 300
# As a run does it before its first member; no part of the declaration is needed for that.
SAVE = r"""
import json, sys, time
sys.path.insert(0, "/srv/metalk8s/salt/_utils")
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.cluster import context, etcd_snapshot
taken = etcd_snapshot.take_for(context.ClusterContext.from_opts({}), Settings(), time.strftime("%Y%m%d%H%M%S", time.gmtime()))
print(json.dumps(taken))
"""


def saved() -> dict[str, Any]:
    """A snapshot by the extension."""
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
    """Type the commands of one step into one shell of a host; ``values`` are for its variables, questions are repeated."""
    lines = ["set -e", "cd /"]
    for command in steps("restore.rst")[number]:
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
    """One acknowledged write to the API."""
    kubectl("create", "configmap", name, f"--from-literal=written={name}")


def has(name: str) -> bool:
    """Whether the API knows it."""
    return bool(kubectl("get", "configmap", name, "--ignore-not-found", "--output=name"))


def test_restored_from_bare_disks() -> None:
    """Everything of the snapshot is there again, nothing that came later, and all nodes are Ready."""
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
        "bootstrap", "stat", "--format=%a", taken["path"], "/var/lib/metalk8s-expand/snapshots"
    ).stdout.split()
    assert modes == ["600", "700"]
    lost = int(get("configmap", "after")["metadata"]["resourceVersion"])

    started = time.monotonic()
    for host in MEMBERS:
        on(host, "sh", "-c", "rm -rf /var/lib/etcd/*")
    for host in MEMBERS:
        do(1, host)
        # The disks are bare: there is nothing to keep aside, but for what etcd may have written at its end.
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

    # Controllers that watch from before the restore see what is new: a Deployment gets its Pod, a Node its kubelet's word.
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
