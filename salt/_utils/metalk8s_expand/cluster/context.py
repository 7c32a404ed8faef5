"""Access to the API, etcd and the declaration, made from the master's configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metalk8s_expand.clients.kubernetes.kubeconfig import kubeconfig_of
from metalk8s_expand.clients.kubernetes.lease import Leases
from metalk8s_expand.clients.kubernetes.objects import JsonObject, Kube
from metalk8s_expand.clients.salt.keys import Keys
from metalk8s_expand.clients.salt.minions import Minions
from metalk8s_expand.clients.salt.pillar import (
    PILLAR_KEY,
    master_pillar,
    pillar_id,
)
from metalk8s_expand.cluster import health as verify
from metalk8s_expand.cluster.configuration import cluster_configuration, cluster_version
from metalk8s_expand.domain.configuration import ClusterConfiguration, Value
from metalk8s_expand.domain.declaration import cluster_defaults, settings
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.node import health, roles, ssh_annotations
from metalk8s_expand.domain.node.manifest import VERSION_LABEL
from metalk8s_expand.domain.node.spec import Node, Taint
from metalk8s_expand.errors import SettingsError


def declaration(opts: Mapping[str, Any]) -> Settings:
    """Return the declaration in the master's pillar as the operator states it.

    Raises SettingsError with all problems, or when there is no declaration.
    """
    return _parsed(master_pillar(opts), opts)


def complete_declaration(opts: Mapping[str, Any], version: Callable[[], Value | None]) -> Settings:
    """Return the declaration with the cluster's values where the operator states none.

    ``version`` returns the version that the API tells. Raises SettingsError as ``declaration``, and
    when the declaration contradicts the cluster.
    """
    pillar = master_pillar(opts)
    declared, known = _parsed(pillar, opts), cluster_configuration(opts, pillar)
    return cluster_defaults.complete(declared, known, version)


def _parsed(pillar: Mapping[str, Any], opts: Mapping[str, Any]) -> Settings:
    declared = pillar.get(PILLAR_KEY)
    if declared is None:
        raise SettingsError(
            f"the pillar of {pillar_id(opts)} has no key {PILLAR_KEY}",
            hint="declare the nodes there; the example pillar/metalk8s_expand.sls has every key",
        )
    return settings.parse(declared)


@dataclass(frozen=True)
class ClusterContext:
    """The master's configuration and the API that it reaches."""

    opts: Mapping[str, Any]
    kube: Kube

    @classmethod
    def from_opts(cls, opts: Mapping[str, Any]) -> ClusterContext:
        """Return the context with the kubeconfig of the master's configuration."""
        return cls(opts, kubeconfig_of(opts).connect())

    def settings(self) -> Settings:
        """Return the declaration, completed with the cluster's values."""
        return complete_declaration(self.opts, self.version)

    def node(self, name: str) -> Node:
        """Return the declared node, or an undeclared node as its Node object describes it."""
        pillar = master_pillar(self.opts)
        stated = pillar.get(PILLAR_KEY)
        declared = settings.Settings() if stated is None else settings.parse(stated)
        if name in declared.nodes:
            known = cluster_configuration(self.opts, pillar)
            return cluster_defaults.complete(declared, known, self.version).nodes[name]
        node_obj = self.kube.node(name)
        if node_obj is None:
            raise SettingsError(
                "the pillar does not declare this node, and no Node of this name exists",
                node=name,
                hint="check the name",
            )
        return from_observed(node_obj)

    def configuration(self) -> ClusterConfiguration:
        """Return what the files of this master say about the cluster, by source."""
        return cluster_configuration(self.opts)

    def version(self, nodes: Sequence[JsonObject] | None = None) -> Value | None:
        """Return the version that the API tells, and its source; see ``cluster_version``."""
        return cluster_version(self.kube, nodes)

    def leases(self) -> Leases:
        """Return the client of the Lease that one run holds at a time."""
        return Leases(self.kube)

    def minions(self) -> Minions:
        """Return the minions of the master."""
        return Minions(self.opts)

    def keys(self) -> Keys:
        """Return the keys of minions that the master knows."""
        return Keys(self.opts)

    def access(self) -> verify.ClusterAccess:
        """Return the clients that verification uses."""
        return verify.cluster_access(self.kube, self.kube.nodes(roles.label_key(roles.ETCD)))


def from_observed(node_obj: JsonObject) -> Node:
    """Return the node that an undeclared Node object describes: its role labels and SSH
    annotations.
    """
    metadata = node_obj["metadata"]
    labels = metadata.get("labels") or {}
    ssh = ssh_annotations.from_annotations(metadata["name"], metadata.get("annotations"))
    taints = []
    for item in (node_obj.get("spec") or {}).get("taints") or ():
        if roles.is_role_key(item.get("key")):
            taints.append(Taint(item["key"], item.get("effect", ""), item.get("value", "")))
    return Node(
        name=metadata["name"],
        version=labels.get(VERSION_LABEL, ""),
        roles=roles.observed_roles(labels),
        taints=tuple(taints),
        ssh=ssh,
        address=health.internal_ip(node_obj) or ssh.host,
    )
