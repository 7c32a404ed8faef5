"""The Kubernetes API over HTTP, for any kind: requests, collections and verbs.

Kubeconfig, TLS and connection pool come from the official client; its generated models do not,
since an expansion compares and patches JSON and must not drop a field that the client's version
does not know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from metalk8s_expand.domain.node.manifest import FIELD_MANAGER
from metalk8s_expand.errors import ConflictError, UnreachableError, visible

JsonObject = dict[str, Any]
_Api = TypeVar("_Api", bound="KubeApi")

# One open connection for each thread that may send requests at the same time.
CONNECTIONS = 16
PAGE = 500
# How often a list starts, when its pages take so long that the API drops the continue token.
LISTINGS = 3

# The cause of the error for a request that the user may not send.
FORBIDDEN = "forbidden"

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
API_HINT = "check that an API server runs (crictl ps, or ctr -n k8s.io tasks ls) and its log"
PROXY_HINT = (
    "check the proxy, or remove proxy-url from the kubeconfig if the master reaches the API without"
    " it"
)


class KubeApi:
    """One API server (or the local proxy in front of them), reached with one kubeconfig."""

    def __init__(
        self, url: str, pool: Any, headers: Mapping[str, str], timeout: float, kubeconfig: str = ""
    ) -> None:
        from metalk8s_expand.clients.kubernetes import retries

        self.url = url.rstrip("/")
        self._kubeconfig = kubeconfig
        self._prefix = urlsplit(self.url).path
        # A pool for this host only: a pool manager parses the URL of every request, which costs
        # more than sending the request.
        self._pool = pool
        self._headers = {"Accept": "application/json", **headers}
        self._timeout = timeout
        self._reads, self._writes = retries.of_reads(), retries.of_writes()
        self._probes, self._questions = retries.of_probes(), retries.of_questions()

    @classmethod
    def from_kubeconfig(
        cls: type[_Api], path: str, timeout: float = 10.0, context: str | None = None
    ) -> _Api:
        """Return a client for a context of the kubeconfig at ``path``, by default the current one.

        ``timeout`` is in seconds per request.
        """
        from kubernetes import client, config

        configuration = client.Configuration()
        configuration.connection_pool_maxsize = CONNECTIONS
        # The client takes a proxy from the environment, even for a loopback address. The API is the
        # cluster's own: only the kubeconfig may name a proxy for it.
        configuration.proxy = None
        try:
            config.load_kube_config(
                config_file=path, context=context, client_configuration=configuration
            )
        # The official client raises many kinds of exceptions for an invalid kubeconfig.
        except Exception as exc:
            raise UnreachableError(
                f"cannot read the kubeconfig {path}: {exc}",
                hint=(
                    "name a readable kubeconfig in the master's configuration, as"
                    " kubernetes.kubeconfig or metalk8s_expand:kubeconfig"
                ),
            ) from exc
        api = client.ApiClient(configuration)
        headers = {
            item["key"]: item["value"]
            for item in configuration.auth_settings().values()
            if item.get("in") == "header" and item.get("value")
        }
        pool = api.rest_client.pool_manager.connection_from_url(configuration.host)
        return cls(configuration.host, pool, headers, timeout, path)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> JsonObject | None:
        """Return the answer's JSON, or None for 404.

        Raises ConflictError (409, 422) and UnreachableError (all other statuses).
        """
        retries = self._reads if method == "GET" else self._writes
        response = self._send(method, path, body, query, content_type, retries)
        if response.status == 404:
            return None
        if response.status < 400:
            return _json(response.data)
        reason = _reason(response.data)
        if response.status in (409, 422):
            raise ConflictError(
                f"{method} {path}: {reason}", hint="read the object again and repeat"
            )
        refusal = _Expired if response.status == 410 else UnreachableError
        raise refusal(
            f"{method} {path} at {self.url} was answered {response.status}: {reason}",
            cause=FORBIDDEN if response.status == 403 else None,
            hint=(
                "check the API server's log and the permissions of the kubeconfig that the master"
                " uses"
            ),
        )

    def text(self, path: str) -> tuple[int, str]:
        """Return status and body of a plain GET, for health endpoints."""
        response = self._send("GET", path, None, None, "application/json", self._probes)
        return response.status, response.data.decode("utf-8", "replace")

    def answer(self, method: str, path: str, body: Any) -> tuple[int, str]:
        """Return status and reason, for callers that distinguish more refusals than ``request``."""
        response = self._send(method, path, body, None, "application/json", self._questions)
        return response.status, _reason(response.data)

    def get(self, path: str) -> JsonObject | None:
        """Return one object, or None."""
        return self.request("GET", path)

    def create(self, path: str, body: Mapping[str, Any], dry_run: bool = False) -> JsonObject:
        """Create an object and return it as the API stored it, or would store it in a dry run."""
        return self.request("POST", path, body, {"dryRun": "All"} if dry_run else None) or {}

    def merge_patch(self, path: str, patch: Mapping[str, Any]) -> JsonObject | None:
        """Apply a JSON merge patch and return the object, or None when it does not exist."""
        return self.request("PATCH", path, patch, content_type=MERGE_PATCH)

    def json_patch(self, path: str, patch: Sequence[Mapping[str, Any]]) -> JsonObject | None:
        """Apply a JSON Patch and return the object, or None when it does not exist.

        A failed ``test`` raises ConflictError.
        """
        return self.request("PATCH", path, list(patch), content_type=JSON_PATCH)

    def listed(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        slim: Callable[[JsonObject], None] | None = None,
    ) -> list[JsonObject]:
        """Return all items of a collection.

        ``slim`` removes unused parts of each item before the next page is read.
        """
        for _ in range(LISTINGS - 1):
            try:
                return list(self._pages(path, query, slim))
            except _Expired:
                continue
        return list(self._pages(path, query, slim))

    def _pages(
        self, path: str, query: Mapping[str, str] | None, slim: Callable[[JsonObject], None] | None
    ) -> Iterator[JsonObject]:
        token = ""
        while True:
            page = (
                self.request(
                    "GET", path, query={**(query or {}), "limit": str(PAGE), "continue": token}
                )
                or {}
            )
            for item in page.get("items") or ():
                if slim is not None:
                    slim(item)
                yield item
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, str] | None,
        content_type: str,
        retries: Any,
    ) -> Any:
        import urllib3

        try:
            return self._pool.urlopen(
                method,
                self._prefix + path + _query(method, query),
                body=None if body is None else json.dumps(body),
                headers={**self._headers, "Content-Type": content_type},
                timeout=self._timeout,
                retries=retries,
            )
        except urllib3.exceptions.HTTPError as exc:
            proxy = _proxy(self._pool)
            through = f", asked through the proxy {proxy}," if proxy else ""
            source = f" (kubeconfig {self._kubeconfig})" if self._kubeconfig else ""
            raise UnreachableError(
                f"the Kubernetes API at {self.url}{source}{through} does not answer"
                f" {method} {path}: {exc}",
                hint=PROXY_HINT if proxy else API_HINT,
                log="/var/log/containers/kube-apiserver-*.log on the control-plane nodes",
            ) from exc


class _Expired(UnreachableError):
    """The continue token of a list has expired."""


def _proxy(pool: Any) -> str:
    """Return the proxy of a connection pool without its credentials, empty without one."""
    proxy = getattr(pool, "proxy", None)
    return str(proxy._replace(auth=None)) if proxy is not None else ""


def _query(method: str, query: Mapping[str, str] | None) -> str:
    """Return the query string; writes carry the field manager, which the API stores per field."""
    manager = {"fieldManager": FIELD_MANAGER} if method in ("POST", "PUT", "PATCH") else {}
    wanted = {key: value for key, value in {**manager, **(query or {})}.items() if value}
    return "?" + urlencode(wanted) if wanted else ""


def _json(text: bytes) -> JsonObject:
    value = json.loads(text) if text else {}
    return value if isinstance(value, dict) else {"value": value}


def _reason(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    try:
        return visible(str(json.loads(text).get("message", text))[:500])
    except (ValueError, AttributeError):
        return visible(text[:500])
