"""Check a node against its declaration: in the API, at every etcd voter, at its own API server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metalk8s_expand.clients.etcd.api import Credentials, Etcd
from metalk8s_expand.clients.host.clock import Clock, Wait, wait_until
from metalk8s_expand.clients.kubernetes.heartbeats import watch_kubelet
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.clients.kubernetes.readiness import api_problems, api_server_problems
from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.node import health, roles
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.errors import DeployError, ExpandError, QuorumError

# The Deployment of the cluster's DNS.
NAMESPACE, COREDNS = "kube-system", "coredns"
LOG = "journalctl --unit kubelet, --unit containerd and /var/log/pods on the node"


@dataclass(frozen=True)
class ClusterAccess:
    """The clients that verification uses;

    ``authority`` is the path of the cluster's CA certificate.
    """

    kube: Kube
    etcd: Etcd | None
    authority: str = "/etc/kubernetes/pki/ca.crt"


def cluster_access(
    kube: Kube, nodes: Sequence[Mapping[str, Any]], credentials: Credentials | None = None
) -> ClusterAccess:
    """Return access to a cluster with these Node objects.

    The etcd client uses every Node of the role etcd that has an address.
    """
    urls = []
    for item in nodes:
        address = _etcd_address(item)
        if address:
            urls.append(quorum.client_url(address))
    return ClusterAccess(kube, Etcd(urls, credentials) if urls else None)


def node_health_problems(
    access: ClusterAccess,
    node: Node,
    members: Sequence[Member] | None = None,
    observed: Mapping[str, Any] | None = None,
) -> list[str]:
    """Return every deviation from the declaration, one sentence each.

    A query that fails is a problem as well. A caller that gives ``members`` reports the alarms of
    etcd itself; otherwise they are problems of an etcd node. A caller that gives ``observed``
    checks the agents of all nodes together, with ``agent_problems``.
    """
    problems = health.node_problems(node, observed or access.kube.node(node.name))
    if observed is None:
        problems += agent_problems(access, [node.name])
    return problems + _component_problems(access, node, members)


def agent_problems(access: ClusterAccess, names: Sequence[str]) -> list[str]:
    """Return the Pods of MetalK8s's agents that are not Ready on these nodes, from one request."""
    query = {"labelSelector": health.AGENT_SELECTOR}
    if len(names) == 1:
        query["fieldSelector"] = f"spec.nodeName={names[0]}"
    chosen = set(names)
    pods = []
    for pod in access.kube.pods(health.NAMESPACE, query):
        if (pod.get("spec") or {}).get("nodeName") in chosen:
            pods.append(pod)
    return health.agent_problems(pods)


def running_problems(access: ClusterAccess, name: str) -> list[str]:
    """Return the components of a registered Node that do not run.

    Its own role labels and address count, not its declaration.
    """
    observed = access.kube.node(name)
    if observed is None:
        return [f"Node {name} is not registered"]
    node_roles = roles.observed_roles((observed.get("metadata") or {}).get("labels") or {})
    node = Node(name, "", node_roles, (), address=health.internal_ip(observed))
    return health.ready_problems(observed) + _component_problems(access, node)


def _component_problems(
    access: ClusterAccess, node: Node, members: Sequence[Member] | None = None
) -> list[str]:
    problems: list[str] = []
    if node.is_control_plane:
        problems += health.static_pod_problems(node, access.kube.pods_of(node.name))
    if node.is_etcd:
        problems += _member_problems(access, node, members)
    if node.is_master:
        problems += _api_server_problems(access, node)
    return problems


def addon_problems(access: ClusterAccess) -> list[str]:
    """Check that CoreDNS has its replicas, or one for each node that may run it if they are fewer.

    Replicas may share a node, as with MetalK8s's soft anti-affinity.
    """
    hosts = [
        item
        for item in access.kube.nodes(roles.label_key(roles.INFRA))
        if not health.cordon_problems(item)
    ]
    deployment = access.kube.deployment(NAMESPACE, COREDNS)
    if deployment is None:
        return health.deployment_problems(None)
    wanted = min(len(hosts), int((deployment.get("spec") or {}).get("replicas", 1)))
    available = (deployment.get("status") or {}).get("availableReplicas") or 0
    return (
        [] if available >= wanted else [f"CoreDNS: {available} of {wanted} replicas are available"]
    )


def wait_until_healthy(
    access: ClusterAccess, node: Node, timeout: float, clock: Clock, renewed: str | None = None
) -> float:
    """Wait until the node matches its declaration and return the seconds that it took.

    Its kubelet must renew its Lease in this time, or have renewed it since ``renewed``. Raises
    DeployError with the remaining problems after ``timeout``.
    """
    watch = watch_kubelet(access.kube, node.name, renewed)
    return wait_until(
        Wait(
            "the node to match its declaration",
            timeout,
            node=node.name,
            hint=(
                "read the kubelet's and the Pods' logs on the node, then run the same command again"
            ),
            log=LOG,
            error=DeployError,
        ),
        lambda: node_health_problems(access, node) + watch.problems(node.name),
        clock,
    )


def wait_until_running(access: ClusterAccess, name: str, timeout: float, clock: Clock) -> float:
    """Wait until the components of a registered Node run on it, as ``wait_until_healthy``."""
    watch = watch_kubelet(access.kube, name)
    return wait_until(
        Wait(
            "the node to become healthy",
            timeout,
            node=name,
            hint=(
                "read the kubelet's and the Pods' logs on the node, then run the same command again"
            ),
            log=LOG,
            error=DeployError,
        ),
        lambda: running_problems(access, name) + watch.problems(name),
        clock,
    )


def members_of(access: ClusterAccess) -> list[Member] | None:
    """Return the members of etcd, or None if it does not answer."""
    try:
        return access.etcd.members() if access.etcd else None
    except ExpandError:
        return None


def ensure_no_alarm(access: ClusterAccess) -> None:
    """Raise QuorumError with the remedy if etcd has an alarm, which prevents every write."""
    problems = quorum.alarm_problems(members_of(access) or ())
    if problems:
        raise QuorumError(
            "etcd has an alarm, so nothing was started",
            problems=problems,
            hint="follow the remedy of the alarm, then run the same command again",
        )


def cluster_health_problems(
    access: ClusterAccess, members: Sequence[Member] | None = None
) -> list[str]:
    """Return the problems of the API and of etcd. ``members`` are etcd's, if they are known."""
    if access.etcd is None:
        return [*api_problems(access.kube), "no Node has the etcd role"]
    return api_problems(access.kube) + etcd_problems(access.etcd, members)


def etcd_problems(etcd: Etcd, members: Sequence[Member] | None = None) -> list[str]:
    """Return the problems of etcd as a whole; see ``quorum.health_problems``."""
    try:
        return quorum.health_problems(etcd.members() if members is None else members)
    except ExpandError as exc:
        return [exc.message]


def _etcd_address(item: Mapping[str, Any]) -> str:
    labels = (item.get("metadata") or {}).get("labels") or {}
    if roles.label_key(roles.ETCD) not in labels:
        return ""
    return health.internal_ip(item)


def _member_problems(
    access: ClusterAccess, node: Node, members: Sequence[Member] | None
) -> list[str]:
    if members is None:
        if access.etcd is None:
            return ["etcd has no reachable member"]
        try:
            members = access.etcd.members()
        except ExpandError as exc:
            return [exc.message]
        return quorum.alarm_problems(members) + health.member_problems(node, members)
    return health.member_problems(node, members)


def _api_server_problems(access: ClusterAccess, node: Node) -> list[str]:
    problems = api_server_problems(node.address, access.authority)
    entries: list[Any] = []
    for item in access.kube.kubernetes_endpoints():
        entries.extend(item.get("endpoints") or ())
    return problems + health.endpoint_problems([node.address], {"endpoints": entries})
