"""The snapshot stream of one member: JSON objects, of which only a few are in memory at a time."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from metalk8s_expand.clients.etcd.api import Etcd
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.etcd.quorum import CLIENT_PORT
from metalk8s_expand.domain.parsing.addresses import is_ipv6
from metalk8s_expand.errors import UnreachableError

PATH = "/v3/maintenance/snapshot"
# Seconds for which a member may send nothing.
SILENCE_S = 30.0
_READ = 64 * 1024
# etcd sends pieces of 32 KiB.
_LONGEST = 4 * 1024 * 1024


def pieces(etcd: Etcd, url: str, timeout: float, clock: Clock) -> Iterator[bytes]:
    """Yield the snapshot of the member at this URL in order, with its SHA-256 at the end.

    Raises UnreachableError when the stream breaks off, is no snapshot, or has not ended after
    ``timeout`` seconds. The caller must then discard the received pieces. Only the hash shows
    whether the snapshot is complete.
    """
    deadline = clock.monotonic() + timeout
    place = urlsplit(url)
    silence = max(1.0, min(SILENCE_S, timeout))
    connection = http.client.HTTPSConnection(
        place.hostname or "", place.port or CLIENT_PORT, timeout=silence, context=etcd.tls()
    )
    remaining = 1
    try:
        for line in _lines(connection, url, deadline, clock):
            piece, remaining = _decoded(line, url)
            yield piece
    except (OSError, http.client.HTTPException) as exc:
        raise UnreachableError(
            f"etcd at {url} aborts its snapshot: {exc or type(exc).__name__}"
        ) from exc
    finally:
        connection.close()
    if remaining:
        raise UnreachableError(
            f"etcd at {url} ends its snapshot early: {remaining} bytes are missing"
        )


def is_local(url: str) -> bool:
    """Return whether the host of a URL is an address of this host."""
    host = urlsplit(url).hostname or ""
    with socket.socket(
        socket.AF_INET6 if is_ipv6(host) else socket.AF_INET, socket.SOCK_DGRAM
    ) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
        return True


def _lines(
    connection: http.client.HTTPSConnection, url: str, deadline: float, clock: Clock
) -> Iterator[bytes]:
    connection.request("POST", PATH, "{}", {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        text = response.read(300).decode("utf-8", "replace")
        raise UnreachableError(f"etcd at {url} delivers no snapshot: {response.status} {text}")
    rest = b""
    while chunk := response.read1(_READ):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)
        if clock.monotonic() > deadline:
            raise UnreachableError(
                f"etcd at {url} did not complete its snapshot in time",
                hint="raise etcd_snapshot:timeout_s",
            )
        if len(rest) > _LONGEST:
            raise UnreachableError(f"etcd at {url} does not answer with a snapshot")
    if rest:
        yield rest


def _decoded(line: bytes, url: str) -> tuple[bytes, int]:
    """Return the piece of one object and the number of bytes that remain."""
    try:
        answer = json.loads(line)
        if "error" in answer:
            error = answer["error"]
            raise UnreachableError(
                f"etcd at {url} aborts its snapshot: {error.get('message', error)}"
            )
        result = answer["result"]
        return base64.b64decode(result.get("blob", ""), validate=True), int(
            result.get("remaining_bytes", 0)
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise UnreachableError(
            f"etcd at {url} does not answer with a snapshot: {line[:100]!r}"
        ) from exc
