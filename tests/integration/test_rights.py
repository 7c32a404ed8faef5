"""The documented role of the Salt master suffices and has no unused or administrator's right.

The test measures the needed rights: the API server records every request that the library makes as
that user.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.kubernetes import evictions
from metalk8s_expand.clients.kubernetes.evictions import Eviction
from metalk8s_expand.clients.kubernetes.lease import claim
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.cluster import health, node_registration, orchestration_data, roster
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.node import roles
from metalk8s_expand.errors import DeployError, SettingsError, UnreachableError
from metalk8s_expand.expansion import smoke_test
from metalk8s_expand.preflight import cluster, collect_cluster_facts
from metalk8s_expand.runs import journal, request_queue, stop
from metalk8s_expand.runs.lock import FRESH_S, acquire
from tests.integration.apiserver import ApiServer
from tests.integration.daemons import eventually
from tests.integration.etcd_host import Host, Site
from tests.integration.master import DECLARED, Master

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "salt" / "roles" / "addons" / "files" / "expand-rbac.yaml.j2"
USER = "metalk8s-expand"
PROBE = smoke_test.NAMESPACE
READY = {
    "status": {
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"}
        ]
    }
}


@dataclass(frozen=True)
class Right:
    """One verb on one resource; an empty namespace is the whole cluster, an empty name is any."""

    verb: str
    what: str
    namespace: str = ""
    name: str = ""

    def covers(self, event: dict[str, Any]) -> bool:
        """Return whether a request needs this right."""
        asked = event.get("objectRef")
        if asked is None:
            return (self.verb, self.what) == (event["verb"], event["requestURI"].split("?")[0])
        what = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
        group = asked.get("apiGroup")
        found = (event["verb"], f"{what}.{group}" if group else what)
        return (
            found == (self.verb, self.what)
            and self.namespace in ("", asked.get("namespace"))
            and self.name in ("", asked.get("name"))
        )


def given() -> list[Right]:
    """Return each right of the manifest."""
    documents = list(yaml.safe_load_all(jinja2.Template(TEMPLATE.read_text()).render()))
    return [
        right
        for document in documents
        for rule in document.get("rules", ())
        for right in _rights(rule, document["metadata"].get("namespace", ""))
    ]


def _rights(rule: dict[str, Any], namespace: str) -> Iterator[Right]:
    for verb in rule["verbs"]:
        yield from (Right(verb, url) for url in rule.get("nonResourceURLs", ()))
        for resource in rule.get("resources", ()):
            for group in rule["apiGroups"]:
                what = f"{resource}.{group}" if group else resource
                yield from (
                    Right(verb, what, namespace, name) for name in rule.get("resourceNames", [""])
                )


@pytest.fixture(scope="module")
def server(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Start a kube-apiserver that logs the master's requests, with the documented role applied."""
    root = tmp_path_factory.mktemp("apiserver")
    host = Host(site, root / "host", 1).power_on()
    try:
        host.deploy([], new_cluster=True)
        running = ApiServer(host, root, audited=USER)
        try:
            install(running.wait())
            yield running
        finally:
            running.stop()
    finally:
        host.power_off()


def install(server: ApiServer) -> None:
    """Apply the manifest and create the service accounts, because no controller runs here."""
    kube = Kube.from_kubeconfig(str(server.admin))
    for namespace in ("kube-system", "default"):
        eventually(
            f"the namespace {namespace} is there",
            lambda name=namespace: kube.get(f"/api/v1/namespaces/{name}"),
            30,
        )
    manifest = server.root / "rights.yaml"
    manifest.write_text(jinja2.Template(TEMPLATE.read_text()).render())
    done = server.kubectl("apply", f"--filename={manifest}")
    assert done.returncode == 0, done.stderr
    for namespace in (PROBE, "kube-system", "default"):
        kube.create(
            f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}}
        )


@pytest.fixture(scope="module")
def admin(server: ApiServer) -> Kube:
    return Kube.from_kubeconfig(str(server.admin))


@pytest.fixture(scope="module")
def kube(server: ApiServer) -> Kube:
    """Return the client of the master."""
    return Kube.from_kubeconfig(str(server.master))


@pytest.fixture(scope="module")
def events(
    server: ApiServer, admin: Kube, kube: Kube, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """Return the requests of the library for all its functions that need no host."""
    master = Master(server, tmp_path_factory.mktemp("master"))
    master.opts["metalk8s_expand"] = {"kubeconfig": str(server.master)}
    bootstrap = dict.fromkeys(map(roles.label_key, (roles.BOOTSTRAP, roles.MASTER, roles.ETCD)), "")
    admin.create_node({"metadata": {"name": "boot", "labels": bootstrap}})
    register_and_plan(master)
    for name in ("boot", *DECLARED["nodes"]):
        admin.request(
            "PATCH",
            f"/api/v1/nodes/{name}/status",
            READY,
            content_type="application/merge-patch+json",
        )
    look(master)
    hold(master)
    ask_for_nodes(master)
    worker = ClusterContext.from_opts(master.opts).node("plan-w")
    assert "plan-w" in smoke_test.probe(
        kube, [worker], "RUN1", image=None, timeout=1, clock=Clock()
    ), "no kubelet runs it"
    assert admin.pods(PROBE) == []
    take_back(master)
    empty(admin, kube)
    return seen(server, kube)


def register_and_plan(master: Master) -> None:
    """Plan, create, patch and uncordon Nodes."""
    master.commands.plan(None)
    master.registered("plan-w", test=True)
    for name in DECLARED["nodes"]:
        assert master.registered(name, test=False)["result"] is True
    profiles = {
        "gpu": {**DECLARED["profiles"]["gpu"], "labels": {"example.com/g": "2"}, "taints": []}
    }
    master.declare({**DECLARED, "profiles": profiles})
    assert master.commands.register("plan-gpu")["changes"]
    assert master.commands.register("plan-gpu")["changes"] == []
    assert node_registration.uncordon(ClusterContext.from_opts(master.opts).kube, "plan-w")
    master.commands.plan(None)


def look(master: Master) -> None:
    """Make the requests before, during and after a run.

    They serve the cluster checks, cluster facts, verification, status, roster and orchestration.
    """
    world = ClusterContext.from_opts(master.opts)
    declared = world.settings()
    nodes = list(declared.nodes.values())
    assert cluster.cluster_error(world, declared, nodes) is not None, "no etcd answers"
    collect_cluster_facts.collect_cluster_facts(world, declared)
    access = world.access()
    for node in nodes:
        with contextlib.suppress(DeployError):
            health.wait_until_healthy(access, node, 0, Clock())
    assert health.addon_problems(access)
    master.commands.status()
    assert master.commands.health(None)["retcode"] == DeployError.retcode
    assert set(roster.from_cluster(master.opts, "plan-*")) == set(DECLARED["nodes"])
    with contextlib.suppress(Exception):
        roster.from_cluster(master.opts, "boot", "list")
    assert orchestration_data.deployment(world, "plan-w", {})["ca_server"] == "boot"


def hold(master: Master) -> None:
    """Hold the lock and write the journal as two successive runs; request each run to stop."""
    clock = Clock()
    world = ClusterContext.from_opts(master.opts)
    for run in ("1", "2"):
        with acquire(world.leases(), claim(run, "test"), clock=Clock()) as held:
            new = journal.NewRun(run, "test", "here", held.epoch)
            written = journal.JournalWriter(world.kube, new, clock)
            written.step_started("plan-w", "register")
            assert stop.stop(world.leases(), "somebody", clock=Clock()).run == run
            clock.sleep(FRESH_S)
            held.check()
            written.close("ended")
    assert journal.read(world.kube) is not None


def ask_for_nodes(master: Master) -> None:
    """Request a declared and an undeclared node as events do."""
    master.commands.request("plan-w")
    with pytest.raises(SettingsError):
        master.commands.request("nobody")
    kube = ClusterContext.from_opts(master.opts).kube
    request_queue.change(kube, lambda requests: {}, Clock())
    assert master.commands.work()["queue"] == []


def take_back(master: Master) -> None:
    """Delete a Node that no host has claimed."""
    kube = ClusterContext.from_opts(master.opts).kube
    found = kube.node("plan-gpu")
    assert found is not None
    assert kube.delete_node(
        "plan-gpu", found["metadata"]["uid"], found["metadata"]["resourceVersion"]
    )


def empty(admin: Kube, kube: Kube) -> None:
    """Drain and delete a Node with a Pod, and look up a claim with a local volume."""
    admin.create_node({"metadata": {"name": "leaving"}})
    disk = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/x"},
    }
    admin.create("/api/v1/persistentvolumes", {"metadata": {"name": "disk"}, "spec": disk})
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    wanted = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "volumeName": "disk",
    }
    admin.create(
        claims, {"metadata": {"name": "claim"}, "spec": {**wanted, "storageClassName": ""}}
    )
    spec = {
        "nodeName": "leaving",
        "automountServiceAccountToken": False,
        "containers": [{"name": "c", "image": "x"}],
    }
    admin.create("/api/v1/namespaces/default/pods", {"metadata": {"name": "web"}, "spec": spec})
    evictions.local_claims(kube, [("default", "claim")])
    found = kube.node("leaving")
    assert found is not None
    uid = found["metadata"]["uid"]
    evictions.cordon(kube, "leaving", uid, {})
    [pod] = evictions.pods_on(kube, "leaving")
    assert evictions.evict(kube, pod)[0] is Eviction.ACCEPTED
    assert evictions.attachments(kube, "leaving") == []
    assert evictions.volumes_on(kube, "leaving") == []
    assert kube.delete_node("leaving", uid)


def seen(server: ApiServer, kube: Kube) -> list[dict[str, Any]]:
    """Return all requests so far; wait for the log, which the server writes after the answer."""
    kube.text("/metrics")
    eventually(
        "the last event is written",
        lambda: any(event["requestURI"] == "/metrics" for event in server.audit()),
        10,
    )
    return [event for event in server.audit() if event["requestURI"] != "/metrics"]


def test_role_suffices(events: list[dict[str, Any]]) -> None:
    assert len(events) > 50
    refused = [
        (event["verb"], event["requestURI"])
        for event in events
        if event["responseStatus"]["code"] in (401, 403)
    ]
    assert refused == []


def test_every_request_is_covered_by_role(events: list[dict[str, Any]]) -> None:
    """No request is open to every user or answered 404 before its authorization."""
    rights = given()
    assert [
        event["requestURI"] for event in events if not any(right.covers(event) for right in rights)
    ] == []


def test_role_has_no_unused_right(events: list[dict[str, Any]]) -> None:
    assert [right for right in given() if not any(right.covers(event) for event in events)] == []


DENIED = [
    *(
        Right(verb, "secrets", space)
        for verb in ("get", "list", "create")
        for space in ("", "kube-system", PROBE)
    ),
    *(
        Right(verb, "pods", space)
        for verb in ("create", "delete", "patch")
        for space in ("kube-system", "default")
    ),
    *(
        Right("create", f"pods/{sub}", space)
        for sub in ("exec", "portforward", "attach")
        for space in ("kube-system", PROBE)
    ),
    Right("get", "pods/log", "kube-system"),
    Right("get", "nodes/proxy"),
    Right("create", "nodes/proxy"),
    Right("patch", "nodes/status"),
    Right("create", "serviceaccounts/token", "kube-system"),
    *(
        Right("create", f"{kind}.rbac.authorization.k8s.io")
        for kind in ("clusterroles", "clusterrolebindings", "roles")
    ),
    *(
        Right(verb, "clusterroles.rbac.authorization.k8s.io", "", USER)
        for verb in ("update", "patch", "escalate", "bind")
    ),
    Right("create", "certificatesigningrequests.certificates.k8s.io"),
    Right("update", "certificatesigningrequests/approval.certificates.k8s.io"),
    *(Right("impersonate", kind) for kind in ("users", "groups", "serviceaccounts")),
    *(
        Right(verb, "configmaps", "kube-system", "coredns")
        for verb in ("get", "update", "patch", "delete")
    ),
    Right("create", "configmaps", "default"),
    Right("update", "leases.coordination.k8s.io", "kube-system", "kube-scheduler"),
    Right("update", "leases.coordination.k8s.io", "kube-node-lease"),
    Right("create", "namespaces"),
    *(Right(verb, "namespaces", PROBE, PROBE) for verb in ("patch", "update", "delete")),
    *(Right("create", f"{kind}.apps", "kube-system") for kind in ("daemonsets", "deployments")),
    Right("create", "mutatingwebhookconfigurations.admissionregistration.k8s.io"),
]


@pytest.mark.parametrize("right", DENIED, ids=repr)
def test_role_lacks_rights_of_administrator(kube: Kube, right: Right) -> None:
    assert not allowed(kube, right)


def allowed(kube: Kube, right: Right) -> bool:
    """Ask the API server whether the master has a right."""
    what, _, group = right.what.partition(".")
    resource, _, subresource = what.partition("/")
    attributes = {
        "verb": right.verb,
        "namespace": right.namespace,
        "name": right.name,
        "group": group,
    }
    asked: dict[str, Any] = {
        "resourceAttributes": {**attributes, "resource": resource, "subresource": subresource}
    }
    if right.what.startswith("/"):
        asked = {"nonResourceAttributes": {"verb": right.verb, "path": right.what}}
    answer = kube.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": asked})
    return bool(answer["status"]["allowed"])


def pod(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "hostile"},
        "spec": {"containers": [{"name": "c", "image": "c"}], **spec},
    }


HOST_PATH = pod(volumes=[{"name": "host", "hostPath": {"path": "/etc/kubernetes/pki"}}])
PRIVILEGED = pod(containers=[{"name": "c", "image": "c", "securityContext": {"privileged": True}}])


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/api/v1/namespaces/kube-system/secrets", None, "cannot list resource"),
        ("/api/v1/namespaces/kube-system/pods", pod(), "cannot create resource"),
        (f"/api/v1/namespaces/{PROBE}/pods", HOST_PATH, "violates PodSecurity"),
        (f"/api/v1/namespaces/{PROBE}/pods", PRIVILEGED, "violates PodSecurity"),
        (f"/api/v1/namespaces/{PROBE}/pods", pod(hostNetwork=True), "violates PodSecurity"),
    ],
    ids=[
        "Secrets",
        "a Pod in kube-system",
        "a host's files",
        "a privileged Pod",
        "a host's network",
    ],
)
def test_role_is_refused_host_access_and_secrets(
    kube: Kube, path: str, body: dict[str, Any] | None, words: str
) -> None:
    with pytest.raises(UnreachableError, match=rf"answered 403: .*{words}"):
        kube.request("GET" if body is None else "POST", path, body)


def test_master_without_role_gets_missing_right(server: ApiServer) -> None:
    nobody = Kube.from_kubeconfig(str(server.kubeconfig("nobody", {})))
    with pytest.raises(UnreachableError, match=r"answered 403: .*nodes is forbidden") as told:
        nobody.nodes()
    assert "permissions of the kubeconfig" in str(told.value.hint)
