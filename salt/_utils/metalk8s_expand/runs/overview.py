"""Read the overview of the cluster: a fixed number of requests, which run at the same time.

None of them is about a single node, so a fleet costs no more than one node. What cannot be read is
unknown, with the cause, and fails no command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from metalk8s_expand.clients.kubernetes.lease import Leases
from metalk8s_expand.clients.kubernetes.objects import JsonObject, Kube
from metalk8s_expand.cluster.health import COREDNS, NAMESPACE, ClusterAccess
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.reports.overview import Dns, Overview, Unknown
from metalk8s_expand.domain.runs import lease_rules
from metalk8s_expand.errors import ExpandError, UnreachableError

Answer = TypeVar("Answer")


def read_overview(access: ClusterAccess, leases: Leases, nodes: Sequence[JsonObject]) -> Overview:
    """Return the overview of the cluster with these Node objects."""
    kube = access.kube
    with ThreadPoolExecutor(max_workers=4) as pool:
        etcd = pool.submit(_known, lambda: _members(access))
        endpoints = pool.submit(_known, kube.kubernetes_endpoints)
        dns = pool.submit(_known, lambda: _dns(kube))
        lock = pool.submit(_known, lambda: lease_rules.of(leases.get()))
    return Overview(nodes, etcd.result(), endpoints.result(), dns.result(), lock.result())


def _known(ask: Callable[[], Answer]) -> Answer | Unknown:
    try:
        return ask()
    except ExpandError as error:
        return Unknown(error.message)


def _members(access: ClusterAccess) -> list[Member]:
    if access.etcd is None:
        raise UnreachableError("no Node with the etcd role has an address")
    return access.etcd.members()


def _dns(kube: Kube) -> Dns:
    """Return the Deployment and the Pods that it selects."""
    deployment = kube.deployment(NAMESPACE, COREDNS)
    if deployment is None:
        raise UnreachableError(f"there is no Deployment {COREDNS} in {NAMESPACE}")
    selector = (deployment.get("spec") or {}).get("selector") or {}
    labels = selector.get("matchLabels") or {}
    if not labels:
        raise UnreachableError(f"the Deployment {COREDNS} selects its Pods by no label")
    query = ",".join(f"{key}={value}" for key, value in labels.items())
    return Dns(deployment, kube.pods(NAMESPACE, {"labelSelector": query}))
