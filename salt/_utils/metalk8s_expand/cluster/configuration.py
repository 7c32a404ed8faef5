"""Collect the cluster's own configuration: networks, proxies, the CA's minion and the version.

The sources of a value in their order: MetalK8s's pillar of the master, BootstrapConfiguration, and
the description ``metalk8s:cluster`` of a master without MetalK8s. The API comes first for the
version.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.clients.kubernetes.api import FORBIDDEN
from metalk8s_expand.clients.kubernetes.objects import JsonObject, Kube
from metalk8s_expand.clients.salt import bootstrap_file
from metalk8s_expand.clients.salt.pillar import master_pillar, pillar_id
from metalk8s_expand.domain import configuration
from metalk8s_expand.domain.configuration import ClusterConfiguration, Value
from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.node.manifest import VERSION_LABEL
from metalk8s_expand.domain.node.objects import labels_of, name_of
from metalk8s_expand.errors import UnreachableError, visible

log = logging.getLogger(__name__)

# MetalK8s writes the version of the cluster here.
NAMESPACE = "kube-system"
VERSION_ANNOTATION = "metalk8s.scality.com/cluster-version"


def cluster_configuration(
    opts: Mapping[str, Any], pillar: Mapping[str, Any] | None = None
) -> ClusterConfiguration:
    """Return what the files of this master say, without a request to the API.

    ``pillar`` is the pillar of the master if the caller has it already.
    """
    name = pillar_id(opts)
    own = master_pillar(opts) if pillar is None else pillar
    found = configuration.from_pillar(own, name).with_fallback(_of_file(opts))
    description = (own.get("metalk8s") or {}).get("cluster")
    if isinstance(description, Mapping):
        found = found.with_fallback(configuration.from_description(description, name))
    return found


def cluster_version(kube: Kube, nodes: Sequence[JsonObject] | None = None) -> Value | None:
    """Return the version of the cluster and its source, or None if the API does not tell it.

    The annotation of MetalK8s precedes the label of the bootstrap Node, and this that of another
    control-plane Node. ``nodes`` are the Nodes if the caller has them.
    """
    annotations = _annotations(kube)
    if annotations.get(VERSION_ANNOTATION):
        source = f"annotation {VERSION_ANNOTATION} of Namespace {NAMESPACE}"
        return Value((visible(annotations[VERSION_ANNOTATION]),), source)
    items = kube.nodes() if nodes is None else nodes
    for role in (roles.BOOTSTRAP, roles.MASTER):
        for item in items:
            label = labels_of(item).get(VERSION_LABEL, "")
            if label and roles.label_key(role) in labels_of(item):
                return Value((str(label),), f"label {VERSION_LABEL} of Node {name_of(item)}")
    return None


def _annotations(kube: Kube) -> Mapping[str, Any]:
    """Return the annotations of MetalK8s's Namespace, or none if this client may not read it.

    A role that was applied for an earlier version of this project lacks the right.
    """
    try:
        namespace = kube.namespace(NAMESPACE) or {}
    except UnreachableError as error:
        if error.cause != FORBIDDEN:
            raise
        log.warning(
            "the version of the cluster is taken from its Nodes: %s; apply expand-rbac.yaml.j2 of"
            " this version, as docs/explanations/security.rst says",
            error.message,
        )
        return {}
    return (namespace.get("metadata") or {}).get("annotations") or {}


def _of_file(opts: Mapping[str, Any]) -> ClusterConfiguration:
    path = bootstrap_file.path_of(opts)
    try:
        document = bootstrap_file.read(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return ClusterConfiguration(problems=(f"{path} cannot be read: {visible(reason)}",))
    if document is None:
        return ClusterConfiguration()
    return configuration.from_bootstrap_file(document, path)
