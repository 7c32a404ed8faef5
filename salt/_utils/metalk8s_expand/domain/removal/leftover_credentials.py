"""Credentials that remain on the host of a node removed with ``force``, and what to do about each.

The removal does not contact such a host, so it cannot wipe it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metalk8s_expand.domain.certificates import signing_policies
from metalk8s_expand.domain.node import roles

# Privileges of a certificate's holder that go beyond the identity of this node.
POWERS: Mapping[str, str] = {
    "kubelet-client": "it may register the Node again and read the data for this node",
    "etcd-server": "it may read and write all of etcd",
    "etcd-peer": "it may read and write all of etcd",
    "etcd-healthcheck-client": "it may read and write all of etcd",
    "apiserver-etcd-client": "it may read and write all of etcd",
    "apiserver-kubelet-client": "it may run commands in every Pod",
    "controller-manager": "it has the permissions of the controller manager",
    "scheduler": "it has the permissions of the scheduler",
}
CERTIFICATES = (
    "Kubernetes and etcd cannot revoke certificates: each of these is valid until it expires, so"
    " wipe or destroy the disk. If another person may have read it, replace the CAs"
)


def credentials(node_roles: Sequence[str]) -> list[str]:
    """Return every credential that a node of these roles received, one sentence each."""
    sentences = []
    for name, purpose in signing_policies.purposes(node_roles).items():
        sentences.append(_certificate(name, purpose))
    if roles.MASTER in node_roles:
        sentences += [
            (
                f"{signing_policies.PKI}/sa.key: its holder can create tokens of every service"
                " account; if the disk is not under your control, give all API servers a new key"
            ),
            (
                "/etc/kubernetes/encryption.conf: its holder can read the Secrets in copies of"
                " etcd; if the disk is not under your control, add a new key to this file and"
                " rewrite all Secrets"
            ),
        ]
    return [
        *sentences,
        (
            "the minion's key: the master has deleted it, and accepts a key only after comparing it"
            " with the key on the host"
        ),
    ]


def advice(name: str, node_roles: Sequence[str]) -> list[str]:
    """Return the sentences of the report about a host that is permanently off."""
    again = (
        f"if the host of {name} starts again, the other etcd members refuse its member, but its"
        f" kubelet may register the Node again: then run remove_node {name} again, without force,"
        " to wipe the host"
    )
    listed = [f"the host of {name} still holds {item}" for item in credentials(node_roles)]
    return [*listed, CERTIFICATES, again]


def _certificate(name: str, purpose: signing_policies.Purpose) -> str:
    power = POWERS.get(name)
    return f"the certificate {name} of {purpose.ca}" + (f": {power}" if power else "")
