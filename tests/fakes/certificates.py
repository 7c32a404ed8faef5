"""Certificates for servers on loopback."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def distinguished_name(title: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])


def certificate_builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(tz=datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    return x509.CertificateBuilder(
        issuer, subject, key.public_key(), x509.random_serial_number(), now - day, now + day
    )


def write_pair(
    base: Path, title: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> None:
    encoding = serialization.Encoding.PEM
    (base / f"{title}.crt").write_bytes(certificate.public_bytes(encoding))
    plain = serialization.NoEncryption()
    (base / f"{title}.key").write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    )


def local_pki(base: Path, authority: str = "ca", client: str = "client") -> Path:
    """Write an authority, a server certificate of 127.0.0.1 and a client certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = distinguished_name(authority)
    write_pair(
        base,
        "ca",
        key,
        certificate_builder(issuer, issuer, key)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256()),
    )
    for title in ("server", client):
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
