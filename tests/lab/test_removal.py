"""Nodes leave and come back, on the cluster that the expansion has made: each test goes on where the one before it ended."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.lab import writer
from tests.lab.hosts import ETCDCTL, get, is_true, kubectl, lab, names, on, runner, until

WORKERS = ("worker-1", "worker-2", "worker-3", "worker-4")
BUDGET: dict[str, Any] = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "web"},
    "spec": {"minAvailable": len(WORKERS), "selector": {"matchLabels": {"app": "web"}}},
}


def web() -> dict[str, Any]:
    """One Pod on each worker, with data of its own that may be lost."""
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
    """The voters, as the bootstrap's member lists them."""
    words = [*ETCDCTL.split(), "member", "list", "--write-out=json"]
    listed = json.loads(kubectl("--namespace=kube-system", "exec", "etcd-bootstrap", "--", *words))[
        "members"
    ]
    assert not any(member.get("isLearner") for member in listed)
    return sorted(str(member["name"]) for member in listed)


def keys() -> list[str]:
    """Every minion that the master knows, accepted or not."""
    found = json.loads(on("bootstrap", "salt-key", "--out=json", "--list=all").stdout)
    return sorted(name for listed in found.values() for name in listed)


def succeeded(function: str, *arguments: str) -> dict[str, Any]:
    """The report of a run that must end well."""
    code, report, done = runner(function, *arguments)
    assert code == 0, json.dumps(report, indent=1)[-5000:] + done.stderr[-3000:]
    took = {step["name"]: step["elapsed"] for node in report["nodes"] for step in node["steps"]}
    print(f"\n{function} {' '.join(arguments)} took {report['elapsed']:.1f} s: " + json.dumps(took))
    return dict(report)


def is_blank(host: str) -> None:
    """Nothing of the cluster runs on the host or lies there, but for the epoch."""
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
    """The cluster and the master know nothing of it, and a second removal has nothing to do."""
    assert name not in names(get("nodes"))
    assert name not in members()
    assert name not in keys()
    code, report, _ = runner("remove_node", name)
    assert (code, report["unchanged"], report["nodes"]) == (0, True, []), report


def is_back(name: str, roles: set[str]) -> None:
    """Ready, with its roles, taking Pods."""
    node = get("node", name)
    assert is_true(node, "Ready")
    assert not node["spec"].get("unschedulable")
    prefix = "node-role.kubernetes.io/"
    assert {
        key.removeprefix(prefix) for key in node["metadata"]["labels"] if key.startswith(prefix)
    } == roles


def until_healthy() -> None:
    """The whole cluster, by its own command."""
    until("the cluster is healthy", lambda: runner("health")[0] == 0, 180)


def test_what_is_never_removed() -> None:
    """The bootstrap node, not even by force, and what nobody knows."""
    # What an earlier test left: nobody would start it again elsewhere.
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


def test_force_is_not_for_a_host_that_lives() -> None:
    """The operator's word is contradicted by the host."""
    code, result, _ = runner("remove_node", "worker-1", "force=True")
    assert code == 5, result
    assert "answers over SSH" in result["error"]["text"]


def test_a_worker_leaves_as_its_budgets_allow() -> None:
    """Obstacles are told before anything is changed; a budget is waited for; then the host is blank."""
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
    assert "must not go yet" in done.stderr
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


def test_the_worker_comes_back_at_once() -> None:
    """Under its name, on the same host, with another key; the waiting Pod finds it."""
    succeeded("add_node", "worker-1")
    is_back("worker-1", {"node"})
    until(
        "a Pod on each again",
        lambda: get("deployment", "web")["status"].get("availableReplicas") == len(WORKERS),
    )
    kubectl("delete", "deployment/web", "poddisruptionbudget/web", "--wait=false")


def test_a_control_plane_node_leaves_and_comes_back() -> None:
    """Three voters become two and three again, while writes to the API go on."""
    with writer.writing() as written:
        report = succeeded("remove_node", "cp-2")
        steps = [step["name"] for step in report["nodes"][0]["steps"]]
        assert {"api_server", "member", "retire", "key", "node"} <= set(steps), steps
        assert members() == ["bootstrap", "cp-1"]
        is_blank("cp-2")
        is_away("cp-2")
        succeeded("add_node", "cp-2")
    print(f"longest pause between acknowledged writes {written.longest_pause:.2f} s")
    assert written.longest_pause < 30
    assert members() == ["bootstrap", "cp-1", "cp-2"]
    is_back("cp-2", {"master", "etcd"})


def given_up(name: str) -> None:
    """Killed, and removed by the operator's word once the cluster has noticed."""
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
def test_a_dead_control_plane_node_is_replaced() -> None:
    """Removed by force, its host made anew, added again."""
    until_healthy()
    given_up("cp-1")
    lab("reset", "cp-1")
    succeeded("add_node", "cp-1")
    assert members() == ["bootstrap", "cp-1", "cp-2"]
    is_back("cp-1", {"master", "etcd"})


@pytest.mark.full
def test_a_host_that_was_given_up_and_comes_back_is_wiped() -> None:
    """Its member is refused, its kubelet registers the Node without roles, and the next removal makes it blank."""
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
