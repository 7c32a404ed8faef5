"""Tests of the private key check: passphrases in every format that OpenSSH supports."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from metalk8s_expand.clients.ssh import private_key
from metalk8s_expand.clients.ssh.process_pool import Allowance


@pytest.mark.parametrize(
    ("kind", "form"),
    [("ed25519", "RFC4716"), ("ecdsa", "RFC4716"), ("ecdsa", "PEM"), ("ecdsa", "PKCS8")],
)
@pytest.mark.parametrize(("passphrase", "cause"), [("", None), ("a secret", "key-file-passphrase")])
def test_formats(tmp_path: Path, kind: str, form: str, passphrase: str, cause: str | None) -> None:
    path = tmp_path / "key"
    command = ["ssh-keygen", "-q", "-t", kind, "-m", form, "-N", passphrase, "-f", str(path)]
    subprocess.run(command, check=True, timeout=60)
    assert private_key.is_encrypted(path.read_text()) == (cause is not None)
    trouble = private_key.private_key_problem(str(path), Allowance(60))
    assert (trouble and trouble.cause) == cause


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-----BEGIN OPENSSH PRIVATE KEY-----\n!\n-----END OPENSSH PRIVATE KEY-----",
        "ssh-ed25519 AAAA me",
    ],
)
def test_invalid_private_key_is_reported(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    trouble = private_key.private_key_problem(str(path), Allowance(60))
    assert trouble is not None
    assert trouble.cause == "key-file-invalid"


def test_below_a_file_there_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    trouble = private_key.private_key_problem(f"{tmp_path}/file/key", Allowance(60))
    assert trouble is not None
    assert trouble.cause == "key-file-missing"


def test_a_fingerprint_that_cannot_be_had(tmp_path: Path) -> None:
    assert private_key.fingerprint(str(tmp_path / "none"), Allowance(60)) == "unreadable"


def as_nobody(path: Path) -> str:
    """Return the cause that an unprivileged process gets."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            trouble = private_key.private_key_problem(str(path), Allowance(60))
            os.write(writing, trouble.cause.encode() if trouble else b"none")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        return stream.read()


@pytest.mark.parametrize("directory_mode", [0o755, 0o000])
def test_a_key_that_the_master_may_not_read(directory_mode: int) -> None:
    # Not pytest's directory, which is closed to others as a whole.
    with tempfile.TemporaryDirectory() as base:
        path = Path(base) / "key"
        path.write_text("x")
        path.chmod(0)
        Path(base).chmod(directory_mode)
        assert as_nobody(path) == "key-file-unreadable"
        Path(base).chmod(0o700)
