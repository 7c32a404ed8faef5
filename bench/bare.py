"""The leanest peer there is: HTTP by the standard library, with bodies that were made before the clock started."""

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
    """One request that is ready to be sent."""

    method: str
    path: str
    body: bytes | None = None
    content_type: str = "application/json"


class Bare:
    """Connections to one API server, with an administrator's certificate, kept alive between requests."""

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
        """Open them all anew, since the API server closes what was idle for long; for outside of the clock."""
        for connection in self._all:
            connection.close()
            connection.connect()

    def get(self, path: str) -> bytes:
        """The body of the answer, on one connection."""
        return _asked(self._all[0], Request("GET", path))

    def send(self, requests: Sequence[Request]) -> None:
        """All of them, on all connections at once."""
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
