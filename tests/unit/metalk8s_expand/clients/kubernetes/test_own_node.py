"""Test the request for a host's own Node over real TLS with a client certificate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.kubernetes.own_node import own_node
from metalk8s_expand.errors import UnreachableError
from tests.fakes import https_server
from tests.fakes.certificates import local_pki

NODE = {"kind": "Node", "metadata": {"name": "cp-1"}}


class Api:
    """An API server that requires a client certificate."""

    def __init__(self, pki: Path) -> None:
        self.status, self.text = 200, json.dumps(NODE)
        self.paths: list[str] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.paths.append(self.path)
                self.send_response(api.status)
                self.end_headers()
                self.wfile.write(api.text.encode())

            def log_message(self, *_: Any) -> None: ...

        self.server = https_server.serve(pki, Handler)
        self.port = self.server.server_address[1]


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    return local_pki(tmp_path, client="kubelet-client")


@pytest.fixture
def api(pki: Path) -> Iterator[Api]:
    served = Api(pki)
    yield served
    served.server.shutdown()
    served.server.server_close()


def test_node_is_requested_with_the_certificate_of_the_kubelet(api: Api, pki: Path) -> None:
    assert own_node("cp-1", str(pki), port=api.port) == NODE
    assert api.paths == ["/api/v1/nodes/cp-1"]


def test_missing_node_is_none(api: Api, pki: Path) -> None:
    api.status = 404
    assert own_node("cp-1", str(pki), port=api.port) is None


@pytest.mark.parametrize(
    ("status", "text", "shown"),
    [
        (403, '{"message": "no\\u001b[31m"}', r"with 403"),
        (200, "[]", "with 200"),
        (200, "not JSON", "does not answer"),
    ],
)
def test_answer_without_a_node_is_unreachable(
    api: Api, pki: Path, status: int, text: str, shown: str
) -> None:
    api.status, api.text = status, text
    with pytest.raises(UnreachableError, match=shown):
        own_node("cp-1", str(pki), port=api.port)


def test_host_without_certificates_is_unreachable(api: Api, tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="does not answer"):
        own_node("cp-1", str(tmp_path / "nowhere"), port=api.port)
