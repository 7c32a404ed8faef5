"""Build the pillar of one minion: its roles, the control plane's addresses, the secrets of its
roles.

Roles come from the declaration. For an undeclared node they come from the role labels of its Node
object, which NodeRestriction protects. They never come from grains or annotations, which a host
writes itself.
"""

from __future__ import annotations

import ipaddress
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from metalk8s_expand.clients.host import secret_files
from metalk8s_expand.clients.kubernetes.objects import JsonObject, Kube
from metalk8s_expand.clients.salt import pillar as salt_pillar
from metalk8s_expand.domain.certificates import signing_policies
from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.domain.node import health, roles, ssh_annotations
from metalk8s_expand.domain.node.objects import name_of
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.parsing import addresses, scalars
from metalk8s_expand.domain.parsing.addresses import Address
from metalk8s_expand.errors import UnreachableError

log = logging.getLogger(__name__)

# All API servers share them: otherwise one cannot read the tokens and stored Secrets of another.
# The container of MetalK8s's master sees nothing of /etc/kubernetes but pki.
SHARED_SECRETS = {"sa_key": "pki/sa.key", "encryption": "pki/encryption.conf"}
# Where masters outside of a container have it.
OLDER_SECRETS = {"encryption": "encryption.conf"}
AUTHORITIES = {
    "kubernetes": "pki/ca.crt",
    "etcd": "pki/etcd/ca.crt",
    "front_proxy": "pki/front-proxy-ca.crt",
}
API_PORT = signing_policies.PORTS["apiserver"]
# The parts that are unknown without the API.
OF_THE_API = ("api_servers", "etcd_members")
# Salt sets this key while it works for salt-ssh.
OVER_SSH = "_ssh_version"
MASTER_KEYS = "/etc/salt/pki/master"


@dataclass(frozen=True)
class PillarHost:
    """The data of a host of the cluster that pillars use."""

    name: str
    address: str
    roles: tuple[str, ...]
    taints: tuple[Mapping[str, str], ...] = field(default_factory=tuple)

    def as_dict(self) -> dict[str, Any]:
        """Return the data for JSON."""
        return {
            "name": self.name,
            "address": self.address,
            "roles": list(self.roles),
            "taints": [dict(taint) for taint in self.taints],
        }


def compile_pillar(
    opts: Mapping[str, Any],
    minion: str,
    pillar: Mapping[str, Any],
    master_id: str | None,
    kubeconfig: str,
) -> dict[str, Any]:
    """Return the pillar data of the minion; see the plugin for the arguments."""
    cluster = (pillar.get("metalk8s") or {}).get("cluster")
    if not cluster or minion == master_id:
        return {}
    declared = salt_pillar.declared_pillar(opts, master_id) if master_id else None
    nodes = settings.parse(declared).nodes.values() if declared else ()
    observed, problem = _observed(minion, kubeconfig)
    hosts = known_hosts(cluster, nodes, observed)
    registered = [name_of(node_obj) for node_obj in observed]
    data = node_pillar(minion, cluster, hosts, registered)
    if data and problem:
        data = without_api(data, problem)
    if OVER_SSH in opts:
        # salt-ssh packs the whole pillar into a file that stays on the host, and the states that it
        # applies need no secret.
        data.get("metalk8s", {}).pop("secrets", None)
    if data:
        keys = secret_files.read_existing(MASTER_KEYS, {"master_public_key": "master.pub"})
        data["metalk8s"].update(keys)
    return data


def from_declared(node: Node) -> PillarHost:
    """Return the host of a declared node."""
    return PillarHost(
        node.name, node.address, node.roles, tuple(taint.as_dict() for taint in node.taints)
    )


def from_observed(item: Mapping[str, Any]) -> PillarHost:
    """Return the host of an undeclared Node object."""
    metadata = item.get("metadata") or {}
    node_roles = roles.observed_roles(metadata.get("labels") or {})
    taints = []
    for taint in (item.get("spec") or {}).get("taints") or ():
        if roles.is_role_key(taint.get("key")):
            taints.append(taint)
    name = str(metadata.get("name", ""))
    declared = (metadata.get("annotations") or {}).get(ssh_annotations.HOST)
    address = health.internal_ip(item) or str(declared or "")
    return PillarHost(name, address, node_roles, tuple(taints))


def from_cluster(bootstrap: Mapping[str, Any]) -> PillarHost:
    """Return the bootstrap node, as the cluster's static pillar describes it."""
    taints = tuple(taint.as_dict() for taint in roles.taints(bootstrap.get("taints") or ()))
    address = addresses.canonical(str(bootstrap["address"]))
    return PillarHost(str(bootstrap["name"]), address, tuple(bootstrap["roles"]), taints)


def known_hosts(
    cluster: Mapping[str, Any], declared: Iterable[Node], observed: Sequence[Mapping[str, Any]]
) -> dict[str, PillarHost]:
    """Return every known host by name.

    The declaration overrides the API. The bootstrap node's own description overrides both.
    """
    bootstrap = from_cluster(cluster["bootstrap"])
    trusted = {node.name: from_declared(node) for node in declared}
    trusted[bootstrap.name] = bootstrap
    others = []
    for item in observed:
        host = from_observed(item)
        if host.name not in trusted:
            others.append(host)
    taken = Counter(_ip(host.address) for host in [*trusted.values(), *others])
    hosts = {}
    for host in others:
        hosts[host.name] = _confined(host, cluster, taken)
    hosts.update(trusted)
    return hosts


def node_pillar(
    minion: str,
    cluster: Mapping[str, Any],
    hosts: Mapping[str, PillarHost],
    registered: Iterable[str],
    kubernetes_directory: str = "/etc/kubernetes",
) -> dict[str, Any]:
    """Return the pillar of one minion; it is empty for a minion that is no node.

    ``registered`` holds the names that the API knows.
    """
    host = hosts.get(minion)
    if host is None:
        return {}
    names = set(registered)
    members = _addresses(hosts.values(), roles.ETCD)
    data: dict[str, Any] = {
        "node": host.as_dict(),
        "certificates": signing_policies.paths(host.roles),
        "certificate_contents": signing_policies.contents(_subject(cluster, host)),
        "ca_server": cluster["bootstrap"]["name"],
        "api_servers": _api_servers(hosts.values()),
        "no_proxy": own_hosts(cluster),
        "etcd_members": [item for item in members if item["name"] in names],
        "authorities": secret_files.read_existing(kubernetes_directory, AUTHORITIES),
    }
    is_authority = minion == cluster["bootstrap"]["name"]
    if roles.MASTER in host.roles and not is_authority:
        data["secrets"] = {
            **secret_files.read_existing(kubernetes_directory, OLDER_SECRETS),
            **secret_files.read_existing(kubernetes_directory, SHARED_SECRETS),
        }
    pillar: dict[str, Any] = {"metalk8s": data}
    if is_authority:
        pillar["x509_signing_policies"] = _policies(cluster, hosts.values())
    return pillar


def without_api(data: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """Return the part of a pillar that does not depend on the Nodes.

    It is enough to renew certificates, as those of the API may be the expired ones. States that
    need the other nodes do not render with it.
    """
    limited = {key: value for key, value in data["metalk8s"].items() if key not in OF_THE_API}
    return {**data, "metalk8s": {**limited, "api_error": reason}}


def _confined(
    host: PillarHost, cluster: Mapping[str, Any], taken: Mapping[Address | None, int]
) -> PillarHost:
    """Drop the address if it belongs to another host.

    A kubelet writes its address itself, and certificates carry it.
    """
    address = _ip(host.address)
    if address is None:
        return replace(host, address="")
    networks = [ipaddress.ip_network(cluster["networks"][key]) for key in ("pod", "service")]
    stolen = taken[address] > 1 or any(address in network for network in networks)
    return replace(host, address="" if stolen else str(address))


def _ip(text: str) -> Address | None:
    """Return an address that other nodes can reach."""
    try:
        return addresses.parsed(scalars.address(text))
    except scalars.Invalid:
        return None


def _addresses(hosts: Iterable[PillarHost], role: str) -> list[dict[str, str]]:
    found = []
    for host in sorted(hosts, key=lambda host: host.name):
        if role in host.roles and host.address:
            found.append({"name": host.name, "address": host.address})
    return found


def _api_servers(hosts: Iterable[PillarHost]) -> list[dict[str, str]]:
    """Return the API servers; ``endpoint`` is the address and port for a proxy's configuration."""
    servers = _addresses(hosts, roles.MASTER)
    return [
        {**server, "endpoint": addresses.host_port(server["address"], API_PORT)}
        for server in servers
    ]


def own_hosts(cluster: Mapping[str, Any]) -> list[str]:
    """Return the hosts that a node's minion reaches without a proxy: the master and the store.

    Salt compares them with the host of a URL, where an IPv6 address has no brackets.
    """
    store = urlsplit(str((cluster.get("artifacts") or {}).get("url", ""))).hostname
    hosts = [addresses.canonical(str(cluster["bootstrap"]["address"])), store]
    return [host for host in dict.fromkeys(hosts) if host]


def _policies(cluster: Mapping[str, Any], hosts: Iterable[PillarHost]) -> dict[str, Any]:
    # Tests use certificates that last minutes.
    days = float(cluster.get("certificate_days", 365))
    policies: dict[str, Any] = {}
    for host in hosts:
        if host.address:
            policies.update(signing_policies.policies(_subject(cluster, host), days))
    return policies


def _subject(cluster: Mapping[str, Any], host: PillarHost) -> signing_policies.Subject:
    """Return the node and the names and addresses of the API for its certificates."""
    networks = cluster["networks"]
    service = str(next(ipaddress.ip_network(networks["service"]).hosts()))
    domain = networks.get("domain", "cluster.local")
    names = tuple(
        f"kubernetes{tail}" for tail in ("", ".default", ".default.svc", f".default.svc.{domain}")
    )
    return signing_policies.Subject(host.name, host.address, host.roles, names, (service,))


def _observed(minion: str, kubeconfig: str) -> tuple[list[JsonObject], str]:
    """Return the registered Nodes, and why they are unknown if the API does not answer."""
    if not Path(kubeconfig).exists():
        return [], ""
    try:
        return Kube.from_kubeconfig(kubeconfig).nodes(), ""
    except UnreachableError as error:
        log.error("the pillar of %s is made without the API: %s", minion, error)
        return [], error.message
