"""How the public key of a minion or a master is compared: by one short text that people can compare, too."""

from __future__ import annotations

import hashlib


def fingerprint(public_key: str) -> str:
    """SHA-256 over the key's body, colon separated: white space and line ends do not count."""
    body = "".join(
        line.strip() for line in public_key.strip().splitlines() if not line.startswith("-----")
    )
    digest = hashlib.sha256(body.encode()).hexdigest()
    return ":".join(digest[index : index + 2] for index in range(0, len(digest), 2))
