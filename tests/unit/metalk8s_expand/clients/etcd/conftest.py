"""Certificates of an etcd server on loopback."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.fakes.certificates import certificate_builder, distinguished_name, write_pair


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a server certificate of 127.0.0.1 and a client certificate."""
    base = tmp_path_factory.mktemp("pki")
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = distinguished_name("etcd-ca")
    write_pair(
        base,
        "ca",
        key,
        certificate_builder(issuer, issuer, key)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256()),
    )
    for title in ("server", "client"):
        own = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        write_pair(
            base,
            title,
            own,
            certificate_builder(distinguished_name(title), issuer, own)
            .add_extension(names, False)
            .sign(key, hashes.SHA256()),
        )
    return base
