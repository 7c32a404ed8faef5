"""The Kubernetes API kinds that an expansion uses, as plain dictionaries.

A further kind needs a few lines here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.clients.kubernetes.api import JsonObject, KubeApi
from metalk8s_expand.errors import ConflictError

__all__ = ["JsonObject", "Kube", "store_config_map"]

NODES = "/api/v1/nodes"


class Kube(KubeApi):
    """Client of one API server; a missing object is None."""

    def nodes(self, selector: str = "") -> list[JsonObject]:
        """Return all Nodes, or those that match a label selector, reduced as by ``node``."""
        return self.listed(NODES, {"labelSelector": selector} if selector else None, _slim)

    def cordoned_nodes(self) -> list[JsonObject]:
        """Return the cordoned Nodes, reduced as by ``node``, with the manager of each cordon."""
        return self.listed(NODES, {"fieldSelector": "spec.unschedulable=true"}, _slim)

    def node(self, name: str) -> JsonObject | None:
        """Return one Node without its images and field managers, except the manager that cordoned
        it.
        """
        node_obj = self.get(f"{NODES}/{name}")
        if node_obj is not None:
            _slim(node_obj)
        return node_obj

    def create_node(self, manifest: Mapping[str, Any], dry_run: bool = False) -> JsonObject:
        """Create a Node and return it as the API stored it."""
        return self.create(NODES, manifest, dry_run)

    def merge_patch_node(self, name: str, patch: Mapping[str, Any]) -> JsonObject | None:
        """Apply a JSON merge patch and return the Node."""
        return self.merge_patch(f"{NODES}/{name}", patch)

    def json_patch_node(self, name: str, patch: Sequence[Mapping[str, Any]]) -> JsonObject | None:
        """Apply a JSON Patch and return the Node; a failed ``test`` raises ConflictError."""
        return self.json_patch(f"{NODES}/{name}", patch)

    def delete_node(self, name: str, uid: str, version: str = "") -> bool:
        """Delete the Node with this UID and return whether it existed.

        ``version`` restricts the deletion to that resourceVersion. Raises ConflictError when
        another Node now has the name, or when the Node was changed since.
        """
        body = {"preconditions": {"uid": uid, **({"resourceVersion": version} if version else {})}}
        return self.request("DELETE", f"{NODES}/{name}", body) is not None

    def pods(self, namespace: str, query: Mapping[str, str] | None = None) -> list[JsonObject]:
        """Return the Pods of one namespace."""
        return self.listed(f"/api/v1/namespaces/{namespace}/pods", query)

    def pods_of(self, node: str, namespace: str = "kube-system") -> list[JsonObject]:
        """Return the Pods of one namespace that are bound to one Node."""
        return self.pods(namespace, {"fieldSelector": f"spec.nodeName={node}"})

    def config_map(self, namespace: str, name: str) -> JsonObject | None:
        """Return one ConfigMap."""
        return self.get(f"{_config_maps(namespace)}/{name}")

    def create_config_map(self, namespace: str, manifest: Mapping[str, Any]) -> JsonObject:
        """Create a ConfigMap and return it as the API stored it."""
        return self.create(_config_maps(namespace), manifest)

    def json_patch_config_map(
        self, namespace: str, name: str, patch: Sequence[Mapping[str, Any]]
    ) -> JsonObject | None:
        """Apply a JSON Patch and return the ConfigMap; a failed ``test`` raises ConflictError."""
        return self.json_patch(f"{_config_maps(namespace)}/{name}", patch)

    def replace_config_map(
        self, namespace: str, name: str, manifest: Mapping[str, Any]
    ) -> JsonObject | None:
        """Replace a ConfigMap and return it.

        Raises ConflictError when the stored version is not the one that ``manifest`` names.
        """
        return self.request("PUT", f"{_config_maps(namespace)}/{name}", manifest)

    def deployment(self, namespace: str, name: str) -> JsonObject | None:
        """Return one Deployment."""
        return self.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")

    def namespace(self, name: str) -> JsonObject | None:
        """Return one Namespace."""
        return self.get(f"/api/v1/namespaces/{name}")

    def kubernetes_endpoints(self) -> list[JsonObject]:
        """Return the EndpointSlices of the ``kubernetes`` Service."""
        query = {"labelSelector": "kubernetes.io/service-name=kubernetes"}
        return self.listed("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", query)


def store_config_map(
    kube: Kube,
    namespace: str,
    name: str,
    data: Mapping[str, str],
    before: Mapping[str, Any] | None,
) -> JsonObject:
    """Create a ConfigMap, or replace the version in ``before``, and return it as stored.

    Raises ConflictError when the stored version is no longer the one in ``before``.
    """
    body: JsonObject = {"metadata": {"name": name, "namespace": namespace}, "data": dict(data)}
    if before is None:
        return kube.create_config_map(namespace, body)
    body["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
    stored = kube.replace_config_map(namespace, name, body)
    if stored is None:
        raise ConflictError(f"ConfigMap {namespace}/{name} was deleted at the same time")
    return stored


def _config_maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def _slim(node: JsonObject) -> None:
    """Remove the large parts of a Node that no caller reads; keep the manager that cordoned it."""
    (node.get("status") or {}).pop("images", None)
    metadata = node.get("metadata") or {}
    managers = metadata.pop("managedFields", None) or ()
    if (node.get("spec") or {}).get("unschedulable"):
        metadata["managedFields"] = [
            _CORDON | {"manager": entry.get("manager")} for entry in managers if _cordons(entry)
        ]


_CORDON: JsonObject = {"fieldsV1": {"f:spec": {"f:unschedulable": {}}}}


def _cordons(entry: Mapping[str, Any]) -> bool:
    return "f:unschedulable" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
