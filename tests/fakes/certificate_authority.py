"""CAs whose certificates Salt's own x509_v2 makes by a signing policy."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import salt.utils.x509 as x509util
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from salt.modules import x509_v2

from metalk8s_expand.domain.certificates import signing_policies


class CertificateAuthority:
    """The keys and certificates of the three CAs, in the layout of the role ``ca``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for path in signing_policies.AUTHORITIES:
            self._create(path)

    def certificate(self, path: str) -> Path:
        return self.directory / f"{path}.crt"

    def localized(self, policy: Mapping[str, Any]) -> dict[str, Any]:
        """Return a policy with the files of these CAs."""
        found = copy.deepcopy(dict(policy))
        for key in ("signing_private_key", "signing_cert"):
            found[key] = found[key].replace(signing_policies.PKI, str(self.directory))
        return found

    def sign(self, policy: Mapping[str, Any], public_key: str) -> dict[str, Any]:
        """Answer as ``x509.sign_remote_certificate`` after the minion's name matched."""
        wanted = self.localized(policy)
        wanted.pop("minions")
        arguments = x509util.merge_signing_policy(wanted, {"public_key": public_key})
        made = x509_v2._create_certificate_local(**arguments)[0]
        return {"data": x509util.to_der(made), "errors": []}

    def rsa_key(self) -> str:
        """Return a private key of another kind as PEM."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ).decode()

    def _create(self, path: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, path)])
        now = datetime.datetime.now(tz=datetime.timezone.utc)
        end = now + datetime.timedelta(days=3650)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), 1, now, end)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        target = self.certificate(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        target.with_suffix(".key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
