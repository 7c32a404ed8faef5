"""Send HTTPS requests with a client certificate on one persistent connection.

The module uses only the standard library. Processes in the lab's network use it.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CREDENTIALS = {
    "kubernetes": (
        "/etc/kubernetes/pki/ca.crt",
        "/etc/kubernetes/pki/admin.crt",
        "/etc/kubernetes/pki/admin.key",
    ),
    "etcd": (
        "/etc/kubernetes/pki/etcd/ca.crt",
        "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
        "/etc/kubernetes/pki/etcd/healthcheck-client.key",
    ),
}
FILES = ("ca.crt", "client.crt", "client.key")
ERRORS = (OSError, http.client.HTTPException, ValueError)


def context(keys: Path, of: str) -> ssl.SSLContext:
    """Return the TLS context from the directory that holds a copy of ``CREDENTIALS``."""
    ca, cert, key = (str(keys / of / name) for name in FILES)
    made = ssl.create_default_context(cafile=ca)
    made.load_cert_chain(cert, key)
    return made


class NotSentError(OSError):
    """The connection failed, so no request was sent."""


class Client:
    """A client of one server. A failure closes the connection and raises one of ``ERRORS``."""

    def __init__(self, address: str, port: int, tls: ssl.SSLContext, timeout: float = 5.0) -> None:
        self._place = (address, port)
        self._tls = tls
        self._timeout = timeout
        self._connection: http.client.HTTPSConnection | None = None

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Send a request; return the status and the JSON answer."""
        try:
            answer = self._send(method, path, body)
            return answer.status, json.loads(answer.read() or b"{}")
        except ERRORS:
            self.close()
            raise

    def lines(self, path: str, body: Any) -> Iterator[dict[str, Any]]:
        """Yield the lines of a streamed answer until it ends or is silent for the timeout."""
        try:
            answer = self._send("POST", path, body)
            while line := answer.readline():
                yield json.loads(line)
        finally:
            self.close()

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def _send(self, method: str, path: str, body: Any) -> http.client.HTTPResponse:
        connection = self._connected()
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"})
        return connection.getresponse()

    def _connected(self) -> http.client.HTTPSConnection:
        if self._connection is None:
            made = http.client.HTTPSConnection(
                *self._place, timeout=self._timeout, context=self._tls
            )
            try:
                made.connect()
            except OSError as error:
                made.close()
                raise NotSentError(str(error)) from error
            self._connection = made
        return self._connection
