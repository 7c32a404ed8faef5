"""The endpoints that a new host connects to: API servers, the artifact store, the Salt master."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from metalk8s_expand.clients.kubernetes.objects import JsonObject
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.node import health, roles
from metalk8s_expand.domain.parsing.addresses import canonical
from metalk8s_expand.domain.preflight.cluster_facts import Endpoint
from metalk8s_expand.domain.preflight.saltenv_lists import SaltenvLists

log = logging.getLogger(__name__)

# The preflight checks that the endpoints belong to.
API, ARTIFACTS, MASTER = "api", "artifacts", "salt-master"
TITLES = {ARTIFACTS: "artifact store", MASTER: "Salt master"}
API_PORT = 6443
SCHEMES = {"http": 80, "https": 443}
# MetalK8s's minions take their endpoints from these Services.
NAMESPACE = "kube-system"
SERVICES = {ARTIFACTS: "repositories", MASTER: "salt-master"}


def of(
    world: ClusterContext,
    described: Mapping[str, Any],
    nodes: Sequence[JsonObject],
    lists: Iterable[SaltenvLists] = (),
) -> tuple[Endpoint, ...]:
    """Return all endpoints that the cluster's description and its Nodes give.

    The description is the pillar ``metalk8s:cluster``. ``lists`` are those of MetalK8s's saltenvs.
    """
    artifacts = tuple(_artifacts(world, described)) or tuple(_repositories(nodes, lists))
    return (*_api_servers(nodes), *artifacts, *_master(world, described, nodes))


def _api_servers(nodes: Sequence[JsonObject]) -> Iterator[Endpoint]:
    """Return the API servers of Ready Nodes: one that is down is no problem of a new host."""
    for item in nodes:
        address = health.internal_ip(item)
        if address and _has_role(item, roles.MASTER) and not health.ready_problems(item):
            yield Endpoint(API, f"API server of {item['metadata']['name']}", address, API_PORT)


def _artifacts(world: ClusterContext, described: Mapping[str, Any]) -> Iterator[Endpoint]:
    """Return the store from the master's configuration, the description or MetalK8s's Service."""
    configured = (world.opts.get("metalk8s_expand") or {}).get("artifacts")
    url = configured or (described.get("artifacts") or {}).get("url")
    if not url:
        yield from _service(world, ARTIFACTS)
        return
    place = _place(str(url))
    if place:
        yield Endpoint(ARTIFACTS, TITLES[ARTIFACTS], *place)
    else:
        log.warning(
            "the URL of the artifact store, %r, has no host or no known port, so it is not checked",
            url,
        )


def _repositories(nodes: Sequence[JsonObject], lists: Iterable[SaltenvLists]) -> Iterator[Endpoint]:
    """Return MetalK8s's package repository on the bootstrap node, whose Service may be missing."""
    ports = dict.fromkeys(one.repository_port for one in lists if one.repository_port)
    for item in nodes:
        address = health.internal_ip(item)
        if address and _has_role(item, roles.BOOTSTRAP):
            for port in ports:
                yield Endpoint(ARTIFACTS, "package repository", address, port)


def _place(url: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or SCHEMES.get(parts.scheme)
    except ValueError:
        return None
    return (canonical(parts.hostname), port) if parts.hostname and port else None


def _master(
    world: ClusterContext, described: Mapping[str, Any], nodes: Sequence[JsonObject]
) -> Iterator[Endpoint]:
    """Return the address of the minion role, or of MetalK8s's Service, or of the bootstrap Node."""
    address = (described.get("bootstrap") or {}).get("address")
    behind = () if address else tuple(_service(world, MASTER))
    address = address or next(
        (health.internal_ip(item) for item in nodes if _has_role(item, roles.BOOTSTRAP)), ""
    )
    if behind or not address:
        yield from behind
        return
    for key in ("publish_port", "ret_port"):
        yield Endpoint(MASTER, TITLES[MASTER], canonical(str(address)), int(world.opts[key]))


def _service(world: ClusterContext, check: str) -> Iterator[Endpoint]:
    """Return the endpoints of a MetalK8s Service, if it exists."""
    query = {"labelSelector": f"kubernetes.io/service-name={SERVICES[check]}"}
    for item in world.kube.listed(
        f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices", query
    ):
        ports = [int(entry["port"]) for entry in item.get("ports") or () if entry.get("port")]
        for address in health.ready_addresses(item):
            for port in ports:
                yield Endpoint(check, TITLES[check], address, port)


def _has_role(item: JsonObject, role: str) -> bool:
    return roles.label_key(role) in ((item.get("metadata") or {}).get("labels") or {})
