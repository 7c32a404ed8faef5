"""Run a Pod on a worker and reach it by name through a Service from a second node.

This tests scheduling, CNI, kube-proxy and DNS together.

The namespace is always the same: rights on Pods can be granted for a known namespace, but not for
future ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from metalk8s_expand.clients.host.clock import Clock, Wait, wait_until
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.domain.node import health
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.errors import DeployError, ExpandError

NAMESPACE = "metalk8s-expand-probe"
# Same as in the manifest of the master's rights, for a master with administrator rights.
MANIFEST = {
    "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "baseline"}}
}
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"
DEFAULT_IMAGE = "docker.io/library/busybox:1.37"
PORT = 8080
TIMEOUT_S = 120.0
ANSWER = "metalk8s-expand-probe"


def probe(
    kube: Kube,
    workers: Sequence[Node],
    run: str,
    image: str | None,
    timeout: float,
    clock: Clock,
) -> dict[str, str]:
    """Probe every worker and return the problems by node name.

    The objects are named after this run and are always removed.
    """
    if kube.namespace(NAMESPACE) is None:
        kube.create("/api/v1/namespaces", MANIFEST)
    try:
        pairs = [_Pair(node, f"{run.lower()}-{number}") for number, node in enumerate(workers)]
        clients = {pair: _client_node(kube, pair.node.name) for pair in pairs}
        for pair in pairs:
            _create(kube, pair, clients[pair], image or DEFAULT_IMAGE)
        return _failures(kube, pairs, timeout, clock)
    finally:
        # Delete all objects, including those that a killed run has left.
        for collection in (PODS, SERVICES):
            kube.request("DELETE", collection)


@dataclass(frozen=True, eq=False)
class _Pair:
    """A server Pod on the probed node and a client Pod on a second node."""

    node: Node
    name: str

    @property
    def server(self) -> str:
        return f"server-{self.name}"

    @property
    def client(self) -> str:
        return f"client-{self.name}"

    @property
    def service(self) -> str:
        """Return an RFC 1035 label: no dots, a letter first."""
        return f"probe-{self.name}"


def _failures(kube: Kube, pairs: Sequence[_Pair], timeout: float, clock: Clock) -> dict[str, str]:
    deadline = clock.monotonic() + timeout
    found: dict[str, str] = {}
    for pair in pairs:
        name = pair.node.name
        left = max(1.0, deadline - clock.monotonic())
        try:
            wait_until(
                Wait(
                    f"a Pod on {name} to be reached through a Service",
                    left,
                    node=name,
                    error=DeployError,
                ),
                partial(_problems, kube, pair),
                clock,
            )
        except ExpandError as exc:
            found[name] = exc.summary
    return found


def _problems(kube: Kube, pair: _Pair) -> list[str]:
    client = _phase(kube, pair.client)
    return (
        []
        if client == "Succeeded"
        else [f"the server Pod is {_phase(kube, pair.server)}, the client Pod {client}"]
    )


def _phase(kube: Kube, pod: str) -> Any:
    return ((kube.get(f"{PODS}/{pod}") or {}).get("status") or {}).get("phase")


def _client_node(kube: Kube, name: str) -> str:
    """Return a second Ready node, so that the request crosses the network."""
    for item in kube.nodes():
        if item["metadata"]["name"] != name and not health.ready_problems(item):
            return str(item["metadata"]["name"])
    raise DeployError(
        "there is no second Ready node to reach the Pod from", node=name, hint="kubectl get nodes"
    )


def _create(kube: Kube, pair: _Pair, client: str, image: str) -> None:
    tolerations = [
        {"key": taint.key, "operator": "Exists", "effect": taint.effect}
        for taint in pair.node.taints
    ]
    serve = (
        f"mkdir /tmp/www && echo {ANSWER} > /tmp/www/index.html && exec httpd -f -p {PORT} -h"
        " /tmp/www"
    )
    url = f"http://{pair.service}.{NAMESPACE}:{PORT}/"
    ask = f"for i in $(seq 100); do wget -q -T 3 -O - {url} && exit 0; sleep 1; done; exit 1"
    server = _pod(
        pair.server, image, serve, {"nodeSelector": {"kubernetes.io/hostname": pair.node.name}}
    )
    server["metadata"]["labels"] = {"probe": pair.name}
    server["spec"]["tolerations"] = tolerations
    kube.create(PODS, server)
    service = {"selector": {"probe": pair.name}, "ports": [{"port": PORT, "targetPort": PORT}]}
    kube.create(
        SERVICES,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": pair.service},
            "spec": service,
        },
    )
    kube.create(PODS, _pod(pair.client, image, ask, {"nodeName": client}))


def _pod(name: str, image: str, script: str, where: Mapping[str, Any]) -> dict[str, Any]:
    container = {
        "name": "probe",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
    }
    spec = {
        **where,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "containers": [container],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
