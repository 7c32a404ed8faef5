"""Decide which certificates of a node must be signed, from what its files contain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DAY_S = 86_400


@dataclass(frozen=True)
class PresentCertificate:
    """A certificate file and its key as read: ``error`` says why one of them cannot be used.

    ``not_after`` is in seconds since the epoch. The subject is in the notation of RFC 4514.
    ``authority_key`` is the key identifier of its CA.
    """

    error: str = ""
    subject: str = ""
    names: tuple[str, ...] = ()
    not_after: float = 0.0
    authority_key: str = ""


def reason_to_sign(
    present: PresentCertificate,
    wanted: Mapping[str, Any],
    authority_key: str,
    now: float,
    days_remaining: float,
) -> str:
    """Return why a certificate must be signed, or an empty text if it is as wanted.

    ``wanted`` is one value of ``signing_policies.contents``. ``authority_key`` is the key
    identifier of the CA that the node trusts, empty if it is not known.
    """
    if present.error:
        return present.error
    if present.not_after - now < days_remaining * DAY_S:
        return f"less than {days_remaining:g} days are left"
    if _attributes(present.subject) != _attributes(str(wanted["subject"])):
        return f"its subject is {present.subject}, not {wanted['subject']}"
    if set(present.names) != set(wanted["names"]):
        return f"its names are {_listed(present.names)}, not {_listed(wanted['names'])}"
    if authority_key and present.authority_key and present.authority_key != authority_key:
        return "another CA signed it"
    return ""


def _attributes(subject: str) -> list[str]:
    """Return the attributes without their order, which differs between OpenSSL and RFC 4514."""
    return sorted(subject.split(","))


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"
