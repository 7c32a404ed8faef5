"""Remove nodes and add them again, on the cluster that the expansion built.

Each test continues from the state that the test before it leaves.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.lab import writer
from tests.lab.hosts import ETCDCTL, PILLAR, get, is_true, kubectl, lab, names, on, runner, until

SSH = "metalk8s.scality.com/ssh-"
PROXY_BEHIND = "metalk8s-expand.scality.com/api-proxy-behind"
WORKERS = ("worker-1", "worker-2", "worker-3", "worker-4")
BUDGET: dict[str, Any] = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "web"},
    "spec": {"minAvailable": len(WORKERS), "selector": {"matchLabels": {"app": "web"}}},
}


def web() -> dict[str, Any]:
    """Return a Deployment of one Pod on each worker, with local data that may be lost."""
    anti = {
        "labelSelector": {"matchLabels": {"app": "web"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    container = {
        "name": "web", "image": writer.IMAGE, "command": ["sleep", "3600"], "imagePullPolicy": "IfNotPresent",
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    }  # fmt: skip
    spec = {
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [anti]}},
        "terminationGracePeriodSeconds": 0, "containers": [container], "volumes": [{"name": "scratch", "emptyDir": {}}],
    }  # fmt: skip
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
    selector = {"matchLabels": {"app": "web"}}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": len(WORKERS), "selector": selector, "template": template},
    }  # fmt: skip


def members() -> list[str]:
    """Return the voters that the member on bootstrap lists."""
    words = [*ETCDCTL.split(), "member", "list", "--write-out=json"]
    listed = json.loads(kubectl("--namespace=kube-system", "exec", "etcd-bootstrap", "--", *words))[
        "members"
    ]
    assert not any(member.get("isLearner") for member in listed)
    return sorted(str(member["name"]) for member in listed)


def keys() -> list[str]:
    """Return every minion whose key the master has, accepted or not."""
    found = json.loads(on("bootstrap", "salt-key", "--out=json", "--list=all").stdout)
    return sorted(name for listed in found.values() for name in listed)


def succeeded(function: str, *arguments: str) -> dict[str, Any]:
    """Call a runner function that must succeed, and return its report."""
    code, report, done = runner(function, *arguments)
    assert code == 0, json.dumps(report, indent=1)[-5000:] + done.stderr[-3000:]
    took = {step["name"]: step["elapsed"] for node in report["nodes"] for step in node["steps"]}
    print(f"\n{function} {' '.join(arguments)} took {report['elapsed']:.1f} s: " + json.dumps(took))
    return dict(report)


def is_blank(host: str) -> None:
    """Check that the host has no process or file of the cluster, except the epoch file."""
    left = on(
        host, "sh", "-c",
        "ls -d /etc/kubernetes /etc/salt/minion /etc/salt/pki/minion /var/lib/cni /etc/systemd/system/kubelet.service; "
        "ls -A /var/lib/etcd /var/lib/kubelet /var/lib/containerd | grep -v :; "
        "pgrep --list-name 'kubelet|containerd|salt-minion|etcd|kube-|haproxy|pause'; "
        "ls /sys/class/net | grep -E 'cni0|flannel'; nft list tables | grep -E 'kube-proxy|flannel'; "
        "grep -E ' /var/lib/kubelet/| /run/containerd/' /proc/self/mounts",
        check=False,
    ).stdout  # fmt: skip
    assert left.strip() == "", left
    assert on(host, "cat", "/etc/metalk8s/expand-epoch").stdout.strip().isdigit()


def is_away(name: str) -> None:
    """Check that the node has no Node, etcd member or key left.

    A second removal changes nothing.
    """
    assert name not in names(get("nodes"))
    assert name not in members()
    assert name not in keys()
    code, report, _ = runner("remove_node", name)
    assert (code, report["unchanged"], report["nodes"]) == (0, True, []), report


def is_back(name: str, roles: set[str]) -> None:
    """Check that the Node is Ready and schedulable, with its roles."""
    node = get("node", name)
    assert is_true(node, "Ready")
    assert not node["spec"].get("unschedulable")
    prefix = "node-role.kubernetes.io/"
    assert {
        key.removeprefix(prefix) for key in node["metadata"]["labels"] if key.startswith(prefix)
    } == roles


def until_healthy() -> None:
    """Wait until ``health`` finds no problem in the cluster."""
    until("the cluster is healthy", lambda: runner("health")[0] == 0, 180)


def test_removal_of_bootstrap_and_unknown_node_is_refused() -> None:
    """The bootstrap node cannot be removed, even with ``force``; an unknown name is an error."""
    # An earlier test left these Pods; no controller would start them again elsewhere.
    kubectl("delete", "pods", "lives", "lookup", "--ignore-not-found", "--wait=false")
    before = names(get("nodes")), keys()
    for name, words, code in (
        ("bootstrap", [], 5),
        ("bootstrap", ["force=True"], 5),
        ("worker-99", [], 2),
    ):
        found, result, _ = runner("remove_node", name, *words)
        assert found == code, result
    assert (names(get("nodes")), keys()) == before


def test_force_is_refused_for_reachable_host() -> None:
    """The host answers over SSH, which contradicts the confirmation of the operator."""
    code, result, _ = runner("remove_node", "worker-1", "force=True")
    assert code == 5, result
    assert "answers over SSH" in result["error"]["text"]


VOLUMES = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "volumes.storage.metalk8s.scality.com"},
    "spec": {
        "group": "storage.metalk8s.scality.com",
        "scope": "Cluster",
        "names": {"kind": "Volume", "plural": "volumes", "singular": "volume"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}


def volume(name: str, node: str) -> str:
    """Return a Volume of MetalK8s's storage operator on the disks of a node."""
    spec = {"nodeName": node, "storageClassName": "metalk8s", "sparseLoopDevice": {"size": "1Gi"}}
    return json.dumps(
        {
            "apiVersion": "storage.metalk8s.scality.com/v1alpha1",
            "kind": "Volume",
            "metadata": {"name": name},
            "spec": spec,
        }
    )


def test_worker_with_volumes_is_refused_by_their_names() -> None:
    """The master's own rights suffice to list the Volumes of MetalK8s's storage operator."""
    code, plan, _ = runner("remove_node", "worker-1", "dry_run=True")
    assert code == 0, plan
    definition = VOLUMES["metadata"]["name"]
    try:
        kubectl("create", "--filename=-", stdin=json.dumps(VOLUMES))
        kubectl("wait", "--for=condition=Established", f"crd/{definition}", "--timeout=60s")
        for name, node in (("logs", "worker-1"), ("metrics", "worker-1"), ("other", "cp-1")):
            kubectl("create", "--filename=-", stdin=volume(name, node))
        before = names(get("nodes")), keys()
        code, result, _ = runner("remove_node", "worker-1")
        assert code == 5, result
        assert "the Volumes logs, metrics on its disks" in result["error"]["text"]
        assert (names(get("nodes")), keys()) == before
        code, allowed, _ = runner("remove_node", "worker-1", "volumes=True", "dry_run=True")
        assert (code, allowed["refused"], allowed["steps"]) == (0, plan["refused"], plan["steps"])
    finally:
        kubectl("delete", "crd", definition, "--ignore-not-found")


def test_worker_removal_waits_for_disruption_budget() -> None:
    """``remove_node`` reports obstacles before the first change and waits for the budget.

    The host is blank at the end.
    """
    kubectl("apply", "--filename=-", stdin=json.dumps(web()))
    kubectl("apply", "--filename=-", stdin=json.dumps(BUDGET))
    kubectl("wait", "deployment/web", "--for=condition=Available", "--timeout=120s")
    until(
        "a Pod on each",
        lambda: get("deployment", "web")["status"].get("availableReplicas") == len(WORKERS),
    )
    code, result, _ = runner("remove_node", "worker-1")
    assert code == 5, result
    assert "delete_emptydir_data=True" in result["error"]["text"]
    assert not get("node", "worker-1")["spec"].get("unschedulable")
    plan = runner("remove_node", "worker-1", "delete_emptydir_data=True", "dry_run=True")[1]
    assert [step["name"] for step in plan["steps"]] == [
        "guard",
        "cordon",
        "drain",
        "retire",
        "key",
        "node",
    ]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(runner, "remove_node", "worker-1", "delete_emptydir_data=True")
        until("it is cordoned", lambda: get("node", "worker-1")["spec"].get("unschedulable"))
        time.sleep(5)
        assert not running.done(), running.result()
        assert [
            pod
            for pod in get("pods", "--selector=app=web")["items"]
            if pod["spec"].get("nodeName") == "worker-1"
        ]
        kubectl(
            "patch",
            "poddisruptionbudget",
            "web",
            "--type=merge",
            "--patch",
            json.dumps({"spec": {"minAvailable": len(WORKERS) - 1}}),
        )
        code, report, done = running.result()
    assert code == 0, json.dumps(report, indent=1)[-5000:] + done.stderr[-3000:]
    assert "is blocked: " in done.stderr
    print(
        "\n"
        + json.dumps(
            {
                step["name"]: (step["elapsed"], step["detail"])
                for step in report["nodes"][0]["steps"]
            },
            indent=1,
        )
    )
    is_blank("worker-1")
    is_away("worker-1")


def test_removed_worker_is_added_again() -> None:
    """Add the same host under the same name, with a new key; the pending Pod starts on it."""
    succeeded("add_node", "worker-1")
    is_back("worker-1", {"node"})
    until(
        "a Pod on each again",
        lambda: get("deployment", "web")["status"].get("availableReplicas") == len(WORKERS),
    )
    kubectl("delete", "deployment/web", "poddisruptionbudget/web", "--wait=false")


@pytest.mark.full
def test_node_of_kubectl_is_declared_and_deployed_as_it_is() -> None:
    """Register the Node as MetalK8s's UI does: ``declare`` describes it, ``expand`` deploys it."""
    before = on("bootstrap", "cat", PILLAR).stdout
    printed = on("bootstrap", "salt-run", "metalk8s_expand.manifest", "worker-1").stdout
    manifest = yaml.safe_load(printed)
    manifest["metadata"]["annotations"] |= {f"{SSH}port": "22", f"{SSH}user": "root"}
    manifest["metadata"]["labels"]["example.com/disk"] = "010"
    succeeded("remove_node", "worker-1", "delete_emptydir_data=True")
    kubectl("apply", "--filename=-", stdin=json.dumps(manifest))
    try:
        on("bootstrap", "tee", PILLAR, stdin="metalk8s_expand: {nodes: {}}\n")
        text = on("bootstrap", "salt-run", "metalk8s_expand.declare").stdout
        on("bootstrap", "tee", PILLAR, stdin=text)
        [planned] = runner("plan")[1]["workers"]
        steps = [step["name"] for step in planned["steps"]]
        assert (planned["node"], planned["changes"]) == ("worker-1", [])
        assert steps == ["check_ssh", "preflight", "prepare", "deploy", "verify"]
        succeeded("expand")
        assert get("node", "worker-1")["metadata"]["labels"]["example.com/disk"] == "010"
    finally:
        on("bootstrap", "tee", PILLAR, stdin=before)
    kubectl("label", "node", "worker-1", "example.com/disk-")
    is_back("worker-1", {"node"})


def test_control_plane_node_is_removed_and_added_again() -> None:
    """Three voters become two and then three again, while a client writes to the API."""
    guard = runner("remove_node", "cp-2", "dry_run=True")[1]["guard"]
    assert (guard["agrees"], guard["api_servers"]) == (True, ["bootstrap", "cp-1"])
    failures = [guard["etcd"][moment]["failures"] for moment in ("before", "after")]
    assert failures == [1, 0]
    with writer.writing() as written:
        report = succeeded("remove_node", "cp-2")
        steps = [step["name"] for step in report["nodes"][0]["steps"]]
        assert {"api_server", "member", "retire", "key", "node"} <= set(steps), steps
        assert members() == ["bootstrap", "cp-1"]
        is_blank("cp-2")
        is_away("cp-2")
        # In a fleet one minion is always down, and the job of another hangs. Neither stops a new
        # control-plane node.
        on("worker-1", "systemctl", "stop", "salt-minion")
        try:
            with hanging("infra-1"):
                report = succeeded("add_node", "cp-2")
        finally:
            on("worker-1", "systemctl", "start", "salt-minion")
        [note] = [note for note in report["notes"] if "API proxies" in note]
        assert "on infra-1" in note
        assert "on worker-1" in note
        [told] = [step for step in report["nodes"][0]["steps"] if "every API proxy" in step["name"]]
        assert 25 < told["elapsed"] < 60
    assert behind() == ["infra-1", "worker-1"]
    print(f"longest pause between acknowledged writes {written.longest_pause:.2f} s")
    assert written.longest_pause < 30
    assert members() == ["bootstrap", "cp-1", "cp-2"]
    is_back("cp-2", {"master", "etcd"})


def test_api_proxy_that_is_behind_is_updated_by_next_expand() -> None:
    """The test before has left two API proxies behind, and their minions work again."""
    ping = ("salt", "--timeout=2", "worker-1", "test.ping")
    until(
        "the minion of worker-1 answers",
        lambda: on("bootstrap", *ping, check=False).returncode == 0,
    )
    report = succeeded("expand")
    again = "infra-1, worker-1 list every API server again"
    assert any(again in note for note in report["notes"]), report["notes"]
    assert behind() == []
    proxy = on("worker-1", "cat", "/etc/metalk8s/apiserver-proxy.cfg").stdout
    assert "server cp-2 " in proxy
    report = succeeded("expand")
    assert not [note for note in report["notes"] if "API prox" in note]


@contextmanager
def hanging(host: str) -> Iterator[None]:
    """Let the API proxy of this host lack cp-2, and every job that looks after the proxy hang."""
    wrapper = "/usr/local/bin/systemctl"
    script = (
        '#!/bin/sh\ncase "$*" in *apiserver-proxy*) exec sleep 1801;; esac\n'
        'exec /usr/bin/systemctl "$@"\n'
    )
    on(host, "tee", wrapper, stdin=script)
    on(host, "chmod", "755", wrapper)
    # The proxy lists every declared server, and is left alone as long as it does.
    on(host, "sed", "--in-place", "/ server cp-2 /d", "/etc/metalk8s/apiserver-proxy.cfg")
    try:
        yield
    finally:
        on(host, "rm", wrapper)
        on(host, "pkill", "--full", "sleep 1801", check=False)


def behind() -> list[str]:
    """Return the nodes whose API proxy is marked as behind."""
    return names(get("nodes", f"--selector={PROXY_BEHIND}")["items"])


def given_up(name: str) -> None:
    """Kill a host, and remove its node with the confirmation of the operator.

    The removal starts when the Node is no longer Ready.
    """
    lab("kill", name)
    code, result, _ = runner("remove_node", name)
    assert code == 4, result
    assert "force=True" in result["error"]["text"]
    until(f"{name} is not Ready", lambda: not is_true(get("node", name), "Ready"), 180)
    report = succeeded("remove_node", name, "force=True")
    notes = "\n".join(report["notes"])
    assert all(
        word in notes for word in ("sa.key", "encryption.conf", "etcd-peer", "kubelet-client")
    ), notes
    assert name not in members()
    assert name not in names(get("nodes"))
    assert name not in keys()


@pytest.mark.full
def test_dead_control_plane_node_is_replaced() -> None:
    """Remove the node with ``force``, reset its host, and add the node again."""
    until_healthy()
    given_up("cp-1")
    lab("reset", "cp-1")
    succeeded("add_node", "cp-1")
    assert members() == ["bootstrap", "cp-1", "cp-2"]
    is_back("cp-1", {"master", "etcd"})


@pytest.mark.full
def test_host_that_returns_after_forced_removal_is_wiped() -> None:
    """Start a host again after its node was removed by force.

    etcd refuses its member, and its kubelet registers the Node without roles. The next removal
    wipes the host.
    """
    until_healthy()
    given_up("cp-2")
    lab("start", "cp-2")
    until("its kubelet registers it again", lambda: "cp-2" in names(get("nodes")), 120)
    assert members() == ["bootstrap", "cp-1"], "etcd does not take it back"
    labels = get("node", "cp-2")["metadata"]["labels"]
    assert not [key for key in labels if key.startswith("node-role.kubernetes.io/")]
    succeeded("remove_node", "cp-2")
    is_blank("cp-2")
    is_away("cp-2")
    succeeded("add_node", "cp-2")
    assert members() == ["bootstrap", "cp-1", "cp-2"]
    until_healthy()
