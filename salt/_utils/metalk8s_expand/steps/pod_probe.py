"""A real Pod on a worker, reached by name through a Service from another node: scheduling, CNI, kube-proxy and DNS at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.clients.clock import Clock, wait_until
from metalk8s_expand.clients.kube import Kube
from metalk8s_expand.domain import health
from metalk8s_expand.domain.nodes import Node
from metalk8s_expand.errors import DeployError, ExpandError

DEFAULT_IMAGE = "docker.io/library/busybox:1.37"
PORT = 8080
ANSWER = "metalk8s-expand-probe"


def probe(
    kube: Kube, workers: Sequence[Node], run: str, image: str | None = None, timeout: float = 120.0, clock: Clock | None = None
) -> dict[str, str]:
    """Probe every worker, in a namespace of this run that is always removed. What is wrong, by node name."""
    namespace = f"metalk8s-expand-probe-{run}".lower()[:63]
    kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    try:
        clients = {node.name: _client_node(kube, node.name) for node in workers}
        for node in workers:
            _create(kube, namespace, node, clients[node.name], image or DEFAULT_IMAGE)
        return _failures(kube, namespace, workers, timeout, clock)
    finally:
        kube.request("DELETE", f"/api/v1/namespaces/{namespace}")


def _failures(kube: Kube, namespace: str, workers: Sequence[Node], timeout: float, clock: Clock | None) -> dict[str, str]:
    clock = clock or Clock()
    deadline = clock.monotonic() + timeout
    found: dict[str, str] = {}
    for node in workers:
        left = max(1.0, deadline - clock.monotonic())
        try:
            wait_until(
                f"a Pod on {node.name} to be reached through a Service",
                lambda name=node.name: _problems(kube, namespace, name),  # type: ignore[misc]
                left,
                clock=clock,
                node=node.name,
                error=DeployError,
            )
        except ExpandError as exc:
            found[node.name] = exc.message
    return found


def _problems(kube: Kube, namespace: str, name: str) -> list[str]:
    pod = kube.request("GET", f"/api/v1/namespaces/{namespace}/pods/client-{name}") or {}
    phase = (pod.get("status") or {}).get("phase")
    if phase == "Succeeded":
        return []
    server = kube.request("GET", f"/api/v1/namespaces/{namespace}/pods/server-{name}") or {}
    return [f"the server Pod is {(server.get('status') or {}).get('phase')}, the client Pod {phase}"]


def _client_node(kube: Kube, name: str) -> str:
    """Another node that is Ready, so that the request crosses the network."""
    for item in kube.nodes():
        if item["metadata"]["name"] != name and not health.ready_problems(item):
            return str(item["metadata"]["name"])
    raise DeployError("there is no second Ready node to reach the Pod from", node=name, hint="kubectl get nodes")


def _create(kube: Kube, namespace: str, node: Node, client: str, image: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    tolerations = [{"key": taint.key, "operator": "Exists", "effect": taint.effect} for taint in node.taints]
    serve = f"mkdir /tmp/www && echo {ANSWER} > /tmp/www/index.html && exec httpd -f -p {PORT} -h /tmp/www"
    url = f"http://{_service(node.name)}.{namespace}:{PORT}/"
    ask = f"for i in $(seq 100); do wget -q -T 3 -O - {url} && exit 0; sleep 1; done; exit 1"
    server = _pod(f"server-{node.name}", image, serve, {"nodeSelector": {"kubernetes.io/hostname": node.name}})
    server["metadata"]["labels"] = {"node": node.name}
    server["spec"]["tolerations"] = tolerations
    kube.request("POST", pods, server)
    service = {"selector": {"node": node.name}, "ports": [{"port": PORT, "targetPort": PORT}]}
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": _service(node.name)}, "spec": service}
    kube.request("POST", f"/api/v1/namespaces/{namespace}/services", body)
    kube.request("POST", pods, _pod(f"client-{node.name}", image, ask, {"nodeName": client}))


def _service(node: str) -> str:
    """A Service's name is an RFC 1035 label: no dots, a letter first."""
    return f"probe-{node.replace('.', '-')}"[:63].rstrip("-")


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
