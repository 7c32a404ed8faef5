"""Which certificates a node may get, as Salt x509 signing policies: one per node and purpose, the subject fixed here.

A requester chooses nothing but its public key. Every argument and extension that x509_v2 would take from the
requester when the policy is silent is therefore set, to None where it must not be: a CSR's extensions would be
copied, ``copypath`` would write on the CA's disk, a missing O could be filled in with ``system:masters``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metalk8s_expand.domain.node import roles

PKI = "/etc/kubernetes/pki"
KUBERNETES, ETCD, FRONT_PROXY = "ca", "etcd/ca", "front-proxy-ca"
AUTHORITIES = (KUBERNETES, ETCD, FRONT_PROXY)

CLIENT = "clientAuth"
SERVER = "serverAuth"
BOTH = f"{SERVER}, {CLIENT}"

# What a requester could otherwise add to its certificate, or make the CA's host do.
FORBIDDEN = (
    "authorityInfoAccess",
    "certificatePolicies",
    "copypath",
    "crlDistributionPoints",
    "csr",
    "inhibitAnyPolicy",
    "issuerAltName",
    "nameConstraints",
    "noCheck",
    "not_after",
    "not_before",
    "nsCertType",
    "nsComment",
    "policyConstraints",
    "serial_number",
    "tlsfeature",
)


@dataclass(frozen=True)
class Purpose:
    """One certificate: its CA, subject and use; ``names`` says whether it carries the node's names and addresses."""

    ca: str
    subject: str
    usage: str
    names: bool = False
    cluster_names: bool = False


@dataclass(frozen=True)
class Subject:
    """The node that certificates are for, and what its API server answers to besides its own name."""

    name: str
    address: str
    roles: tuple[str, ...]
    cluster_names: tuple[str, ...] = ()
    cluster_addresses: tuple[str, ...] = ()


_KUBELET = "O=system:nodes,CN=system:node:{name}"
_EVERY_NODE: Mapping[str, Purpose] = {
    "kubelet-client": Purpose(KUBERNETES, _KUBELET, CLIENT),
    "kubelet-server": Purpose(KUBERNETES, _KUBELET, SERVER, names=True),
}
_ETCD: Mapping[str, Purpose] = {
    "etcd-server": Purpose(ETCD, "CN={name}", BOTH, names=True),
    "etcd-peer": Purpose(ETCD, "CN={name}", BOTH, names=True),
    "etcd-healthcheck-client": Purpose(ETCD, "CN=kube-etcd-healthcheck-client", CLIENT),
}
_MASTER: Mapping[str, Purpose] = {
    "apiserver": Purpose(KUBERNETES, "CN=kube-apiserver", SERVER, names=True, cluster_names=True),
    "apiserver-kubelet-client": Purpose(KUBERNETES, "CN=kube-apiserver-kubelet-client", CLIENT),
    "apiserver-etcd-client": Purpose(ETCD, "CN=kube-apiserver-etcd-client", CLIENT),
    "front-proxy-client": Purpose(FRONT_PROXY, "CN=front-proxy-client", CLIENT),
    "controller-manager": Purpose(KUBERNETES, "CN=system:kube-controller-manager", CLIENT),
    "scheduler": Purpose(KUBERNETES, "CN=system:kube-scheduler", CLIENT),
}
_BOOTSTRAP: Mapping[str, Purpose] = {
    "admin": Purpose(KUBERNETES, "O=system:masters,CN=kubernetes-admin", CLIENT),
    # The master's own, with no group: the role of this name says what it may.
    "metalk8s-expand": Purpose(KUBERNETES, "CN=metalk8s-expand", CLIENT),
}
BY_ROLE: Mapping[str, Mapping[str, Purpose]] = {
    roles.ETCD: _ETCD,
    roles.MASTER: _MASTER,
    roles.BOOTSTRAP: _BOOTSTRAP,
}

# Where each lies, without the suffixes .crt and .key. The role states spell the same paths; a test compares.
PATHS: Mapping[str, str] = {
    **{name: f"{PKI}/{name}" for name in (*_EVERY_NODE, *_MASTER, *_BOOTSTRAP)},
    **{name: f"{PKI}/{name.replace('-', '/', 1)}" for name in _ETCD},
}
# Where it is served, by the process that reads its file.
PORTS: Mapping[str, int] = {
    "kubelet-server": 10250,
    "apiserver": 6443,
    "etcd-server": 2379,
    "etcd-peer": 2380,
}


def purposes(node_roles: Sequence[str]) -> dict[str, Purpose]:
    """The certificates that a node of these roles needs, and so may get."""
    wanted = dict(_EVERY_NODE)
    for role in node_roles:
        wanted.update(BY_ROLE.get(role, {}))
    return wanted


def paths(node_roles: Sequence[str]) -> dict[str, str]:
    """Where the certificates of a node of these roles lie, by purpose, without the suffixes."""
    return {purpose: PATHS[purpose] for purpose in purposes(node_roles)}


def policy_name(node: str, purpose: str) -> str:
    """The signing policy's name. A node name cannot hold a slash, so no two nodes share one."""
    return f"{node}/{purpose}"


def policies(subject: Subject, days_valid: float = 365) -> dict[str, dict[str, Any]]:
    """The signing policies of one node, for the pillar of the CA's minion."""
    return {
        policy_name(subject.name, name): _policy(subject, purpose, days_valid)
        for name, purpose in purposes(subject.roles).items()
    }


def _policy(subject: Subject, purpose: Purpose, days_valid: float) -> dict[str, Any]:
    return {
        **dict.fromkeys(FORBIDDEN),
        "minions": subject.name,
        "signing_private_key": f"{PKI}/{purpose.ca}.key",
        "signing_cert": f"{PKI}/{purpose.ca}.crt",
        "subject": purpose.subject.format(name=subject.name),
        "days_valid": days_valid,
        "digest": "sha256",
        "prepend_cn": False,
        "basicConstraints": "critical, CA:FALSE",
        "keyUsage": "critical, digitalSignature, keyEncipherment",
        "extendedKeyUsage": purpose.usage,
        "subjectKeyIdentifier": "hash",
        "authorityKeyIdentifier": "keyid",
        "subjectAltName": _names(subject, purpose),
    }


def _names(subject: Subject, purpose: Purpose) -> list[str] | None:
    if not purpose.names:
        return None
    names, addresses = [subject.name], [subject.address]
    # A kubelet has no business to be trusted as 127.0.0.1, where the API proxy listens.
    if purpose.subject != _KUBELET:
        names, addresses = [*names, "localhost"], [*addresses, "127.0.0.1"]
    if purpose.cluster_names:
        names, addresses = (
            [*names, *subject.cluster_names],
            [*addresses, *subject.cluster_addresses],
        )
    return [*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)]
