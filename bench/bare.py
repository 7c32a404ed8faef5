"""Provide the leanest peer: HTTP by the standard library.

The bodies of its requests are made before the measurement starts.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.integration.apiserver import ApiServer

CONNECTIONS = 16


class Request(NamedTuple):
    """A request that is ready to send."""

    method: str
    path: str
    body: bytes | None = None
    content_type: str = "application/json"


class Bare:
    """Persistent connections to an API server with an administrator's certificate."""

    def __init__(self, server: ApiServer) -> None:
        pki = server.root / "pki"
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        where = urlsplit(server.url)
        self._all = [
            http.client.HTTPSConnection(
                where.hostname or "", where.port, timeout=60, context=context
            )
            for _ in range(CONNECTIONS)
        ]

    def connect(self) -> None:
        """Close and open all connections; call it outside of a measurement.

        The API server closes connections that were idle for a long time.
        """
        for connection in self._all:
            connection.close()
            connection.connect()

    def get(self, path: str) -> bytes:
        """Send a GET request on one connection and return the body of the answer."""
        return _asked(self._all[0], Request("GET", path))

    def send(self, requests: Sequence[Request]) -> None:
        """Send all requests, on all connections in parallel."""
        shares = [requests[number :: len(self._all)] for number in range(len(self._all))]
        with ThreadPoolExecutor(len(self._all)) as pool:
            list(pool.map(_in_turn, self._all, shares))


def _in_turn(connection: http.client.HTTPSConnection, requests: Sequence[Request]) -> None:
    for request in requests:
        _asked(connection, request)


def _asked(connection: http.client.HTTPSConnection, request: Request) -> bytes:
    connection.request(
        request.method, request.path, request.body, {"Content-Type": request.content_type}
    )
    answer = connection.getresponse()
    data = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{request.method} {request.path}: {answer.status} {data[:300]!r}")
    return data
