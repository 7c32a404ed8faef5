"""Whether a private key has a passphrase is read from the file, in every format that OpenSSH knows."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from metalk8s_expand.clients import key_file
from metalk8s_expand.clients.places import Allowance


@pytest.mark.parametrize(("kind", "form"), [("ed25519", "RFC4716"), ("ecdsa", "RFC4716"), ("ecdsa", "PEM"), ("ecdsa", "PKCS8")])
@pytest.mark.parametrize(("passphrase", "cause"), [("", None), ("a secret", "key-file-passphrase")])
def test_formats(tmp_path: Path, kind: str, form: str, passphrase: str, cause: str | None) -> None:
    path = tmp_path / "key"
    command = ["ssh-keygen", "-q", "-t", kind, "-m", form, "-N", passphrase, "-f", str(path)]
    subprocess.run(command, check=True, timeout=60)
    assert key_file.is_encrypted(path.read_text()) == (cause is not None)
    trouble = key_file.trouble(str(path), Allowance(60))
    assert (trouble and trouble.cause) == cause


@pytest.mark.parametrize(
    "text", ["", "x", "-----BEGIN OPENSSH PRIVATE KEY-----\n!\n-----END OPENSSH PRIVATE KEY-----", "ssh-ed25519 AAAA me"]
)
def test_what_is_no_private_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    trouble = key_file.trouble(str(path), Allowance(60))
    assert trouble is not None
    assert trouble.cause == "key-file-invalid"


def test_below_a_file_there_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    trouble = key_file.trouble(f"{tmp_path}/file/key", Allowance(60))
    assert trouble is not None
    assert trouble.cause == "key-file-missing"


def test_a_fingerprint_that_cannot_be_had(tmp_path: Path) -> None:
    assert key_file.fingerprint(str(tmp_path / "none"), Allowance(60)) == "unreadable"
