"""Credentials that remain on the host of a node removed with ``force``, and what to do about each.

The removal does not contact such a host, so it cannot wipe it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metalk8s_expand.domain.certificates import signing_policies
from metalk8s_expand.domain.node import roles

# Privileges of a certificate's holder that go beyond the identity of this node.
POWERS: Mapping[str, str] = {
    "kubelet-client": "it may register the Node again and read what is meant for it",
    "etcd-server": "it may read and write all of etcd",
    "etcd-peer": "it may read and write all of etcd",
    "etcd-healthcheck-client": "it may read and write all of etcd",
    "apiserver-etcd-client": "it may read and write all of etcd",
    "apiserver-kubelet-client": "it may run commands in every Pod",
    "controller-manager": "it may do what the controller manager may",
    "scheduler": "it may do what the scheduler may",
}
CERTIFICATES = (
    "Kubernetes and etcd revoke no certificate: each of these is good until it expires, so wipe or destroy the disk. "
    "If somebody else may have got it, replace the authorities"
)


def credentials(node_roles: Sequence[str]) -> list[str]:
    """Return every credential that a node of these roles received, one sentence each."""
    found = [
        _certificate(name, purpose)
        for name, purpose in signing_policies.purposes(node_roles).items()
    ]
    if roles.MASTER in node_roles:
        found += [
            f"{signing_policies.PKI}/sa.key: who has it makes tokens of every service account; if the disk is not in your "
            "hands, give all API servers a new key",
            "/etc/kubernetes/encryption.conf: who has it reads the Secrets in copies of etcd; if the disk is not in your "
            "hands, add a new key there and write all Secrets anew",
        ]
    return [
        *found,
        "the minion's key: the master has forgotten it, and accepts no key without comparing it with the host's",
    ]


def advice(name: str, node_roles: Sequence[str]) -> list[str]:
    """Return the sentences of the report about a host that is permanently off."""
    again = (
        f"if the host of {name} is started again, its etcd member is refused by the others, but its kubelet may register the "
        f"Node again: then run remove_node {name} once more, without force, which wipes the host"
    )
    listed = [f"the host of {name} still holds {item}" for item in credentials(node_roles)]
    return [*listed, CERTIFICATES, again]


def _certificate(name: str, purpose: signing_policies.Purpose) -> str:
    power = POWERS.get(name)
    return f"the certificate {name} of {purpose.ca}" + (f": {power}" if power else "")
