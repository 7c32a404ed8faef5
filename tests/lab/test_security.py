"""What a deployed cluster gives away: to its logs and caches, to an impostor, to a kubelet, to whoever has the master's file.

Assumed: ``test_expansion`` has run, so that all six hosts are nodes and the event bus was recorded all the while.
``worker-2``, an ordinary worker that the pillar does not declare, is made blank here and deployed again.
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
SCOPED = "/etc/kubernetes/metalk8s-expand.conf"
MEMBERS = ("bootstrap", "cp-1", "cp-2")
WORKER = "worker-1"
PREFIX = "metalk8s.scality.com/"


@pytest.fixture(scope="module", autouse=True)
def recorded() -> None:
    """The bootstrap host may have been started anew since."""
    recorder.start()


@pytest.fixture(scope="module")
def hosts() -> list[str]:
    """Every node there is."""
    return names(get("nodes"))


# An impostor


@pytest.fixture(scope="module")
def blank() -> None:
    """``worker-2`` as it was before anybody touched it; its minion must be gone before its key is, or it comes again."""
    lab("reset", VICTIM)
    kubectl("delete", "node", VICTIM, "--ignore-not-found")
    on("bootstrap", "salt-key", "--yes", f"--delete={VICTIM}", check=False)


@pytest.fixture
def no_impostor_stays() -> Iterator[None]:
    """Its key goes whatever happens."""
    yield
    on("bootstrap", "sh", "-c", f"rm -f {KEYS}/minions_pre/{VICTIM} {KEYS}/minions_denied/{VICTIM}")


def add() -> tuple[int, Any]:
    code, result, _ = runner("add_node", VICTIM, "profile=worker", f"address={ADDRESS}")
    return code, result


def is_accepted() -> bool:
    return on("bootstrap", "test", "-e", f"{KEYS}/minions/{VICTIM}", check=False).returncode == 0


@pytest.mark.usefixtures("blank", "no_impostor_stays")
def test_an_impostor_that_waits_is_found_before_anything_is_changed() -> None:
    """Another host's minion has presented its key under the name."""
    on("bootstrap", "cp", f"{KEYS}/minions/{WORKER}", f"{KEYS}/minions_pre/{VICTIM}")
    code, result = add()
    assert code == 3, result
    assert "the master knows a minion of this name" in json.dumps(result)
    assert not is_accepted()
    assert VICTIM not in names(get("nodes"))


@pytest.mark.usefixtures("blank", "no_impostor_stays")
def test_an_impostor_that_is_quicker_is_refused() -> None:
    """Its key comes first while the host is being deployed: both fingerprints are told, none is accepted."""
    script = (
        f"for i in $(seq 600); do kubectl get node {VICTIM} >/dev/null 2>&1 && break; sleep 0.2; done; "
        f"cp {KEYS}/minions/{WORKER} {KEYS}/minions_pre/{VICTIM}"
    )
    with ThreadPoolExecutor(1) as pool:
        quicker = pool.submit(on, "bootstrap", "sh", "-c", script, timeout=300)
        code, result = add()
        quicker.result()
    # That of a conflict, or of the deployment in which it was met.
    assert code in (5, 8), result
    text = json.dumps(result)
    assert "has the fingerprint" in text
    assert "over SSH" in text
    for host in (WORKER, VICTIM):
        assert fingerprint(on(host, "cat", "/etc/salt/pki/minion/minion.pub").stdout) in text, host
    assert not is_accepted()


def fingerprint(public_key: str) -> str:
    """As the messages and ``salt-key`` show it: of what stands between the armour."""
    digest = hashlib.sha256("".join(public_key.split("-----")[2].split()).encode()).hexdigest()
    return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))


def test_the_host_itself_is_accepted_afterwards() -> None:
    """Once the impostor's key is gone, the same command makes it a node."""
    code, result = add()
    assert code == 0, json.dumps(result, indent=1)[-4000:]
    assert is_accepted()
    assert is_true(get("node", VICTIM), "Ready")


# Secrets


def test_no_secret_is_where_it_does_not_belong(hosts: list[str]) -> None:
    """Logs, caches, job returns, events, reports, what salt-ssh leaves, arguments and environments of every process."""
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


def test_the_search_finds_what_is_there() -> None:
    """A log with a line of a key, an event, a process that was given one: each is told, by the name of its file."""
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
    """Or the search has found nothing because there was nothing."""
    script = f"grep -c 'salt/job/' {recorder.EVENTS}; grep -c 'Share the key of service account tokens' {recorder.EVENTS}"
    jobs, shared = map(int, on("bootstrap", "sh", "-c", f"{script}; true").stdout.split())
    assert jobs > 10
    if not os.environ.get("LAB_AS_IT_IS"):
        assert shared >= 2, "the returns of both control-plane nodes"


MODES = r"""
find /etc/kubernetes /etc/salt/pki /etc/metalk8s/pki /var/lib/metalk8s-expand -type f \
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
    "/var/lib/metalk8s-expand/snapshots",
)


def test_secret_files_are_for_root_alone(hosts: list[str]) -> None:
    """Keys, kubeconfigs, static Pods, snapshots, and the directories of what is written anew all the time."""
    for host in hosts:
        rows = [line.split(maxsplit=3) for line in on(host, "sh", "-c", MODES).stdout.splitlines()]
        assert {path for *_, path in rows} >= {
            "/etc/kubernetes/kubelet.conf",
            "/etc/kubernetes/pki/kubelet-client.key",
        }
        assert [
            (host, row) for row in rows if int(row[0], 8) & 0o177 or row[1:3] != ["0", "0"]
        ] == []
        # The lab's hosts have the directory of etcd's data before anything is on them.
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
    """What the API answers to a kubelet."""
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
def test_a_kubelet_is_refused(method: str, path: str, body: Any) -> None:
    """Roles, taints, other Nodes, and all that this project keeps in the API."""
    status, text = as_kubelet(method, path, body)
    assert status == 403, text


def test_a_kubelet_that_rewrites_its_node_gains_nothing() -> None:
    """What it can write is not followed: not by salt-ssh, the pillar or the plan; the next run puts it right."""
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
    # What pillar.get shows of it is stars, since Salt 3008.
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
    assert wanted[f"metadata.labels[{PREFIX}version]"] == "2.0.0-dev"
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


def test_the_master_is_no_administrator() -> None:
    """It works with a user of its own, which expansions have been run with, and which reads no Secret."""
    configured = on("bootstrap", "cat", "/etc/salt/master").stdout
    assert "admin.conf" not in configured
    assert configured.count(f"kubeconfig: {SCOPED}") == 2
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


def test_the_file_holds_no_key() -> None:
    """It names key and certificate, which are beside those of the API server."""
    text = on("bootstrap", "cat", SCOPED).stdout
    assert "client-key: /etc/kubernetes/pki/metalk8s-expand.key" in text
    assert "data:" not in text
