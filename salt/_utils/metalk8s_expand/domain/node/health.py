"""Check the health of a deployed node in the answers of the Kubernetes API and etcd. No I/O.

Each ``*_problems`` function returns sentences, none if the check passes. An absent or unknown
value is a problem.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.node import manifest
from metalk8s_expand.domain.node.objects import name_of
from metalk8s_expand.domain.node.roles import ETCD, MASTER
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.parsing.addresses import canonical
from metalk8s_expand.errors import visible

Object = Mapping[str, Any]

NAMESPACE = "kube-system"
STATIC_PODS: Mapping[str, tuple[str, ...]] = {
    MASTER: ("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    ETCD: ("etcd",),
}


# On each node of MetalK8s one Pod of these runs: the proxy to the API servers, and the Pod network.
AGENT_LABEL = "k8s-app"
AGENTS = ("apiserver-proxy", "calico-node")
AGENT_SELECTOR = f"{AGENT_LABEL} in ({','.join(AGENTS)})"


def node_problems(node: Node, observed: Object | None) -> list[str]:
    """Return problems unless the Node is Ready and has the declared roles, labels and taints.

    Only the labels and taints that this project owns are compared.
    """
    if observed is None:
        return [f"Node {node.name} is not registered"]
    problems = ready_problems(observed)
    for change in manifest.drift(node, observed):
        if change.path.startswith("metadata.annotations"):
            continue
        problems.append(
            f"Node {node.name}: {change.path} is {_shown(change.found)},"
            f" declared {_shown(change.wanted)}"
        )
    return problems


def ready_problems(observed: Object) -> list[str]:
    """Return a problem unless the Node's Ready condition is True."""
    return _condition_problems(f"Node {name_of(observed)}", observed)


def internal_ips(observed: Object) -> list[str]:
    """Return the InternalIPs that the Node's kubelet reports, the primary one first."""
    reported = (observed.get("status") or {}).get("addresses") or ()
    return [
        canonical(str(entry.get("address", "")))
        for entry in reported
        if entry.get("type") == "InternalIP"
    ]


def internal_ip(observed: Object) -> str:
    """Return the primary InternalIP of the Node; empty until its kubelet reports one."""
    return next(iter(internal_ips(observed)), "")


def cordon_problems(observed: Object) -> list[str]:
    """Return a problem if the Node is cordoned."""
    cordoned = (observed.get("spec") or {}).get("unschedulable") is True
    if not cordoned:
        return []
    return [f"Node {name_of(observed)} is cordoned: kubectl uncordon {name_of(observed)}"]


def static_pods(node: Node) -> tuple[str, ...]:
    """Return the names of the static Pods of the node's roles."""
    names = []
    for role in node.roles:
        for pod in STATIC_PODS.get(role, ()):
            names.append(f"{pod}-{node.name}")
    return tuple(names)


def static_pod_problems(node: Node, pods: Iterable[Object]) -> list[str]:
    """Return problems unless every static Pod of the node's roles exists and is Ready."""
    pods_by_name = {}
    for pod in pods:
        namespace = (pod.get("metadata") or {}).get("namespace", NAMESPACE)
        if namespace == NAMESPACE:
            pods_by_name[name_of(pod)] = pod
    problems = []
    for name in static_pods(node):
        problems.extend(_pod_problems(name, pods_by_name.get(name)))
    return problems


def agent_problems(pods: Iterable[Object]) -> list[str]:
    """Return a problem for each Pod of MetalK8s's agents that is not Ready.

    A node without such a Pod has no problem here: without its Pod network it is not Ready. A Pod
    that a newer one replaces does not count.
    """
    problems = []
    for pod in pods:
        metadata = pod.get("metadata") or {}
        agent = (metadata.get("labels") or {}).get(AGENT_LABEL)
        if agent in AGENTS and not metadata.get("deletionTimestamp"):
            place = (pod.get("spec") or {}).get("nodeName")
            problems += _condition_problems(f"Pod {name_of(pod)} on {place}", pod)
    return problems


def deployment_problems(deployment: Object | None, minimum: int = 1) -> list[str]:
    """Return a problem unless all replicas, and at least ``minimum``, are available."""
    if deployment is None:
        return ["the Deployment does not exist"]
    spec, status = deployment.get("spec") or {}, deployment.get("status") or {}
    wanted = max(minimum, spec.get("replicas", 1))
    available = status.get("availableReplicas") or 0
    if available >= wanted:
        return []
    return [f"Deployment {name_of(deployment)}: {available} of {wanted} replicas available"]


def endpoint_problems(wanted: Sequence[str], endpoints: Object | None) -> list[str]:
    """Return a problem for each address that is not ready.

    ``endpoints`` is an Endpoints, an EndpointSlice or a list of slices.
    """
    ready = set(ready_addresses(endpoints or {}))
    title = name_of(endpoints or {}) or "of the Service"
    shown = ", ".join(sorted(ready)) or "none"
    problems = []
    for address in map(canonical, wanted):
        if address not in ready:
            problems.append(f"endpoints {title} lack {address}: the ready addresses are {shown}")
    return problems


def ready_addresses(endpoints: Object) -> Iterator[str]:
    """Yield the ready addresses.

    An absent ready condition in a slice counts as ready, as Kubernetes defines it.
    """
    for item in endpoints.get("items") or ():
        yield from ready_addresses(item)
    for subset in endpoints.get("subsets") or ():
        yield from (canonical(address["ip"]) for address in subset.get("addresses") or ())
    for endpoint in endpoints.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready") is not False:
            yield from map(canonical, endpoint.get("addresses") or ())


def member_problems(
    node: Node, members: Sequence[quorum.Member], max_lag: int = quorum.MAX_LAG
) -> list[str]:
    """Return problems unless the etcd member of an etcd node is ready.

    It must be a started, healthy and up-to-date voter of the one cluster. Alarms concern the
    cluster as a whole: see ``quorum.alarm_problems``.
    """
    if not node.is_etcd:
        return []
    member = next((member for member in members if member.name == node.name), None)
    if member is None:
        return [f"etcd has no started member named {node.name}"]
    learner = [f"etcd member {member.title} is still a learner"] if member.learner else []
    return [
        *quorum.identity_problems(members),
        *learner,
        *quorum.readiness_problems(members, member, max_lag),
    ]


def _pod_problems(name: str, pod: Object | None) -> list[str]:
    if pod is None:
        return [f"Pod {NAMESPACE}/{name} does not exist"]
    return _condition_problems(f"Pod {name}", pod)


def _condition_problems(title: str, observed: Object) -> list[str]:
    conditions = (observed.get("status") or {}).get("conditions") or ()
    ready = next((condition for condition in conditions if condition.get("type") == "Ready"), None)
    if ready is None:
        return [f"{title} is not Ready: it has never reported its status"]
    if ready.get("status") == "True":
        return []
    reasons = [visible(ready[key]) for key in ("reason", "message") if ready.get(key)]
    reason = ": ".join(reasons) or "no reason given"
    return [f"{title} is not Ready: {visible(ready.get('status'))}, {reason}"]


def _shown(value: str | None) -> str:
    return "absent" if value is None else repr(value)


def is_deployed(observed: Object) -> bool:
    """Return whether a kubelet has ever reported the status of this Node."""
    info = (observed.get("status") or {}).get("nodeInfo") or {}
    return bool(info.get("kubeletVersion"))
