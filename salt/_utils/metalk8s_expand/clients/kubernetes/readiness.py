"""The readiness endpoint of the API, and of one API server at the node's own address."""

from __future__ import annotations

import http.client
import ssl

from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.domain.parsing.addresses import host_port

PORT = 6443
TIMEOUT_S = 5


def api_problems(kube: Kube) -> list[str]:
    """Return why the API that this client reaches is not ready, or an empty list."""
    status, text = kube.text("/readyz")
    return [] if status == 200 else [f"the API answers /readyz with {status}: {text[:200]}"]


def api_server_problems(address: str, authority: str) -> list[str]:
    """Return why the API server at this address is not ready, or an empty list.

    The request does not use the local proxy, through which another API server could answer.
    ``authority`` is the path of the cluster's CA certificate.
    """
    place = host_port(address, PORT)
    try:
        context = ssl.create_default_context(cafile=authority)
        connection = http.client.HTTPSConnection(address, PORT, timeout=TIMEOUT_S, context=context)
        try:
            connection.request("GET", "/readyz")
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as exc:
        return [f"the API server at {place} does not answer: {exc}"]
    if status != 200:
        return [f"the API server at {place} answers /readyz with {status}"]
    return []
