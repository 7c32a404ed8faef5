"""HTTPS with a client certificate on one kept connection; standard library, for the processes inside of the lab's network."""

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
    """From the directory that holds a copy of ``CREDENTIALS``."""
    ca, cert, key = (str(keys / of / name) for name in FILES)
    made = ssl.create_default_context(cafile=ca)
    made.load_cert_chain(cert, key)
    return made


class NotSentError(OSError):
    """There was no connection, so nothing was asked."""


class Client:
    """One server. Any failure closes the connection; ``ERRORS`` are raised as they come."""

    def __init__(self, address: str, port: int, tls: ssl.SSLContext, timeout: float = 5.0) -> None:
        self._place = (address, port)
        self._tls = tls
        self._timeout = timeout
        self._connection: http.client.HTTPSConnection | None = None

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON answer."""
        try:
            answer = self._send(method, path, body)
            return answer.status, json.loads(answer.read() or b"{}")
        except ERRORS:
            self.close()
            raise

    def lines(self, path: str, body: Any) -> Iterator[dict[str, Any]]:
        """An answer that goes on, line by line, until it ends or is silent for longer than the timeout."""
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
