"""The Node of this host, read with the certificate of its kubelet.

It uses the standard library only, so that it works on a fresh minion.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any
from urllib.parse import quote

from metalk8s_expand.domain.parsing.addresses import host_port
from metalk8s_expand.errors import UnreachableError, visible

PKI = "/etc/kubernetes/pki"
# The local proxy in front of all API servers.
PROXY_HOST, PROXY_PORT = "127.0.0.1", 7443
TIMEOUT_S = 10


def own_node(
    name: str, pki: str = PKI, host: str = PROXY_HOST, port: int = PROXY_PORT
) -> dict[str, Any] | None:
    """Return the Node object of this host, or None without one.

    A kubelet may read its own Node. Raises UnreachableError if no API server gives an answer.
    """
    place = f"the API at {host_port(host, port)}"
    try:
        context = ssl.create_default_context(cafile=f"{pki}/ca.crt")
        context.load_cert_chain(f"{pki}/kubelet-client.crt", f"{pki}/kubelet-client.key")
        connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
        try:
            connection.request("GET", f"/api/v1/nodes/{quote(name, safe='')}")
            response = connection.getresponse()
            status, text = response.status, response.read().decode("utf-8", "replace")
        finally:
            connection.close()
        answer: Any = json.loads(text)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UnreachableError(f"{place} does not answer: {error}") from error
    if status == 404:
        return None
    if status != 200 or not isinstance(answer, dict):
        raise UnreachableError(
            f"{place} answers the request for the Node with {status}: {visible(text[:200])}"
        )
    return answer
