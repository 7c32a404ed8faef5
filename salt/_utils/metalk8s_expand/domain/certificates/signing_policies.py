"""Build Salt x509 signing policies: one per node and purpose, each with a fixed subject.

A requester chooses only its public key. If a policy omits an argument or extension, x509_v2 takes
it from the requester. The policies therefore set all of them, forbidden ones to None. Otherwise
x509_v2 would copy a CSR's extensions, ``copypath`` would write to the CA's disk, and a requester
could add the missing O ``system:masters``.
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

# Without these, a requester could add extensions to its certificate or write to the CA's host.
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
    """One certificate: its CA, subject and usage.

    ``names`` is True if it contains the node's names and addresses.
    """

    ca: str
    subject: str
    usage: str
    names: bool = False
    cluster_names: bool = False


@dataclass(frozen=True)
class Subject:
    """The node of the certificates, and further names and addresses of its API server."""

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
    # The Salt master's own certificate has no group: the role of this name grants its permissions.
    "metalk8s-expand": Purpose(KUBERNETES, "CN=metalk8s-expand", CLIENT),
}
BY_ROLE: Mapping[str, Mapping[str, Purpose]] = {
    roles.ETCD: _ETCD,
    roles.MASTER: _MASTER,
    roles.BOOTSTRAP: _BOOTSTRAP,
}

# Path of each certificate without .crt and .key. The role states repeat the paths; a test
# compares them.
PATHS: Mapping[str, str] = {
    **{name: f"{PKI}/{name}" for name in (*_EVERY_NODE, *_MASTER, *_BOOTSTRAP)},
    **{name: f"{PKI}/{name.replace('-', '/', 1)}" for name in _ETCD},
}
# Port of the process that reads the file and serves the certificate.
PORTS: Mapping[str, int] = {
    "kubelet-server": 10250,
    "apiserver": 6443,
    "etcd-server": 2379,
    "etcd-peer": 2380,
}


def purposes(node_roles: Sequence[str]) -> dict[str, Purpose]:
    """Return the certificates that a node with these roles needs and may request."""
    wanted = dict(_EVERY_NODE)
    for role in node_roles:
        wanted.update(BY_ROLE.get(role, {}))
    return wanted


def paths(node_roles: Sequence[str]) -> dict[str, str]:
    """Return the certificate paths of a node with these roles by purpose, without suffixes."""
    return {purpose: PATHS[purpose] for purpose in purposes(node_roles)}


def contents(subject: Subject) -> dict[str, dict[str, Any]]:
    """Return what each certificate of a node contains, by purpose, so that the node can compare.

    ``authority`` is the path of the CA without suffix below the PKI directory, ``subject`` as in
    the policy, ``names`` are its sorted alternative names (``DNS:…``, ``IP:…``).
    """
    wanted = {}
    for name, purpose in purposes(subject.roles).items():
        wanted[name] = {
            "authority": purpose.ca,
            "subject": purpose.subject.format(name=subject.name),
            "names": sorted(_names(subject, purpose) or ()),
        }
    return wanted


def policy_name(node: str, purpose: str) -> str:
    """Return the name of the signing policy.

    The name is unique because a node name cannot contain a slash.
    """
    return f"{node}/{purpose}"


def policies(subject: Subject, days_valid: float = 365) -> dict[str, dict[str, Any]]:
    """Return the signing policies of one node for the pillar of the CA's minion."""
    by_name = {}
    for name, purpose in purposes(subject.roles).items():
        by_name[policy_name(subject.name, name)] = _policy(subject, purpose, days_valid)
    return by_name


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
    # The API proxy listens on 127.0.0.1, so clients must not trust a kubelet at that address.
    if purpose.subject != _KUBELET:
        names.append("localhost")
        addresses.append("127.0.0.1")
    if purpose.cluster_names:
        names += subject.cluster_names
        addresses += subject.cluster_addresses
    return [f"DNS:{name}" for name in names] + [f"IP:{address}" for address in addresses]
