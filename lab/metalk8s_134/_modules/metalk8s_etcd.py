"""The members of etcd, asked by the master's host."""

import json
import ssl
import urllib.request

from salt.exceptions import CommandExecutionError

PKI = "/etc/kubernetes/pki/etcd"
ENDPOINT = "https://127.0.0.1:2379"


def _ask(path, body, endpoint=ENDPOINT):
    context = ssl.create_default_context(cafile=f"{PKI}/ca.crt")
    context.load_cert_chain(f"{PKI}/healthcheck-client.crt", f"{PKI}/healthcheck-client.key")
    question = urllib.request.Request(f"{endpoint}{path}", data=json.dumps(body).encode())
    with urllib.request.urlopen(question, timeout=10, context=context) as answer:
        return json.load(answer)


def members():
    """Return all members with ``name`` and ``peer_urls``."""
    found = _ask("/v3/cluster/member/list", {"linearizable": False}).get("members", [])
    return [
        {
            "id": one["ID"],
            "name": one.get("name", ""),
            "peer_urls": one.get("peerURLs", []),
            "client_urls": one.get("clientURLs", []),
        }
        for one in found
    ]


def add_etcd_node(peer_urls):
    """Add a voting member, and return it."""
    return _ask("/v3/cluster/member/add", {"peerURLs": peer_urls})["member"]


def check_etcd_health(minion_id):
    """Check that the member of this minion answers. Raise CommandExecutionError if it does not."""
    [member] = [one for one in members() if one["name"] == minion_id] or [None]
    if member is None:
        raise CommandExecutionError(f"etcd has no started member {minion_id}")
    for url in member["client_urls"]:
        _ask("/v3/maintenance/status", {}, url)
    return True
