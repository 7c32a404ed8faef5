"""Certificates in files of this host and on its TLS ports. Only this file uses ``cryptography``.

Of a private key it returns only whether the key fits.
"""

from __future__ import annotations

import base64
import datetime
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ANSWER_S = 3.0


@dataclass(frozen=True)
class Certificate:
    """One certificate; times in seconds since the epoch, the public key as DER."""

    subject: str
    issuer: str
    serial: str
    not_before: float
    not_after: float
    public_key: bytes
    # Sorted, in the notation of OpenSSL: DNS:localhost, IP:127.0.0.1.
    names: tuple[str, ...] = ()
    # The identifier of the CA's key as hexadecimal digits, empty if the certificate has none.
    authority_key: str = ""
    subject_key: str = ""


def read(path: str | Path) -> Certificate:
    """Return the first certificate of a PEM file.

    Raises OSError, or ValueError when there is none.
    """
    from cryptography import x509

    return _certificate(x509.load_pem_x509_certificate(Path(path).read_bytes()))


def parse(text: str) -> Certificate:
    """Return the first certificate of a PEM text. Raises ValueError when there is none."""
    from cryptography import x509

    return _certificate(x509.load_pem_x509_certificate(text.encode()))


def pem_of_der(data: bytes) -> str:
    """Return a certificate in DER as PEM."""
    return ssl.DER_cert_to_PEM_cert(data)


def new_key() -> str:
    """Return a new private key (EC, P-256) as PEM in PKCS#8, without a passphrase."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_key_of(private_key: str) -> str:
    """Return the public key of a private key, both as PEM. Raises ValueError or TypeError."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    public = load_pem_private_key(private_key.encode(), password=None).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def der_of_public_key(text: str) -> bytes:
    """Return a public key in PEM as DER. Raises ValueError."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    return _der(load_pem_public_key(text.encode()))


def of_kubeconfig(path: str | Path, context: str | None = None) -> tuple[str, Certificate] | None:
    """Return the place and the client certificate of the user of a kubeconfig's context.

    The current context is the default. Return None when the user has a token. Raises OSError or
    ValueError. The private key is not read.
    """
    import yaml
    from cryptography import x509

    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        chosen = _named(config["contexts"], context or config["current-context"])["context"]
        user = dict(_named(config["users"], chosen["user"])["user"] or {})
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        raise ValueError("it is not a kubeconfig with a current user") from None
    if data := user.get("client-certificate-data"):
        return str(path), _certificate(x509.load_pem_x509_certificate(base64.b64decode(data)))
    if file := user.get("client-certificate"):
        place = Path(path).parent / file
        return str(place), read(place)
    return None


def _named(entries: Any, name: str) -> Any:
    """Return the entry of a kubeconfig's list with this name. Raises KeyError."""
    for entry in entries:
        if entry["name"] == name:
            return entry
    raise KeyError(name)


def key_fits(path: str | Path, certificate: Certificate) -> bool:
    """Return whether the private key in a PEM file fits the certificate.

    Raises OSError, ValueError or TypeError.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return (
        _der(load_pem_private_key(Path(path).read_bytes(), password=None).public_key())
        == certificate.public_key
    )


def served(
    address: str, port: int, client: tuple[Path, Path] | None = None, timeout: float = ANSWER_S
) -> Certificate:
    """Return the certificate that a TLS port serves to a client that connects by address.

    API servers connect to kubelets by address. ``client`` is the certificate and key to present:
    etcd logs clients without them. Nothing is verified. Raises OSError.
    """
    from cryptography import x509

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if client is not None and all(path.is_file() for path in client):
        context.load_cert_chain(*client)
    with (
        socket.create_connection((address, port), timeout) as plain,
        context.wrap_socket(plain) as secured,
    ):
        return _certificate(
            x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
        )


def utc(moment: float) -> str:
    """Return a time in ISO 8601 for people and programs: 2026-11-23T01:24:53Z."""
    return datetime.datetime.fromtimestamp(moment, tz=datetime.timezone.utc).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )


def _certificate(parsed: Any) -> Certificate:
    return Certificate(
        subject=parsed.subject.rfc4514_string(),
        issuer=parsed.issuer.rfc4514_string(),
        serial=f"{parsed.serial_number:x}",
        not_before=_moment(parsed, "not_valid_before"),
        not_after=_moment(parsed, "not_valid_after"),
        public_key=_der(parsed.public_key()),
        names=_names(parsed),
        authority_key=_extension(parsed, "AuthorityKeyIdentifier", "key_identifier"),
        subject_key=_extension(parsed, "SubjectKeyIdentifier", "digest"),
    )


def _names(parsed: Any) -> tuple[str, ...]:
    from cryptography import x509

    try:
        extension = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names = [f"DNS:{name}" for name in extension.get_values_for_type(x509.DNSName)]
    names += [f"IP:{address}" for address in extension.get_values_for_type(x509.IPAddress)]
    return tuple(sorted(names))


def _extension(parsed: Any, kind: str, field: str) -> str:
    from cryptography import x509

    try:
        value = parsed.extensions.get_extension_for_class(getattr(x509, kind)).value
    except x509.ExtensionNotFound:
        return ""
    return (getattr(value, field) or b"").hex()


def _moment(parsed: Any, name: str) -> float:
    """Return a time with its zone: ``cryptography`` before 42 returns UTC without a zone."""
    moment = getattr(parsed, f"{name}_utc", None) or getattr(parsed, name).replace(
        tzinfo=datetime.timezone.utc
    )
    return float(moment.timestamp())


def _der(public_key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return bytes(public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
