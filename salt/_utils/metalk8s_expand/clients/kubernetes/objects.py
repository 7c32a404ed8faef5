"""The kinds of the Kubernetes API that an expansion works with, as plain dictionaries; a kind more is a few lines here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.clients.kubernetes.api import JsonObject, KubeApi
from metalk8s_expand.errors import ConflictError

__all__ = ["JsonObject", "Kube", "store_config_map"]

NODES = "/api/v1/nodes"


class Kube(KubeApi):
    """One API server; what is not there is None."""

    def nodes(self, selector: str = "") -> list[JsonObject]:
        """All Nodes, or those that a label selector picks; as slim as by ``node``."""
        return self.listed(NODES, {"labelSelector": selector} if selector else None, _slim)

    def cordoned_nodes(self) -> list[JsonObject]:
        """Only the Nodes that take no Pods, as slim as by ``node``, which tells who cordoned each."""
        return self.listed(NODES, {"fieldSelector": "spec.unschedulable=true"}, _slim)

    def node(self, name: str) -> JsonObject | None:
        """One Node, without its images and without the managers of its fields, but for the one who cordoned it."""
        found = self.get(f"{NODES}/{name}")
        if found is not None:
            _slim(found)
        return found

    def create_node(self, manifest: Mapping[str, Any], dry_run: bool = False) -> JsonObject:
        """The Node as the API stored it."""
        return self.create(NODES, manifest, dry_run)

    def merge_patch_node(self, name: str, patch: Mapping[str, Any]) -> JsonObject | None:
        """The Node after a JSON merge patch."""
        return self.merge_patch(f"{NODES}/{name}", patch)

    def json_patch_node(self, name: str, patch: Sequence[Mapping[str, Any]]) -> JsonObject | None:
        """The Node after a JSON Patch; a failed ``test`` raises ConflictError."""
        return self.json_patch(f"{NODES}/{name}", patch)

    def delete_node(self, name: str, uid: str, version: str = "") -> bool:
        """Delete the very Node that was read, with ``version`` only as it was read; whether it was there.

        ConflictError when another one has its name by now, or when it was changed since.
        """
        body = {"preconditions": {"uid": uid, **({"resourceVersion": version} if version else {})}}
        return self.request("DELETE", f"{NODES}/{name}", body) is not None

    def pods(self, namespace: str, query: Mapping[str, str] | None = None) -> list[JsonObject]:
        """The Pods of one namespace."""
        return self.listed(f"/api/v1/namespaces/{namespace}/pods", query)

    def pods_of(self, node: str, namespace: str = "kube-system") -> list[JsonObject]:
        """The Pods of one namespace that are bound to one Node."""
        return self.pods(namespace, {"fieldSelector": f"spec.nodeName={node}"})

    def config_map(self, namespace: str, name: str) -> JsonObject | None:
        """One ConfigMap."""
        return self.get(f"{_config_maps(namespace)}/{name}")

    def create_config_map(self, namespace: str, manifest: Mapping[str, Any]) -> JsonObject:
        """The ConfigMap as the API stored it."""
        return self.create(_config_maps(namespace), manifest)

    def json_patch_config_map(
        self, namespace: str, name: str, patch: Sequence[Mapping[str, Any]]
    ) -> JsonObject | None:
        """The ConfigMap after a JSON Patch; a failed ``test`` raises ConflictError."""
        return self.json_patch(f"{_config_maps(namespace)}/{name}", patch)

    def replace_config_map(
        self, namespace: str, name: str, manifest: Mapping[str, Any]
    ) -> JsonObject | None:
        """The ConfigMap after it was replaced; ConflictError when it is not the version that ``manifest`` names."""
        return self.request("PUT", f"{_config_maps(namespace)}/{name}", manifest)

    def deployment(self, namespace: str, name: str) -> JsonObject | None:
        """One Deployment."""
        return self.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")

    def kubernetes_endpoints(self) -> list[JsonObject]:
        """The EndpointSlices of the ``kubernetes`` Service."""
        query = {"labelSelector": "kubernetes.io/service-name=kubernetes"}
        return self.listed("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", query)


def store_config_map(
    kube: Kube, namespace: str, name: str, data: Mapping[str, str], found: Mapping[str, Any] | None
) -> JsonObject:
    """Make it, or replace the one that was read and no other; as it is stored then. ConflictError when it is another by now."""
    body: JsonObject = {"metadata": {"name": name, "namespace": namespace}, "data": dict(data)}
    if found is None:
        return kube.create_config_map(namespace, body)
    body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
    stored = kube.replace_config_map(namespace, name, body)
    if stored is None:
        raise ConflictError(f"ConfigMap {namespace}/{name} was deleted meanwhile")
    return stored


def _config_maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def _slim(node: JsonObject) -> None:
    """Most of a Node's size is what nobody here asks for; who set its cordon is the exception."""
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
