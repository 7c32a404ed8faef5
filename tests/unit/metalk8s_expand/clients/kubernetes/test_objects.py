"""Tests of the Kubernetes API client with a local HTTP server and the official client's pool."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from metalk8s_expand.clients.kubernetes import api as kube_api
from metalk8s_expand.clients.kubernetes import retries
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.domain.node.manifest import FIELD_MANAGER
from metalk8s_expand.errors import ConflictError, UnreachableError
from tests.unit.metalk8s_expand.conftest import free_port


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


@dataclass
class Api:
    """A fake API that records requests.

    A function of the request returns (status, body) or (status, body, headers).
    """

    answer: Callable[[Request], tuple[Any, ...]] = lambda request: (200, {})
    asked: list[Request] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def api() -> Iterator[Api]:
    found = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            request = Request(
                self.command,
                parts.path,
                query,
                json.loads(text) if text else None,
                dict(self.headers),
            )
            found.asked.append(request)
            status, body, *headers = found.answer(request)
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            for key, value in {
                **(headers[0] if headers else {}),
                "Content-Length": str(len(data)),
            }.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_PATCH = do_DELETE = do_GET

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    ).start()
    yield found
    server.shutdown()
    server.server_close()


def kubeconfig(path: Path, url: str, token: str = "t") -> str:
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }  # fmt: skip
    path.write_text(json.dumps(config))
    return str(path)


@pytest.fixture
def kube(api: Api, tmp_path: Path) -> Kube:
    return Kube.from_kubeconfig(kubeconfig(tmp_path / "kubeconfig", api.url), timeout=2.0)


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "LONGEST_WAIT_S", 0.01)


def test_a_node(api: Api, kube: Kube) -> None:
    api.answer = lambda request: (200, {"metadata": {"name": "w-1"}, "unknown": {"kept": True}})
    assert kube.node("w-1") == {"metadata": {"name": "w-1"}, "unknown": {"kept": True}}
    [asked] = api.asked
    assert (asked.method, asked.path, asked.query, asked.body) == (
        "GET",
        "/api/v1/nodes/w-1",
        {},
        None,
    )
    assert asked.headers["authorization"] == "Bearer t"


def test_a_collection_comes_page_by_page(api: Api, kube: Kube) -> None:
    pages = {"": ([1, 2], "p2"), "p2": ([3], "p3 &="), "p3 &=": ([4], "")}

    def answer(request: Request) -> tuple[Any, ...]:
        items, token = pages[request.query.get("continue", "")]
        return 200, {"items": [{"n": item} for item in items], "metadata": {"continue": token}}

    api.answer = answer
    assert [item["n"] for item in kube.nodes("a=b,c")] == [1, 2, 3, 4]
    assert [request.query["limit"] for request in api.asked] == [str(kube_api.PAGE)] * 3
    assert {request.query["labelSelector"] for request in api.asked} == {"a=b,c"}


def test_a_list_that_the_api_forgot_is_begun_again(api: Api, kube: Kube) -> None:
    def answer(request: Request) -> tuple[Any, ...]:
        if "continue" not in request.query:
            return 200, {"items": [{"n": 1}], "metadata": {"continue": "p2"}}
        if len(api.asked) < 2 * kube_api.LISTINGS:
            return 410, {"message": "The provided continue parameter is too old"}
        return 200, {"items": [{"n": 2}]}

    api.answer = answer
    assert [item["n"] for item in kube.nodes()] == [1, 2]
    assert len(api.asked) == 2 * kube_api.LISTINGS


def test_a_list_is_not_begun_again_for_ever(api: Api, kube: Kube) -> None:
    api.answer = lambda request: (
        (410, {"message": "too old"}) if "continue" in request.query else (200, endless)
    )
    endless = {"items": [], "metadata": {"continue": "p2"}}
    with pytest.raises(UnreachableError, match="answered 410: too old"):
        kube.nodes()
    assert len(api.asked) == 2 * kube_api.LISTINGS


CORDON = {"f:spec": {"f:unschedulable": {}, "f:taints": {}}, "f:metadata": {}}
# Between the attempts of a read.
PAUSES_S = 6
MANAGERS = [
    {"manager": "a", "fieldsV1": {"f:spec": {}}},
    {"manager": "b", "fieldsV1": CORDON},
    {"manager": "c"},
]
IMAGES = {"images": [{"names": ["i"]}], "nodeInfo": {"kubeletVersion": "v1"}}


def test_nodes_are_slim(api: Api, kube: Kube) -> None:
    """Field managers and images are most of a Node; only the manager that cordoned it is used."""
    plain = {"metadata": {"name": "w-1", "managedFields": MANAGERS}, "spec": {}, "status": IMAGES}
    cordoned = {"metadata": {"managedFields": MANAGERS}, "spec": {"unschedulable": True}}
    slim = [
        {"metadata": {"name": "w-1"}, "spec": {}, "status": {"nodeInfo": {"kubeletVersion": "v1"}}},
        {
            "metadata": {
                "managedFields": [{"manager": "b", "fieldsV1": {"f:spec": {"f:unschedulable": {}}}}]
            },
            "spec": {"unschedulable": True},
        },
        {"metadata": None, "spec": None, "status": None},
    ]
    items = [plain, cordoned, {"metadata": None, "spec": None, "status": None}]
    api.answer = lambda request: (200, {"items": items})
    assert kube.nodes() == slim
    for item, expected in zip(items, slim, strict=True):
        api.answer = lambda request, item=item: (200, item)
        assert kube.node("w-1") == expected


def test_cordoned_nodes_are_picked_by_the_api(api: Api, kube: Kube) -> None:
    api.answer = lambda request: (
        200,
        {"items": [{"metadata": {"name": "w-1"}, "spec": {"unschedulable": True}}]},
    )
    assert [item["metadata"]["name"] for item in kube.cordoned_nodes()] == ["w-1"]
    assert api.asked[-1].query["fieldSelector"] == "spec.unschedulable=true"


def test_connection_pool_holds_one_connection_per_thread(api: Api, kube: Kube) -> None:
    """Connections beyond the pool's size would be opened again for every request."""
    assert kube._pool.pool.maxsize == kube_api.CONNECTIONS == 16


def test_an_api_below_a_path(api: Api, tmp_path: Path) -> None:
    Kube.from_kubeconfig(kubeconfig(tmp_path / "k", f"{api.url}/clusters/one/"), timeout=2.0).node(
        "w-1"
    )
    assert [asked.path for asked in api.asked] == ["/clusters/one/api/v1/nodes/w-1"]


@pytest.mark.parametrize("page", [{}, {"items": None}, {"items": [], "metadata": None}])
def test_an_empty_collection(api: Api, kube: Kube, page: dict[str, Any]) -> None:
    api.answer = lambda request: (200, page)
    assert kube.nodes() == []
    assert len(api.asked) == 1


def test_missing_object_is_none(api: Api, kube: Kube) -> None:
    api.answer = lambda request: (404, {"kind": "Status", "message": "not found"})
    assert kube.node("w-1") is None
    assert kube.deployment("kube-system", "coredns") is None
    assert kube.nodes() == []


@pytest.mark.parametrize("status", [409, 422])
def test_a_conflict(api: Api, kube: Kube, status: int) -> None:
    api.answer = lambda request: (
        status,
        {"kind": "Status", "message": "the object has been modified"},
    )
    with pytest.raises(ConflictError, match="the object has been modified"):
        kube.merge_patch_node("w-1", {})
    assert len(api.asked) == 1, "a write is never repeated"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"message": "Unauthorized"}, "401: Unauthorized"),
        (403, {"message": "nodes is forbidden"}, "403: nodes is forbidden"),
        (500, "a panic", "500: a panic"),
        (503, [], "503"),
        (504, "", "504"),
    ],
)
def test_refusals_tell_status_and_reason(
    api: Api, kube: Kube, short_waits: None, status: int, body: Any, words: str
) -> None:
    api.answer = lambda request: (status, body)
    with pytest.raises(UnreachableError, match=words) as error:
        kube.node("w-1")
    assert error.value.hint


def busy(times: int, status: int, *headers: dict[str, str]) -> Callable[[Request], tuple[Any, ...]]:
    """Return answers of a server that is busy for the first requests."""
    refusals = iter([(status, {"message": "slow down"}, *headers)] * times)
    return lambda request: next(refusals, (200, {"metadata": {"name": "w-1"}}))


@pytest.mark.parametrize("headers", [(), ({"Retry-After": "1"},), ({"Retry-After": "3600"},)])
@pytest.mark.parametrize("status", [429, 503])
def test_read_is_repeated_while_server_is_busy(
    api: Api, kube: Kube, short_waits: None, status: int, headers: Any
) -> None:
    api.answer = busy(2, status, *headers)
    assert kube.node("w-1") == {"metadata": {"name": "w-1"}}
    assert len(api.asked) == 3


@pytest.mark.parametrize("status", [429, 503])
def test_write_is_repeated_only_when_server_has_not_begun_it(
    api: Api, kube: Kube, short_waits: None, status: int
) -> None:
    api.answer = busy(2, status, {"Retry-After": "1"})
    assert kube.create_node({"a": 1}) == {"metadata": {"name": "w-1"}}
    assert len(api.asked) == 3
    api.asked.clear()
    api.answer = busy(2, status)
    with pytest.raises(UnreachableError, match=f"{status}: slow down"):
        kube.create_node({"a": 1})
    assert len(api.asked) == 1


def test_server_that_stays_busy_is_reported_with_its_answer(
    api: Api, kube: Kube, short_waits: None
) -> None:
    api.answer = lambda request: (429, {"message": "slow down"}, {"Retry-After": "1"})
    with pytest.raises(UnreachableError, match="was answered 429: slow down"):
        kube.node("w-1")
    assert len(api.asked) == 1 + retries.BUSY


def test_proxy_of_environment_is_not_used_for_the_api(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    api.answer = lambda request: (200, {"metadata": {"name": "w-1"}})
    kube = Kube.from_kubeconfig(kubeconfig(tmp_path / "kubeconfig", api.url), timeout=2.0)
    assert kube.node("w-1") == {"metadata": {"name": "w-1"}}


def test_proxy_of_kubeconfig_is_used(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    kubeconfig(path, "http://192.0.2.1")
    config = json.loads(path.read_text())
    config["clusters"][0]["cluster"]["proxy-url"] = api.url
    path.write_text(json.dumps(config))
    api.answer = lambda request: (200, {"metadata": {"name": "w-1"}})
    assert Kube.from_kubeconfig(str(path), timeout=2.0).node("w-1") is not None


def test_proxy_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    path, port = tmp_path / "kubeconfig", free_port()
    kubeconfig(path, "https://192.0.2.1:6443")
    config = json.loads(path.read_text())
    config["clusters"][0]["cluster"]["proxy-url"] = f"http://me:hunter2@127.0.0.1:{port}"
    path.write_text(json.dumps(config))
    kube = Kube.from_kubeconfig(str(path), timeout=2.0)
    with pytest.raises(UnreachableError) as caught:
        kube.text("/readyz")
    assert f"asked through the proxy http://127.0.0.1:{port}," in caught.value.message
    assert "proxy-url" in str(caught.value.hint)
    assert "hunter2" not in str(caught.value)


def test_blocked_eviction_is_not_repeated(api: Api, kube: Kube) -> None:
    api.answer = lambda request: (429, {"message": "the budget web"}, {"Retry-After": "10"})
    assert kube.answer("POST", "/api/v1/namespaces/ns/pods/p/eviction", {}) == (
        429,
        "the budget web",
    )
    assert len(api.asked) == 1


def test_health_endpoint_is_not_repeated(api: Api, kube: Kube) -> None:
    api.answer = lambda request: (503, "etcd failed", {"Retry-After": "1"})
    assert kube.text("/readyz") == (503, "etcd failed")
    assert len(api.asked) == 1


def test_writes(api: Api, kube: Kube) -> None:
    api.answer = lambda request: (200, request.body if isinstance(request.body, dict) else {})
    assert kube.create_node({"a": 1}) == {"a": 1}
    kube.create_node({"a": 1}, dry_run=True)
    kube.merge_patch_node("w-1", {"metadata": {"labels": {"x": None}}})
    kube.json_patch_node("w-1", [{"op": "test", "path": "/spec/taints", "value": None}])
    seen = [
        (asked.method, asked.path, asked.query, asked.headers["Content-Type"])
        for asked in api.asked
    ]
    ours = {"fieldManager": FIELD_MANAGER}
    assert seen == [
        ("POST", "/api/v1/nodes", ours, "application/json"),
        ("POST", "/api/v1/nodes", {**ours, "dryRun": "All"}, "application/json"),
        ("PATCH", "/api/v1/nodes/w-1", ours, "application/merge-patch+json"),
        ("PATCH", "/api/v1/nodes/w-1", ours, "application/json-patch+json"),
    ]
    assert api.asked[2].body == {"metadata": {"labels": {"x": None}}}
    assert api.asked[3].body == [{"op": "test", "path": "/spec/taints", "value": None}]


def test_config_maps(api: Api, kube: Kube) -> None:
    api.answer = lambda request: (
        (404, {}) if request.method == "GET" else (200, {"metadata": {"name": "c"}})
    )
    assert kube.config_map("kube-system", "c") is None
    assert kube.create_config_map("kube-system", {"data": {}}) == {"metadata": {"name": "c"}}
    assert kube.json_patch_config_map("kube-system", "c", [{"op": "remove", "path": "/data/a"}])
    seen = [(asked.method, asked.path, asked.body) for asked in api.asked]
    assert seen == [
        ("GET", "/api/v1/namespaces/kube-system/configmaps/c", None),
        ("POST", "/api/v1/namespaces/kube-system/configmaps", {"data": {}}),
        (
            "PATCH",
            "/api/v1/namespaces/kube-system/configmaps/c",
            [{"op": "remove", "path": "/data/a"}],
        ),
    ]


def test_reads_of_other_kinds(api: Api, kube: Kube) -> None:
    kube.pods_of("w-1")
    kube.kubernetes_endpoints()
    assert [(asked.path, asked.query) for asked in api.asked] == [
        (
            "/api/v1/namespaces/kube-system/pods",
            {"fieldSelector": "spec.nodeName=w-1", "limit": "500"},
        ),
        (
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
            {"labelSelector": "kubernetes.io/service-name=kubernetes", "limit": "500"},
        ),
    ]


@pytest.mark.parametrize("status", [200, 500])
def test_health_is_status_and_text(api: Api, kube: Kube, status: int) -> None:
    api.answer = lambda request: (status, "[-]etcd failed")
    assert kube.text("/readyz") == (status, "[-]etcd failed")


def test_closed_port_is_unreachable(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "k", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UnreachableError, match="does not answer GET /api/v1/nodes/w-1") as error:
        Kube.from_kubeconfig(path, timeout=2.0).node("w-1")
    assert f"(kubeconfig {path})" in error.value.message
    assert error.value.hint
    assert error.value.log


def test_a_read_that_is_cut_off_once_is_repeated(tmp_path: Path) -> None:
    """An API server that restarts closes connections without an answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            server.accept()[0].close()
            connection = server.accept()[0]
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert Kube.from_kubeconfig(kubeconfig(tmp_path / "k", url), timeout=2.0).node("w-1") == {}


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_a_write_that_is_cut_off_is_not_repeated(tmp_path: Path, method: str) -> None:
    """The result of the write is unknown."""
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            # Until the test has closed the server.
            with contextlib.suppress(OSError):
                while True:
                    connection = server.accept()[0]
                    seen.append(connection.recv(65536))
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        kube = Kube.from_kubeconfig(
            kubeconfig(tmp_path / "k", f"http://127.0.0.1:{server.getsockname()[1]}"), timeout=2.0
        )
        with pytest.raises(UnreachableError, match=f"does not answer {method}"):
            kube.request(method, "/api/v1/nodes", {"a": 1})
        assert len(seen) == 1


@pytest.mark.parametrize(("method", "at_most"), [("GET", 1 + retries.CONNECTIONS), ("POST", 1)])
def test_a_silent_api_within_its_deadline(
    tmp_path: Path, silent_port: int, method: str, at_most: int
) -> None:
    kube = Kube.from_kubeconfig(
        kubeconfig(tmp_path / "k", f"http://127.0.0.1:{silent_port}"), timeout=0.3
    )
    started = time.monotonic()
    with pytest.raises(UnreachableError, match=r"does not answer"):
        kube.request(method, "/api/v1/nodes/w-1")
    assert time.monotonic() - started < 0.3 * at_most + PAUSES_S + 3


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}"])
def test_a_kubeconfig_that_cannot_be_used(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UnreachableError, match="cannot read the kubeconfig") as error:
        Kube.from_kubeconfig(str(path))
    assert "metalk8s_expand:kubeconfig" in str(error.value.hint)


@pytest.mark.parametrize("status", [201, 404, 409, 429, 500])
def test_status_and_reason_where_refusals_differ(api: Api, kube: Kube, status: int) -> None:
    api.answer = lambda request: (status, {"message": "why"})
    assert kube.answer("POST", "/api/v1/namespaces/ns/pods/p/eviction", {"kind": "Eviction"}) == (
        status,
        "why",
    )
    assert len(api.asked) == 1, "a write is never repeated by itself"
