"""Test what a deployed cluster discloses.

The tests cover logs and caches, an impostor, a kubelet, and the kubeconfig of the master.

The tests need the cluster of ``test_expansion``: all six hosts are nodes, and the recorder has
recorded the event bus. ``worker-2``, an ordinary worker that the pillar does not declare, is reset
here and deployed again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.lab import leaks, recorder
from tests.lab.hosts import get, is_true, kubectl, lab, names, on, runner

VICTIM, ADDRESS = "worker-2", "10.200.0.15"
KEYS = "/etc/salt/pki/master"
SCOPED = "/etc/salt/metalk8s-expand.kubeconfig"
CONFIGURATION = "/etc/salt/master.d/zz-scoped.conf"
MEMBERS = ("bootstrap", "cp-1", "cp-2")
WORKER = "worker-1"
PREFIX = "metalk8s.scality.com/"


@pytest.fixture(scope="module", autouse=True)
def recorded() -> None:
    """Start the recorder, because the bootstrap host may have been restarted."""
    recorder.start()


@pytest.fixture(scope="module")
def hosts() -> list[str]:
    """Return the names of all Nodes."""
    return names(get("nodes"))


# An impostor


@pytest.fixture(scope="module")
def blank() -> None:
    """Reset ``worker-2``, then delete its Node and its key.

    The minion must be gone before its key is deleted; otherwise it presents the key again.
    """
    lab("reset", VICTIM)
    kubectl("delete", "node", VICTIM, "--ignore-not-found")
    on("bootstrap", "salt-key", "--yes", f"--delete={VICTIM}", check=False)


@pytest.fixture
def no_impostor_stays() -> Iterator[None]:
    """Delete the key of the impostor even if the test fails."""
    yield
    on("bootstrap", "sh", "-c", f"rm -f {KEYS}/minions_pre/{VICTIM} {KEYS}/minions_denied/{VICTIM}")


def add() -> tuple[int, Any]:
    code, result, _ = runner("add_node", VICTIM, "profile=worker", f"address={ADDRESS}")
    return code, result


def is_accepted() -> bool:
    return on("bootstrap", "test", "-e", f"{KEYS}/minions/{VICTIM}", check=False).returncode == 0


@pytest.mark.usefixtures("blank", "no_impostor_stays")
def test_impostor_with_pending_key_is_found_before_first_change() -> None:
    """The minion of another host has presented its key under the name of the node."""
    on("bootstrap", "cp", f"{KEYS}/minions/{WORKER}", f"{KEYS}/minions_pre/{VICTIM}")
    code, result = add()
    assert code == 3, result
    assert "the master has a key of this name" in json.dumps(result)
    assert not is_accepted()
    assert VICTIM not in names(get("nodes"))


@pytest.mark.usefixtures("blank", "no_impostor_stays")
def test_impostor_with_earlier_key_is_refused() -> None:
    """The impostor presents its key during the deployment, before the host does.

    The error shows both fingerprints, and the master accepts neither key.
    """
    script = (
        f"for i in $(seq 600); do kubectl get node {VICTIM} >/dev/null 2>&1 && break; sleep 0.2; done; "
        f"cp {KEYS}/minions/{WORKER} {KEYS}/minions_pre/{VICTIM}"
    )
    with ThreadPoolExecutor(1) as pool:
        quicker = pool.submit(on, "bootstrap", "sh", "-c", script, timeout=300)
        code, result = add()
        quicker.result()
    # The code of a conflict, or of the deployment that meets the conflict.
    assert code in (5, 8), result
    text = json.dumps(result)
    assert "has the fingerprint" in text
    assert "over SSH" in text
    for host in (WORKER, VICTIM):
        assert fingerprint(on(host, "cat", "/etc/salt/pki/minion/minion.pub").stdout) in text, host
    assert not is_accepted()


def fingerprint(public_key: str) -> str:
    """Return the fingerprint of a public key in the format of the messages and of ``salt-key``.

    The digest covers the text between the PEM header and footer.
    """
    digest = hashlib.sha256("".join(public_key.split("-----")[2].split()).encode()).hexdigest()
    return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))


def test_host_is_accepted_after_impostor_key_is_deleted() -> None:
    """After the impostor's key is deleted, the same command adds the node."""
    code, result = add()
    assert code == 0, json.dumps(result, indent=1)[-4000:]
    assert is_accepted()
    assert is_true(get("node", VICTIM), "Ready")


# Secrets


def test_secrets_are_in_their_own_files_only(hosts: list[str]) -> None:
    """Search logs, caches, job returns, events, reports and files that salt-ssh leaves.

    The search also covers the arguments and environments of every process.
    """
    wanted = leaks.secrets(hosts)
    assert {"bootstrap:/etc/kubernetes/pki/ca.key", "cp-1:/etc/kubernetes/pki/sa.key", f"{WORKER}:/etc/salt/pki/minion/minion.pem",
            "bootstrap:/etc/kubernetes/encryption.conf", "bootstrap:/etc/metalk8s/pki/salt-bootstrap"} <= set(wanted)  # fmt: skip
    found = leaks.search(hosts, wanted)
    assert all(seen > 50 for seen in found.seen.values()), found.seen
    assert found.leaks == []
    shared = ("pki/sa.key", "encryption.conf")
    for path, (labels, mode, owner) in found.pillars.items():
        assert (mode, owner) == ("0o600", 0), path
        assert all(label.endswith(shared) for label in labels), path


def test_search_finds_secret_in_log() -> None:
    """The search reports a log with a line of a key, by the name of the key's file."""
    [line] = leaks.secrets(["bootstrap"])["bootstrap:/etc/kubernetes/encryption.conf"]
    wanted = {"it": [line]}
    on("bootstrap", "tee", "/var/log/careless.log", stdin=f"x{line}y\n")
    try:
        assert leaks.search(["bootstrap"], wanted).leaks == [
            "bootstrap: /var/log/careless.log holds what belongs in it"
        ]
    finally:
        on("bootstrap", "rm", "/var/log/careless.log")


def test_events_were_recorded() -> None:
    """Without recorded events the search above would prove nothing."""
    script = f"grep -c 'salt/job/' {recorder.EVENTS}; grep -c 'Share the key of service account tokens' {recorder.EVENTS}"
    jobs, shared = map(int, on("bootstrap", "sh", "-c", f"{script}; true").stdout.split())
    assert jobs > 10
    if not os.environ.get("LAB_AS_IT_IS"):
        assert shared >= 2, "the returns of both control-plane nodes"


MODES = r"""
find /etc/kubernetes /etc/salt/pki /etc/metalk8s/pki /var/cache/salt/metalk8s-expand -type f \
    \( -name '*.key' -o -name '*.pem' -o -name '*.conf' -o -name salt-bootstrap -o -path '*/manifests/*' -o -path '*/static-pods/*' \
       -o -path '*/snapshots/*' \) -printf '%m %U %G %p\n' 2>/dev/null
true
"""
DIRECTORIES = (
    "/etc/kubernetes/manifests",
    "/etc/kubernetes/static-pods",
    "/var/lib/etcd",
    "/etc/salt/pki/minion",
    "/etc/salt/pki/master",
    "/var/cache/salt/master/metalk8s_expand",
    "/var/cache/salt/metalk8s-expand/snapshots",
)


def test_secret_files_are_readable_by_root_alone(hosts: list[str]) -> None:
    """Check keys, kubeconfigs, static Pods, snapshots, and directories with changing files."""
    for host in hosts:
        rows = [line.split(maxsplit=3) for line in on(host, "sh", "-c", MODES).stdout.splitlines()]
        assert {path for *_, path in rows} >= {
            "/etc/kubernetes/kubelet.conf",
            "/etc/kubernetes/pki/kubelet-client.key",
        }
        assert [
            (host, row) for row in rows if int(row[0], 8) & 0o177 or row[1:3] != ["0", "0"]
        ] == []
        # The hosts of the lab have a data directory of etcd even when they are blank.
        mine = [path for path in DIRECTORIES if host in MEMBERS or path != "/var/lib/etcd"]
        found = on(
            host, "sh", "-c", f"stat --format='%a %u %g %n' {' '.join(mine)} 2>/dev/null; true"
        ).stdout.splitlines()
        open_to_others = [
            (host, line)
            for line in found
            if int(line.split()[0], 8) & 0o027 or line.split()[1:3] != ["0", "0"]
        ]
        assert open_to_others == []
    there = on("bootstrap", "sh", "-c", f"ls -d {' '.join(DIRECTORIES[:6])}").stdout.split()
    assert there == sorted(DIRECTORIES[:6])


# A kubelet


# Requests of the kubelet, through the local proxy with the kubelet's own certificate.
KUBELET = """
import http.client, json, ssl, sys
context = ssl.create_default_context(cafile="/etc/kubernetes/pki/ca.crt")
context.load_cert_chain("/etc/kubernetes/pki/kubelet-client.crt", "/etc/kubernetes/pki/kubelet-client.key")
answers = []
for method, path, body in json.load(sys.stdin):
    connection = http.client.HTTPSConnection("127.0.0.1", 7443, timeout=10, context=context)
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, {"Content-Type": "application/json" if method == "POST" else "application/merge-patch+json"})
    answer = connection.getresponse()
    answers.append([answer.status, answer.read().decode()[:500]])
print(json.dumps(answers))
"""


def as_kubelet(method: str, path: str, body: Any = None, host: str = WORKER) -> tuple[int, str]:
    """Send a request as a kubelet; return the status and the text of the answer."""
    on(host, "tee", "/run/kubelet.py", stdin=KUBELET)
    [(status, text)] = json.loads(
        on(host, "python3", "/run/kubelet.py", stdin=json.dumps([[method, path, body]])).stdout
    )
    return status, text


SPACE = "/api/v1/namespaces/kube-system"
NODE = f"/api/v1/nodes/{WORKER}"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", NODE, {"metadata": {"labels": {"node-role.kubernetes.io/master": ""}}}),
        ("PATCH", NODE, {"spec": {"taints": [{"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"}]}}),
        ("PATCH", "/api/v1/nodes/infra-1", {"metadata": {"annotations": {f"{PREFIX}ssh-host": ADDRESS}}}),
        ("DELETE", "/api/v1/nodes/infra-1", None),
        ("GET", f"{SPACE}/configmaps", None),
        ("GET", f"{SPACE}/configmaps/metalk8s-expand-owned", None),
        ("GET", f"{SPACE}/configmaps/metalk8s-expand-run", None),
        ("GET", f"{SPACE}/configmaps/metalk8s-expand-queue", None),
        ("PATCH", f"{SPACE}/configmaps/metalk8s-expand-queue", {"data": {WORKER: "{}"}}),
        ("PATCH", f"{SPACE}/configmaps/metalk8s-expand-owned", {"data": {WORKER: "{}"}}),
        ("PATCH", f"{SPACE}/configmaps/metalk8s-expand-run", {"data": {WORKER: "{}"}}),
        ("POST", f"{SPACE}/configmaps", {"metadata": {"name": "metalk8s-expand-run"}}),
        ("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/metalk8s-expand", None),
        ("PATCH", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/metalk8s-expand", {"spec": {"holderIdentity": "x"}}),
        ("GET", f"{SPACE}/secrets", None),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_kubelet_request_is_refused(method: str, path: str, body: Any) -> None:
    """A kubelet has no access to roles, taints, other Nodes and objects of this project."""
    status, text = as_kubelet(method, path, body)
    assert status == 403, text


def test_node_rewritten_by_kubelet_is_ignored_and_restored() -> None:
    """salt-ssh, the pillar and the plan ignore the values that a kubelet can write.

    The next run restores the declared values.
    """
    before = get("node", WORKER)["metadata"]
    annotations = {
        "ssh-host": "10.200.0.13",
        "ssh-user": "nobody",
        "ssh-key-path": "/etc/shadow",
        "ssh-sudo": "true",
    }
    changed = {
        "annotations": {f"{PREFIX}{key}": value for key, value in annotations.items()},
        "labels": {f"{PREFIX}version": "6.6.6"},
    }
    status, text = as_kubelet("PATCH", NODE, {"metadata": changed})
    assert status == 200, text
    for roster in ("metalk8s_expand", "kubernetes"):
        shown = on("bootstrap", "salt-ssh", "--roster", roster, "--raw", WORKER, "hostname").stdout
        assert WORKER in shown.replace(f"{WORKER}:", "", 1), shown
        assert "infra-1" not in shown
    # Since Salt 3008, pillar.get masks the values with stars.
    words = (
        "slsutil.renderer",
        "string={{ pillar.metalk8s.node | json }}",
        "default_renderer=jinja",
    )
    node = json.loads(json.loads(on(WORKER, "salt-call", "--out=json", *words).stdout)["local"])
    assert (node["address"], node["roles"]) == ("10.200.0.14", ["node"])
    code, plan, _ = runner("plan", WORKER)
    assert code == 0
    [planned] = plan["workers"]
    steps = [step["name"] for step in planned["steps"]]
    assert "register" in steps
    wanted = {change["path"]: change["wanted"] for change in planned["changes"]}
    assert wanted[f"metadata.annotations[{PREFIX}ssh-host]"] == "10.200.0.14"
    assert wanted[f"metadata.labels[{PREFIX}version]"] == "134.0.0"
    code, report, _ = runner("expand", WORKER)
    assert code == 0, json.dumps(report, indent=1)[-3000:]
    after = get("node", WORKER)["metadata"]
    own = [
        key for key in {*before["annotations"], *changed["annotations"]} if key.startswith(PREFIX)
    ]
    assert {key: after["annotations"].get(key) for key in own} == {
        key: before["annotations"].get(key) for key in own
    }
    assert after["labels"] == before["labels"]


# The master


@pytest.fixture
def least_rights() -> Iterator[None]:
    """Configure the scoped kubeconfig, as the security page says."""
    text = f"metalk8s_expand: {{kubeconfig: {SCOPED}}}\n"
    on("bootstrap", "tee", CONFIGURATION, stdin=text)
    try:
        yield
    finally:
        on("bootstrap", "rm", "-f", CONFIGURATION)


@pytest.mark.usefixtures("least_rights")
def test_scoped_kubeconfig_suffices_for_expansion() -> None:
    """Reset a worker and deploy it again without the rights of an administrator."""
    lab("reset", VICTIM)
    kubectl("delete", "node", VICTIM, "--ignore-not-found")
    on("bootstrap", "salt-key", "--yes", f"--delete={VICTIM}", check=False)
    code, result = add()
    assert code == 0, json.dumps(result, indent=1)[-4000:]
    for function in ("plan", "health", "status", "preflight"):
        code, found, _ = runner(function)
        assert code == 0, (function, found)
    assert runner("status")[1]["configuration"]["kubeconfig"]["path"] == SCOPED


def test_scoped_kubeconfig_has_no_administrator_rights() -> None:
    """The user of the scoped kubeconfig cannot read Secrets."""
    scoped = ("kubectl", f"--kubeconfig={SCOPED}")
    assert "metalk8s-expand" in on("bootstrap", *scoped, "auth", "whoami").stdout
    for question in (["get", "secrets", "-A"], ["get", "secrets", "-n", "kube-system"]):
        done = on("bootstrap", *scoped, *question, check=False)
        assert done.returncode != 0
        assert "Forbidden" in done.stderr
    for verb, thing in (
        ("create", "pods"),
        ("create", "pods/exec"),
        ("create", "clusterrolebindings"),
        ("*", "*"),
    ):
        done = on(
            "bootstrap", *scoped, "auth", "can-i", verb, thing, "-n", "kube-system", check=False
        )
        assert done.stdout.strip() == "no"
    assert on("bootstrap", *scoped, "get", "nodes", "-o", "name").stdout.count("node/") >= 5


def test_kubeconfig_of_master_holds_no_key() -> None:
    """The kubeconfig names key and certificate, which are beside those of the API server."""
    text = on("bootstrap", "cat", SCOPED).stdout
    assert "client-key: /etc/kubernetes/pki/metalk8s-expand.key" in text
    assert "data:" not in text
