"""Expand a cluster from blank hosts, in the order of the tests.

Each test continues from the state that the test before it leaves.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml
from cryptography import x509

from tests.lab import writer
from tests.lab.hosts import (
    ETCDCTL,
    PILLAR,
    SALTENV,
    get,
    is_true,
    kill_master,
    kubectl,
    lab,
    names,
    on,
    runner,
    until,
)
from tests.lab.members import MEMBERS

DECLARED = ["cp-1", "cp-2", "infra-1", "worker-1"]
VERIFYING = "/etc/salt/master.d/zzz-verifying.conf"
ROLES = {
    "cp-1": {"master", "etcd"},
    "cp-2": {"master", "etcd"},
    "infra-1": {"infra"},
    "worker-1": {"node"},
}
TAINTS = {
    "cp-1": {"master", "etcd"},
    "cp-2": {"master", "etcd"},
    "infra-1": {"infra"},
    "worker-1": set(),
}
PREFIX = "node-role.kubernetes.io/"


@pytest.fixture
def pillar() -> Iterator[str]:
    """Yield the text of the declaration, and restore it after the test."""
    before = on("bootstrap", "cat", PILLAR).stdout
    yield before
    declare(before)


def declare(text: str) -> None:
    """Write the declaration as an operator would."""
    on("bootstrap", "tee", PILLAR, stdin=text)


def nothing_was_done() -> None:
    """Check that the bootstrap node has the only Node and the only minion key."""
    assert names(get("nodes")) == ["bootstrap"]
    keys = json.loads(on("bootstrap", "salt-key", "--out=json", "--list=all").stdout)
    assert keys["minions"] == ["bootstrap"]
    assert keys["minions_pre"] == []


def test_hosts_are_blank() -> None:
    """A host has no Kubernetes, containerd or Salt before the expansion."""
    found = on(
        "worker-1",
        "sh",
        "-c",
        "command -v kubelet containerd ctr runc salt-minion kubectl; ls /opt /etc/kubernetes /etc/salt",
        check=False,
    )
    assert found.stdout.split() in ([], ["/opt:"])


def test_plan_changes_nothing() -> None:
    """The plan names every step of every node, and the cluster does not change."""
    before = get("nodes")["metadata"]["resourceVersion"], names(get("nodes"))
    code, plan, _ = runner("plan")
    assert code == 0
    assert [item["node"] for item in plan["control_plane"]] == ["cp-1", "cp-2"]
    assert [item["node"] for item in plan["workers"]] == ["infra-1", "worker-1"]
    steps = [step["name"] for step in plan["workers"][0]["steps"]]
    assert steps == [
        "check_ssh", "preflight", "register", "prepare", "deploy", "verify", "uncordon",
    ]  # fmt: skip
    assert names(get("nodes")) == before[1]


@pytest.mark.parametrize("name", DECLARED)
def test_manifest_is_accepted_by_the_api(name: str) -> None:
    """The API accepts the output of ``manifest`` unchanged."""
    text = on("bootstrap", "salt-run", "metalk8s_expand.manifest", name).stdout
    assert "created (server dry run)" in kubectl(
        "apply", "--dry-run=server", "--filename=-", stdin=text
    )


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("profile: worker\n", "profile: wroker\n", 2, ["worker-1", "profile", "wroker", "worker"]),
        ("10.200.0.14", "10.200.0.99", 4, ["worker-1", "10.200.0.99"]),
        (
            "  nodes:\n",
            "  defaults:\n    ssh:\n      user: nobody\n  nodes:\n",
            4,
            ["worker-1", "nobody"],
        ),
        ("    cp-1:", "    cp_1:", 2, ["cp_1"]),
        (
            "      address: 10.200.0.11",
            "      adress: 10.200.0.11",
            2,
            ["cp-1", "adress", "address"],
        ),
    ],
    ids=["unknown profile", "dead host", "refused key", "bad name", "unknown key"],
)
def test_bad_input_changes_nothing(
    pillar: str, old: str, new: str, code: int, words: list[str]
) -> None:
    """The error names the node, the key and the remedy; no Node is registered."""
    assert old in pillar
    declare(pillar.replace(old, new))
    found, result, _ = runner("expand")
    assert found == code
    assert all(word in result["error"]["text"] for word in words), result["error"]["text"]
    assert result["error"]["hint"] or all(
        problem.get("remedy") for problem in result["error"]["problems"]
    )
    nothing_was_done()


def test_declared_host_key_replaces_known_hosts(pillar: str) -> None:
    """With an empty known_hosts, the host is reachable with its own declared key alone."""
    right, wrong = (
        on(name, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout.strip()
        for name in ("worker-1", "infra-1")
    )
    known_hosts = on("bootstrap", "cat", "/etc/metalk8s/pki/known_hosts").stdout
    try:
        on("bootstrap", "tee", "/etc/metalk8s/pki/known_hosts", stdin="")
        for key, code in ((right, 0), (wrong, 4)):
            declare(pillar.rstrip() + f"\n      ssh: {{host_key: '{key}'}}\n")
            found, result, _ = runner("check_ssh", "worker-1")
            assert found == code, result
        assert result["unreachable"]["worker-1"]["cause"] == "host-key-changed"
        # MetalK8s sets no_host_keys, and salt-ssh then verifies nothing.
        ping = ("salt-ssh", "--roster", "metalk8s_expand", "worker-1", "test.ping")
        on("bootstrap", "tee", VERIFYING, stdin="no_host_keys: false\n")
        assert on("bootstrap", *ping, check=False).returncode != 0
        declare(pillar)
        assert (
            runner("check_ssh", "worker-1")[1]["unreachable"]["worker-1"]["cause"]
            == "host-key-unknown"
        )
    finally:
        on("bootstrap", "rm", "-f", VERIFYING)
        on("bootstrap", "tee", "/etc/metalk8s/pki/known_hosts", stdin=known_hosts)


def test_unknown_node_changes_nothing() -> None:
    """A name that the pillar does not declare is refused."""
    code, result, _ = runner("add_node", "worker-11")
    assert code == 2
    assert "worker-11" in result["error"]["text"]
    assert "worker-1" in result["error"]["text"], "the nearest declared name is proposed"
    nothing_was_done()


def test_plan_of_changed_declaration_is_refused(pillar: str) -> None:
    """``expand plan=`` fails if the declaration has changed since the plan."""
    digest = runner("plan")[1]["digest"]
    declare(pillar.replace("profile: worker\n", "profile: worker-infra\n"))
    code, result, _ = runner("expand", f"plan={digest}")
    assert code == 5
    assert "node worker-1:" in result["error"]["text"]
    nothing_was_done()


def test_expand_adds_all_declared_nodes() -> None:
    """One command builds the documented architecture.

    Meanwhile a client writes to the API, and a second ``expand`` fails because of the lock.
    """
    digest = runner("plan")[1]["digest"]
    with writer.writing() as written, ThreadPoolExecutor(1) as pool:
        first = pool.submit(runner, "expand", f"plan={digest[:16]}", "probe=True", timeout=1800)
        deadline = time.monotonic() + 60
        while "holderIdentity" not in kubectl(
            "-n",
            "kube-system",
            "get",
            "lease",
            "metalk8s-expand",
            "-o",
            "yaml",
            "--ignore-not-found",
        ):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        second, refusal, _ = runner("expand")
        assert second == 9, refusal
        assert "bootstrap" in refusal["error"]["text"], "it says on which host the first one runs"
        code, report, done = first.result()
    assert code == 0, json.dumps(report, indent=1)[-6000:] + done.stderr[-3000:]
    assert report["ok"]
    assert [node["name"] for node in report["nodes"]] == DECLARED
    assert all(step["ok"] for node in report["nodes"] for step in node["steps"])
    assert "cp-2" in done.stderr, "progress is told on stderr"
    print(
        f"\nexpand took {report['elapsed']:.1f} s; longest pause between acknowledged writes {written.longest_pause:.2f} s"
    )
    for node in report["nodes"]:
        print(
            f"  {node['name']}: "
            + ", ".join(f"{step['name']} {step['elapsed']:.1f}" for step in node["steps"])
        )
    assert written.count > 50
    assert written.longest_pause < 30


@pytest.mark.parametrize("name", DECLARED)
def test_node_is_as_declared(name: str) -> None:
    """The Node is Ready and schedulable, with the declared roles and taints."""
    node = get("node", name)
    assert is_true(node, "Ready")
    assert {
        key.removeprefix(PREFIX) for key in node["metadata"]["labels"] if key.startswith(PREFIX)
    } == ROLES[name]
    taints = node["spec"].get("taints", [])
    assert {taint["key"].removeprefix(PREFIX) for taint in taints} == TAINTS[name]
    assert not node["spec"].get("unschedulable")
    assert "node.kubernetes.io/exclude-disruption" not in node["metadata"]["labels"]


@pytest.mark.parametrize("name", MEMBERS)
def test_control_plane_pods_run(name: str) -> None:
    """The static Pods of a control-plane node are Ready on it."""
    for component in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        assert is_true(get("--namespace=kube-system", "pod", f"{component}-{name}"), "Ready")


def test_etcd_has_three_voters_of_one_cluster() -> None:
    """All three members are voters and agree on cluster and leader."""
    listed = json.loads(
        kubectl(
            "--namespace=kube-system",
            "exec",
            "etcd-bootstrap",
            "--",
            *ETCDCTL.split(),
            "member",
            "list",
            "--write-out=json",
        )
    )
    assert sorted(member["name"] for member in listed["members"]) == MEMBERS
    assert not any(member.get("isLearner") for member in listed["members"])
    statuses = json.loads(
        kubectl(
            "--namespace=kube-system",
            "exec",
            "etcd-bootstrap",
            "--",
            *ETCDCTL.split(),
            "endpoint",
            "status",
            "--cluster",
            "--write-out=json",
        )
    )
    assert len({status["Status"]["header"]["cluster_id"] for status in statuses}) == 1
    assert len({status["Status"]["leader"] for status in statuses}) == 1


def test_every_api_server_is_an_endpoint() -> None:
    """The ``kubernetes`` Service has all three API servers as endpoints."""
    slices = get("endpointslices", "--selector=kubernetes.io/service-name=kubernetes")["items"]
    found = sorted(
        address
        for item in slices
        for endpoint in item["endpoints"]
        for address in endpoint["addresses"]
    )
    assert found == ["10.200.0.10", "10.200.0.11", "10.200.0.12"]


def test_dns_runs_on_two_nodes() -> None:
    """CoreDNS survives the loss of either infra node."""
    pods = get("--namespace=kube-system", "pods", "--selector=k8s-app=kube-dns")["items"]
    assert sorted(pod["spec"]["nodeName"] for pod in pods if is_true(pod, "Ready")) == [
        "bootstrap",
        "infra-1",
    ]


def test_infra_takes_no_ordinary_pod() -> None:
    """The dedicated infra node runs DaemonSets and CoreDNS only."""
    kubectl(
        "create",
        "deployment",
        "ordinary",
        "--image=docker.io/library/busybox:1.37",
        "--replicas=6",
        "--",
        "sleep",
        "600",
    )
    try:
        kubectl("wait", "deployment/ordinary", "--for=condition=Available", "--timeout=120s")
        pods = get("pods", "--selector=app=ordinary")["items"]
        assert {pod["spec"]["nodeName"] for pod in pods} == {"worker-1"}
    finally:
        kubectl("delete", "deployment", "ordinary", "--wait=false")


def test_probe_leaves_nothing() -> None:
    """The Pods and Services of the probe are deleted."""
    deadline = time.monotonic() + 90
    while left := names(get("--namespace=metalk8s-expand-probe", "pods,services")):
        assert time.monotonic() < deadline, left
        time.sleep(1)


def test_second_expand_changes_nothing() -> None:
    """The second run reports no change within ten seconds and writes no Node."""
    versions = [
        (item["metadata"]["name"], item["metadata"].get("managedFields", [{}])[0])
        for item in get("nodes", "--show-managed-fields=true")["items"]
    ]
    started = time.monotonic()
    code, report, _ = runner("expand")
    elapsed = time.monotonic() - started
    print(f"\nthe second expand took {elapsed:.1f} s")
    assert (code, report["unchanged"], report["nodes"]) == (0, True, [])
    assert [note for note in report["notes"] if "nothing to change" in note] == [
        f"{name}: nothing to change" for name in DECLARED
    ]
    assert elapsed < 10
    after = [
        (item["metadata"]["name"], item["metadata"].get("managedFields", [{}])[0])
        for item in get("nodes", "--show-managed-fields=true")["items"]
    ]
    assert after == versions


def test_health_and_status_report_ready_cluster() -> None:
    """``health`` finds no problem, and ``status`` reports every declared node as ready."""
    code, found, _ = runner("health")
    assert (code, found["healthy"]) == (0, True)
    code, found, _ = runner("status")
    assert {name: item["state"] for name, item in found["nodes"].items()} == dict.fromkeys(
        DECLARED, "ready"
    )
    code, found, _ = runner("report")
    assert found["unchanged"]


def sign(minion: str, policy: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Request a certificate from the CA's minion with ``salt-call`` on a minion."""
    return on(
        minion,
        "salt-call",
        "--out=json",
        "x509.create_certificate",
        "ca_server=bootstrap",
        f"signing_policy={policy}",
        "private_key=/etc/kubernetes/pki/kubelet-client.key",
        *arguments,
        check=False,
    )


def test_declaration_of_existing_nodes_has_nothing_to_do(pillar: str) -> None:
    """Take all nodes out of the declaration: ``declare`` prints them again as they are."""
    declare("metalk8s_expand: {nodes: {}}\n")
    text = on("bootstrap", "salt-run", "metalk8s_expand.declare").stdout
    assert "# bootstrap is not described: it is the bootstrap node" in text
    declared = yaml.safe_load(text)["metalk8s_expand"]["nodes"]
    before = yaml.safe_load(pillar)["metalk8s_expand"]["nodes"]
    assert {name: (node["profile"], node["address"]) for name, node in declared.items()} == {
        name: (before[name]["profile"], before[name]["address"]) for name in DECLARED
    }
    declare(text)
    code, plan, done = runner("plan")
    assert (code, sorted(plan["unchanged"])) == (0, DECLARED), done.stderr
    assert (plan["control_plane"], plan["workers"]) == ([], [])
    assert "unclosed" not in done.stderr


@pytest.mark.parametrize(
    "policy",
    [
        "infra-1/kubelet-client",
        "cp-1/apiserver-kubelet-client",
        "bootstrap/admin",
        "cp-1/etcd-peer",
    ],
)
def test_worker_gets_no_certificate_of_other_node(policy: str) -> None:
    """The CA's minion decides which minion may use which signing policy."""
    done = sign("worker-1", policy)
    assert "minion not permitted to use specified signing policy" in done.stdout + done.stderr
    assert "BEGIN CERTIFICATE" not in done.stdout


def test_worker_cannot_choose_certificate_subject() -> None:
    """A worker gets the ordinary certificate of its node.

    Requests for system:masters, other names or the rights of a CA have no effect.
    """
    hostile = [
        "O=system:masters",
        "CN=kubernetes-admin",
        "subject='O=system:masters,CN=kubernetes-admin'",
    ]
    more = [
        "subjectAltName='IP:10.200.0.10'",
        "basicConstraints='critical, CA:TRUE'",
        "copypath=/root",
    ]
    done = sign("worker-1", "worker-1/kubelet-client", *hostile, *more)
    certificate = x509.load_pem_x509_certificate(json.loads(done.stdout)["local"].encode())
    assert certificate.subject.rfc4514_string() in (
        "O=system:nodes,CN=system:node:worker-1",
        "CN=system:node:worker-1,O=system:nodes",
    )
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert on("bootstrap", "sh", "-c", "ls /root/*.crt 2>/dev/null", check=False).stdout == ""


def test_secrets_are_on_their_nodes_only() -> None:
    """Only bootstrap has the CA keys, and only nodes with an API server have the shared keys.

    The pillar of a worker holds neither keys nor the list of nodes.
    """
    for name in ("cp-1", "cp-2", "infra-1", "worker-1"):
        found = on(name, "find", "/etc/kubernetes", "-name", "*ca.key").stdout
        assert found == ""
    shared = {
        on(name, "sha256sum", "/etc/kubernetes/pki/sa.key").stdout.split()[0] for name in MEMBERS
    }
    assert len(shared) == 1
    for name in ("infra-1", "worker-1"):
        assert on(name, "test", "-e", "/etc/kubernetes/pki/sa.key", check=False).returncode == 1
        nodes = on(name, "salt-call", "--out=json", "pillar.ls").stdout
        assert "metalk8s_expand" not in json.loads(nodes)["local"]
        inner = json.loads(on(name, "salt-call", "--out=json", "pillar.keys", "metalk8s").stdout)[
            "local"
        ]
        assert "secrets" not in inner
    for name in ("cp-1", "cp-2"):
        left = on(name, "sh", "-c", "ls /var/tmp/.root_*/salt_state.tgz 2>/dev/null; true").stdout
        assert left == "", "no pillar stays on the host"
    for name in MEMBERS:
        modes = on(
            name,
            "find",
            "/etc/kubernetes/pki",
            "/etc/kubernetes/encryption.conf",
            "-name",
            "*.key",
            "-perm",
            "/077",
        ).stdout
        assert modes == ""


def test_documented_commands_add_node_by_hand() -> None:
    """Add a fifth blank host with the documented commands only."""
    text = on(
        "bootstrap",
        "salt-run",
        "metalk8s_expand.manifest",
        "worker-2",
        "profile=worker",
        "address=10.200.0.15",
    ).stdout
    on("bootstrap", "tee", "/root/worker-2.yaml", stdin=text)
    assert kubectl("apply", "-f", "/root/worker-2.yaml") == "node/worker-2 created\n"
    row = next(
        line.split() for line in kubectl("get", "nodes").splitlines() if line.startswith("worker-2")
    )
    assert row[1] != "Ready"
    assert row[2] == "node"
    assert (
        "True"
        in on("bootstrap", "salt-ssh", "--roster", "kubernetes", "worker-2", "test.ping").stdout
    )
    done = on(
        "bootstrap",
        "salt-run",
        "state.orchestrate",
        "metalk8s.orchestrate.deploy_node",
        f"saltenv={SALTENV}",
        'pillar={"orchestrate": {"node_name": "worker-2"}}',
        timeout=900,
    )
    summary = done.stdout[done.stdout.rindex("Summary for") :].split()
    assert summary[summary.index("Failed:") + 1] == "0"
    assert is_true(get("node", "worker-2"), "Ready")
    health = on(
        "bootstrap",
        "kubectl",
        "-n",
        "kube-system",
        "exec",
        "etcd-bootstrap",
        "--",
        *ETCDCTL.split(),
        "endpoint",
        "health",
        "--cluster",
    )
    assert (health.stdout + health.stderr).count("is healthy") == 3


def test_add_node_takes_declaration_as_arguments() -> None:
    """``add_node`` takes the keys of a declaration as arguments and reports the same errors.

    The added node runs etcd alone, without a control plane.
    """
    code, result, _ = runner("add_node", "worker-3", "profile=wroker", "address=10.200.0.16")
    assert code == 2
    assert "wroker" in result["error"]["text"]
    code, report, done = runner(
        "add_node", "worker-3", "roles=[etcd]", "taints=[etcd]", "address=10.200.0.16"
    )
    assert code == 0, json.dumps(report, indent=1)[-4000:] + done.stderr[-2000:]
    assert is_true(get("node", "worker-3"), "Ready")
    assert not get("node", "worker-3")["spec"].get("unschedulable")
    pods = get("--namespace=kube-system", "pods", "--field-selector=spec.nodeName=worker-3")
    static = [name for name in names(pods) if name.endswith("-worker-3")]
    assert static == ["etcd-worker-3"]
    listed = kubectl(
        "--namespace=kube-system", "exec", "etcd-worker-3", "--", *ETCDCTL.split(), "member", "list"
    )
    assert [line.split(", ")[1] for line in listed.splitlines() if ", worker-3, " in line] == [
        "started"
    ]
    assert ", true" not in listed, "it votes"


def test_removed_node_is_added_again_as_worker() -> None:
    """Remove a node and add its host at once under the same name, now as a worker."""
    code, report, done = runner("remove_node", "worker-3", timeout=900)
    assert code == 0, json.dumps(report, indent=1)[-4000:] + done.stderr[-2000:]
    assert report["snapshot"]["bytes"] > 0, "etcd was saved before its member went"
    assert "worker-3" not in names(get("nodes"))
    listed = kubectl(
        "--namespace=kube-system",
        "exec",
        "etcd-bootstrap",
        "--",
        *ETCDCTL.split(),
        "member",
        "list",
    )
    assert "worker-3" not in listed
    code, report, done = runner(
        "add_node", "worker-3", "profile=worker", "address=10.200.0.16", timeout=900
    )
    assert code == 0, json.dumps(report, indent=1)[-4000:] + done.stderr[-2000:]
    assert is_true(get("node", "worker-3"), "Ready")
    assert runner("remove_node", "worker-9")[0] == 2


def test_second_deployment_changes_nothing() -> None:
    """Deploy a deployed control-plane node again with the documented command.

    No state of its roles changes anything, and no container restarts.
    """
    components = ("etcd-cp-1", "kube-apiserver-cp-1")
    before = [
        get("--namespace=kube-system", "pod", name)["status"]["containerStatuses"][0]["containerID"]
        for name in components
    ]
    pillar = 'pillar={"orchestrate": {"node_name": "cp-1"}}'
    words = [
        "state.orchestrate",
        "metalk8s.orchestrate.deploy_node",
        f"saltenv={SALTENV}",
        pillar,
    ]
    done = on("bootstrap", "salt-run", "--out=json", *words, timeout=900)
    states = next(iter(json.loads(done.stdout)["data"].values()))
    assert all(state["result"] for state in states.values())
    changed = [
        name
        for name, state in states.items()
        if state["changes"] and not name.endswith("-function")
    ]
    assert not changed, json.dumps({name: states[name]["changes"] for name in changed}, indent=1)[
        :3000
    ]
    after = [
        get("--namespace=kube-system", "pod", name)["status"]["containerStatuses"][0]["containerID"]
        for name in components
    ]
    assert after == before


def test_unreachable_host_stops_expand_or_is_skipped(pillar: str) -> None:
    """One unreachable host stops the run before the first change.

    With skip_failed, the run skips the host, and its report names the host.
    """
    declare(pillar + "    worker-9:\n      profile: worker\n      address: 10.200.0.77\n")
    code, result, _ = runner("expand")
    assert code == 4
    assert "worker-9" in result["error"]["text"]
    assert "worker-9" not in names(get("nodes"))
    code, report, _ = runner("expand", "skip_failed=True")
    assert code == 0
    assert any("worker-9 was skipped" in note for note in report["notes"])
    assert "worker-9" not in names(get("nodes"))


def test_killed_run_is_resumed_by_next_call() -> None:
    """Kill the runner and the Salt master with SIGKILL during a deployment; call it again."""
    node = ("worker-4", "profile=worker", "address=10.200.0.17")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(
            on, "bootstrap", "salt-run", "metalk8s_expand.add_node", *node, timeout=600, check=False
        )
        until(
            "the deployment to begin",
            lambda: bool((running() or {}).get("nodes", {}).get("worker-4", {}).get("job")),
        )
        time.sleep(5)
        on("bootstrap", "pkill", "-KILL", "-f", "metalk8s_expand.add_node.*MainProcess")
        kill_master()
        assert first.result().returncode != 0
    until(
        "the master to be back",
        lambda: on("bootstrap", "salt-run", "test.arg", check=False).returncode == 0,
    )
    assert (running() or {})["nodes"], "what was cut off is told"
    code, report, done = runner("add_node", *node, "wait_s=120", timeout=900)
    assert code == 0, json.dumps(report, indent=1)[-4000:] + done.stderr[-2000:]
    found = get("node", "worker-4")
    assert is_true(found, "Ready")
    assert not found["spec"].get("unschedulable")
    assert running() is None
    assert (
        json.loads(on("bootstrap", "salt-key", "--out=json", "--list=pre").stdout)["minions_pre"]
        == []
    )


def test_stop_ends_run_between_two_steps() -> None:
    """Call ``stop`` and ``status follow=True`` meanwhile; then the same command resumes the run."""
    kubectl("cordon", "worker-4")
    kubectl("annotate", "node", "worker-4", "metalk8s-expand.scality.com/cordoned=true")
    on("worker-4", "systemctl", "stop", "kubelet")
    until("the Node not to be Ready", lambda: not is_true(get("node", "worker-4"), "Ready"), 120)
    node = ("worker-4", "profile=worker", "address=10.200.0.17")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(runner, "add_node", *node, timeout=900)
        until(
            "the deployment to begin",
            lambda: bool((running() or {}).get("nodes", {}).get("worker-4", {}).get("job")),
        )
        followed = pool.submit(
            on, "bootstrap", "salt-run", "metalk8s_expand.status", "follow=True", timeout=900
        )
        code, asked, _ = runner("stop", "wait_s=600")
        assert (code, asked["ended"]) == (0, True), asked
        code, report, _ = first.result()
        assert code == 10, report
        assert "worker-4" in followed.result().stderr
    message = report["nodes"][0]["error"]["message"]
    assert "the step deploy" in message or "the step verify" in message
    assert runner("add_node", *node)[0] == 0
    assert is_true(get("node", "worker-4"), "Ready")


def running() -> dict[str, Any] | None:
    """Return the active or interrupted run that ``status`` reports."""
    found: dict[str, Any] | None = runner("status", "certificates=False")[1]["now"]
    return found


def test_cluster_works_without_bootstrap_node() -> None:
    """No kubelet, kube-proxy or controller needs the bootstrap node.

    The other Nodes stay Ready, and a new Pod runs and finds a Service by name.
    """
    admin = writer.credentials()
    others = ["cp-1", "cp-2", "infra-1", "worker-1", "worker-2", "worker-3", "worker-4"]
    lab("stop", "bootstrap")
    try:
        admin.until_not_ready("bootstrap", others, timeout=180)
        admin.run_pod(
            "lookup",
            "for i in $(seq 60); do wget -q -T 3 -O /dev/null http://lives.default.svc.cluster.local:8080/ && exit 0; sleep 1; done; exit 1",
        )
    finally:
        lab("start", "bootstrap")
    deadline = time.monotonic() + 180
    while runner("health")[0]:
        assert time.monotonic() < deadline, runner("health")[1]
        time.sleep(3)
    assert names(get("nodes")) == sorted([*others, "bootstrap"])
