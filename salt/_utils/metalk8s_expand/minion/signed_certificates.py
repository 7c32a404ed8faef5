"""Have all certificates of this host signed by one request to the CA's minion.

A request through the master costs seconds of processor time on three hosts, so a node asks once for
all of its certificates, and not at all while they are as wanted.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from metalk8s_expand.clients.host import certificates
from metalk8s_expand.clients.host.certificates import Certificate
from metalk8s_expand.domain.certificates import signing_policies
from metalk8s_expand.domain.certificates.requests import PresentCertificate, reason_to_sign
from metalk8s_expand.errors import DeployError, UnreachableError, visible

SIGN = "metalk8s_expand_ca.sign"
LOG = "/var/log/salt/minion on the CA's node; /var/log/salt/master"

# Takes the public key of each purpose as PEM; returns the certificate of each purpose as PEM.
Sign = Callable[[Mapping[str, str]], Mapping[str, str]]


def needed(
    paths: Mapping[str, str],
    contents: Mapping[str, Mapping[str, Any]],
    now: float,
    days_remaining: float,
    directory: str = signing_policies.PKI,
) -> dict[str, str]:
    """Return why each certificate must be signed, by purpose, without those that are as wanted.

    ``paths`` are without suffixes. ``directory`` holds the certificates of the CAs.
    """
    authorities = {str(contents[purpose]["authority"]) for purpose in paths}
    keys = {name: _authority_key(Path(directory) / f"{name}.crt") for name in authorities}
    reasons = {}
    for purpose, path in paths.items():
        wanted = contents[purpose]
        authority = keys[str(wanted["authority"])]
        reason = reason_to_sign(_present(path), wanted, authority, now, days_remaining)
        if reason:
            reasons[purpose] = reason
    return reasons


def renew(paths: Mapping[str, str], purposes: Mapping[str, str], sign: Sign) -> dict[str, str]:
    """Have the certificates of these purposes signed, write them, and return the purposes.

    A key that cannot be read is made anew; keys never leave this host. Nothing is written if the CA
    refuses one of them. Raises DeployError when a certificate does not fit.
    """
    keys = {purpose: _key(Path(f"{paths[purpose]}.key")) for purpose in purposes}
    public_keys = {name: certificates.public_key_of(key) for name, key in keys.items()}
    signed = sign(public_keys)
    for purpose in purposes:
        if purpose not in signed or _foreign(signed[purpose], public_keys[purpose]):
            raise DeployError(
                f"the CA's answer has no certificate for the key of {purpose}", log=LOG
            )
    for purpose in purposes:
        _write(Path(f"{paths[purpose]}.key"), keys[purpose], 0o600)
        _write(Path(f"{paths[purpose]}.crt"), signed[purpose], 0o644)
    return dict(purposes)


def answer_of(ca_server: str, answers: Any) -> Mapping[str, str]:
    """Return the certificates in the answers to a request through the master.

    Raises UnreachableError without an answer, DeployError with what the CA refuses.
    """
    if not answers:
        raise UnreachableError(
            f"the CA's minion {ca_server} has not answered the request for certificates",
            hint=(
                "check that salt-minion runs there, and that the master's option peer permits"
                f" minions to call {SIGN}"
            ),
            log=LOG,
        )
    answer = answers.get(ca_server)
    if not isinstance(answer, Mapping) or "signed" not in answer:
        raise DeployError(
            f"the CA's minion {ca_server} answers: {visible(str(answer))}",
            hint=(
                "if it does not know the function, bring it this version's modules: salt"
                f" {ca_server} saltutil.sync_all, with the saltenv of the cluster's version"
            ),
            log=LOG,
        )
    refused = answer.get("refused") or {}
    if refused:
        raise DeployError(
            f"the CA's minion {ca_server} refuses certificates",
            problems=[f"{purpose}: {reason}" for purpose, reason in sorted(refused.items())],
            hint="check the node's name, roles and address in the declaration",
            log=LOG,
        )
    return dict(answer["signed"])


def sign_all(
    requester: str, public_keys: Mapping[str, str], sign_one: Callable[[str, str], Any]
) -> dict[str, dict[str, str]]:
    """Sign certificates for one minion; return ``signed`` (PEM) and ``refused`` by purpose.

    ``sign_one`` gets the policy's name and the public key, and returns ``data`` (DER) and
    ``errors`` as ``x509.sign_remote_certificate`` does. The name of the policy contains the
    requester's, so a minion cannot name the policy of another node.
    """
    signed, refused = {}, {}
    for purpose, public_key in public_keys.items():
        answer = sign_one(signing_policies.policy_name(requester, purpose), public_key)
        if answer["errors"] or not answer["data"]:
            refused[purpose] = "; ".join(answer["errors"]) or "no certificate was made"
        else:
            signed[purpose] = certificates.pem_of_der(answer["data"])
    return {"signed": signed, "refused": refused}


def _present(path: str) -> PresentCertificate:
    try:
        certificate = certificates.read(f"{path}.crt")
    except FileNotFoundError:
        return PresentCertificate("it does not exist")
    except (OSError, ValueError) as error:
        return PresentCertificate(f"it cannot be read: {error}")
    try:
        fits = certificates.key_fits(f"{path}.key", certificate)
    except FileNotFoundError:
        return PresentCertificate("its key does not exist")
    except (OSError, ValueError, TypeError) as error:
        return PresentCertificate(f"its key cannot be read: {error}")
    if not fits:
        return PresentCertificate("its key is another one")
    return _as_present(certificate)


def _as_present(certificate: Certificate) -> PresentCertificate:
    return PresentCertificate(
        "",
        certificate.subject,
        certificate.names,
        certificate.not_after,
        certificate.authority_key,
    )


def _authority_key(path: Path) -> str:
    try:
        return certificates.read(path).subject_key
    except (OSError, ValueError):
        return ""


def _key(path: Path) -> str:
    """Return the private key of a file, or a new one if the file has no usable key."""
    try:
        text = path.read_text(encoding="ascii")
        certificates.public_key_of(text)
    except (OSError, ValueError, TypeError):
        return certificates.new_key()
    return text


def _foreign(certificate: str, public_key: str) -> bool:
    try:
        parsed = certificates.parse(certificate)
    except ValueError:
        return True
    return parsed.public_key != certificates.der_of_public_key(public_key)


def _write(path: Path, text: str, mode: int) -> None:
    """Replace a file in one step; a reader sees the old or the new text."""
    if path.is_file() and path.read_bytes() == text.encode("ascii"):
        path.chmod(mode)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
