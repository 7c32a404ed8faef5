"""The Kubernetes API as plain dictionaries.

Kubeconfig, TLS and connection pool come from the official client; its generated models do not, since an
expansion compares and patches JSON and must not drop a field that the client's version does not know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.errors import ConflictError, UnreachableError

JsonObject = dict[str, Any]

PAGE = 500
RETRIES = 2


class Kube:
    """One API server (or the local proxy in front of them), reached with one kubeconfig."""

    def __init__(self, url: str, pool: Any, headers: Mapping[str, str], timeout: float) -> None:
        self.url = url.rstrip("/")
        self._pool = pool
        self._headers = dict(headers)
        self._timeout = timeout

    @classmethod
    def from_kubeconfig(cls, path: str, timeout: float = 10.0) -> Kube:
        """A client for the current context of the kubeconfig at ``path``; ``timeout`` in seconds per request."""
        from kubernetes import client, config

        configuration = client.Configuration()
        try:
            config.load_kube_config(config_file=path, client_configuration=configuration)
        # It may hold anything, and the official client fails on that in as many ways.
        except Exception as exc:
            raise UnreachableError(
                f"cannot read the kubeconfig {path}: {exc}",
                hint="set metalk8s_expand:kubeconfig in the master's configuration to a readable kubeconfig",
            ) from exc
        api = client.ApiClient(configuration)
        headers = {
            item["key"]: item["value"]
            for item in configuration.auth_settings().values()
            if item.get("in") == "header" and item.get("value")
        }
        return cls(configuration.host, api.rest_client.pool_manager, headers, timeout)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> JsonObject | None:
        """The answer's JSON, or None for 404. Raises ConflictError (409, 422) and UnreachableError (all else)."""
        response = self._send(method, path, body, query, content_type)
        text = response.data.decode("utf-8", "replace")
        if response.status == 404:
            return None
        if response.status in (409, 422):
            raise ConflictError(f"{method} {path}: {_reason(text)}", hint="read the object again and repeat")
        if response.status >= 400:
            raise UnreachableError(
                f"{method} {path} at {self.url} was answered {response.status}: {_reason(text)}",
                hint="check the API server's log and the rights of the kubeconfig that the master uses",
            )
        return _json(text)

    def text(self, path: str) -> tuple[int, str]:
        """Status and body of a plain GET, for health end points."""
        response = self._send("GET", path, None, None, "application/json")
        return response.status, response.data.decode("utf-8", "replace")

    def _send(self, method: str, path: str, body: Any, query: Mapping[str, str] | None, content_type: str) -> Any:
        import urllib3

        headers = {**self._headers, "Accept": "application/json", "Content-Type": content_type}
        # Only reads are repeated: a lost answer to a write says nothing about the write.
        retries = urllib3.Retry(total=RETRIES if method == "GET" else 0, backoff_factor=0.2, status=0)
        try:
            return self._pool.request(
                method,
                self.url + path + _query(query),
                body=None if body is None else json.dumps(body),
                headers=headers,
                timeout=self._timeout,
                retries=retries,
            )
        except urllib3.exceptions.HTTPError as exc:
            raise UnreachableError(
                f"the Kubernetes API at {self.url} does not answer {method} {path}: {exc}",
                hint="check that an API server runs (crictl ps, or ctr -n k8s.io tasks ls) and its log",
                log="/var/log/containers/kube-apiserver-*.log on the control-plane nodes",
            ) from exc

    def listed(self, path: str, query: Mapping[str, str] | None = None) -> list[JsonObject]:
        """Every item of a collection, page by page."""
        items: list[JsonObject] = []
        token = ""
        while True:
            page = self.request("GET", path, query={**(query or {}), "limit": str(PAGE), "continue": token}) or {}
            items.extend(page.get("items") or [])
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return items

    def nodes(self, selector: str = "") -> list[JsonObject]:
        """All Nodes, or those that a label selector picks."""
        return self.listed("/api/v1/nodes", {"labelSelector": selector} if selector else None)

    def node(self, name: str) -> JsonObject | None:
        """One Node, or None when the API has none of that name."""
        return self.request("GET", f"/api/v1/nodes/{name}")

    def create_node(self, manifest: Mapping[str, Any], dry_run: bool = False) -> JsonObject:
        """The Node as the API stored it."""
        query = {"dryRun": "All"} if dry_run else None
        return self.request("POST", "/api/v1/nodes", manifest, query) or {}

    def merge_patch_node(self, name: str, patch: Mapping[str, Any]) -> JsonObject | None:
        """The Node after a JSON merge patch."""
        return self.request("PATCH", f"/api/v1/nodes/{name}", patch, content_type="application/merge-patch+json")

    def json_patch_node(self, name: str, patch: Sequence[Mapping[str, Any]]) -> JsonObject | None:
        """The Node after a JSON Patch; a failed ``test`` raises ConflictError."""
        return self.request("PATCH", f"/api/v1/nodes/{name}", list(patch), content_type="application/json-patch+json")

    def pods(self, namespace: str, query: Mapping[str, str] | None = None) -> list[JsonObject]:
        """The Pods of one namespace."""
        return self.listed(f"/api/v1/namespaces/{namespace}/pods", query)

    def pods_of(self, node: str, namespace: str = "kube-system") -> list[JsonObject]:
        """The Pods of one namespace that are bound to one Node."""
        return self.pods(namespace, {"fieldSelector": f"spec.nodeName={node}"})

    def deployment(self, namespace: str, name: str) -> JsonObject | None:
        """One Deployment, or None."""
        return self.request("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")

    def kubernetes_endpoints(self) -> list[JsonObject]:
        """The EndpointSlices of the ``kubernetes`` Service."""
        query = {"labelSelector": "kubernetes.io/service-name=kubernetes"}
        return self.listed("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", query)


def _query(query: Mapping[str, str] | None) -> str:
    from urllib.parse import urlencode

    wanted = {key: value for key, value in (query or {}).items() if value}
    return "?" + urlencode(wanted) if wanted else ""


def _json(text: str) -> JsonObject:
    value = json.loads(text) if text else {}
    return value if isinstance(value, dict) else {"value": value}


def _reason(text: str) -> str:
    try:
        return str(json.loads(text).get("message", text))[:500]
    except (ValueError, AttributeError):
        return text[:500]
