"""Test the search for leaked keys.

It must search for parts of private keys only, because public keys are everywhere.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.lab import leaks

PEM = (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL)
KEYS = [
    *((ec.generate_private_key(ec.SECP256R1()), form) for form in PEM),
    *((rsa.generate_private_key(public_exponent=65537, key_size=2048), form) for form in PEM),
    (ed25519.Ed25519PrivateKey.generate(), PrivateFormat.OpenSSH),
]


@pytest.mark.parametrize(
    ("key", "form"), KEYS, ids=lambda value: getattr(value, "name", type(value).__name__)
)
def test_key_pieces_come_from_the_private_key_only(
    key: ec.EllipticCurvePrivateKey, form: PrivateFormat
) -> None:
    text = key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()
    wanted = leaks.pieces(text)
    assert wanted
    assert all(len(piece) > 40 and piece in text for piece in wanted)
    public = key.public_key()
    shown = [public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)]
    shown.append(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    raw = public.public_bytes(Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    shown += [base64.b64encode(raw[offset:]) for offset in range(3)]
    assert not [
        piece for piece in wanted for text in shown if piece.encode() in text.replace(b"\n", b"")
    ]


def test_secret_of_encryption_configuration_is_a_piece() -> None:
    assert leaks.pieces("keys:\n  - name: key1\n    secret: abc=\n") == ["abc="]


def test_search_covers_files_and_arguments(tmp_path: Path) -> None:
    """The search reports caches that may contain a pillar separately."""
    for name in ("log", "kept", "clean"):
        (tmp_path / name).write_text("nothing" if name == "clean" else "xx-hidden-in-a-file-yy")
    asked = {
        "secrets": {"file": ["hidden-in-a-file"], "argument": ["hidden-in-an-" + "argument"]},
        "places": [str(tmp_path)],
        "pillars": f"{tmp_path}/kept",
    }
    program = [sys.executable, "-c", leaks.SEARCH, "hidden-in-an-argument"]
    done = subprocess.run(
        program, input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=True
    )
    found = json.loads(done.stdout)
    assert [f"{tmp_path}/log", "file"] in found["found"]
    assert [label for where, label in found["found"] if where.endswith("/cmdline")] == ["argument"]
    assert list(found["kept"]) == [f"{tmp_path}/kept"]
