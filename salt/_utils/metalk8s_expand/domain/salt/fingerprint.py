"""Compute the fingerprint of a minion's or master's public key, which people can compare."""

from __future__ import annotations

import hashlib


def fingerprint(public_key: str) -> str:
    """Return the SHA-256 of the key's body, colon separated, ignoring white space and line ends."""
    body = "".join(
        line.strip() for line in public_key.strip().splitlines() if not line.startswith("-----")
    )
    digest = hashlib.sha256(body.encode()).hexdigest()
    return ":".join(digest[index : index + 2] for index in range(0, len(digest), 2))
