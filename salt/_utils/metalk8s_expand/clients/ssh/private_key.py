"""Checks of a private key file that the master can make without connecting to a host."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

from metalk8s_expand.clients.ssh.process_pool import Allowance, run
from metalk8s_expand.domain.preflight.ssh_failures import SSHFailure

MAGIC = b"openssh-key-v1\0"
NOT_ENCRYPTED = b"none"


def private_key_problem(path: str, allowance: Allowance) -> SSHFailure | None:
    """Return what is wrong with the file, or None."""
    return _attributes(path) or _content(path, allowance)


def fingerprint(path: str, allowance: Allowance) -> str:
    """Return the fingerprint as ssh-keygen shows it."""
    ended = run(["ssh-keygen", "-lf", path], allowance)
    return ended.stdout.split()[1] if ended.returncode == 0 else "unreadable"


def _attributes(path: str) -> SSHFailure | None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return SSHFailure("key-file-missing", f"the key file {path} does not exist")
    except OSError as exc:
        return SSHFailure(
            "key-file-unreadable", f"the key file {path} cannot be accessed: {exc.strerror}"
        )
    if not stat.S_ISREG(status.st_mode):
        return SSHFailure("key-file-invalid", f"{path} is not a regular file")
    if not os.access(path, os.R_OK):
        return SSHFailure(
            "key-file-unreadable",
            f"the key file {path} cannot be read by the user with the ID {os.getuid()}",
        )
    # OpenSSH checks the mode of files of its own user only.
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        return SSHFailure(
            "key-file-mode",
            f"the key file {path} is accessible to other users (mode"
            f" {status.st_mode & 0o7777:04o})",
        )
    return None


def _content(path: str, allowance: Allowance) -> SSHFailure | None:
    # An empty passphrase opens only a key without a passphrase.
    if run(["ssh-keygen", "-y", "-P", "", "-f", path], allowance).returncode in {0, None}:
        return None
    if is_encrypted(Path(path).read_text(encoding="utf-8", errors="replace")):
        return SSHFailure(
            "key-file-passphrase", f"the key file {path} is encrypted with a passphrase"
        )
    return SSHFailure("key-file-invalid", f"{path} contains no private key that OpenSSH can read")


def is_encrypted(text: str) -> bool:
    """Return whether this is a private key with a passphrase, in OpenSSH's or a PEM format."""
    lines = text.strip().splitlines()
    if not lines or not lines[0].startswith("-----BEGIN "):
        return False
    if "OPENSSH" not in lines[0]:
        return "ENCRYPTED" in lines[0] or any(
            line.startswith("Proc-Type:") and "ENCRYPTED" in line for line in lines
        )
    try:
        blob = base64.b64decode("".join(lines[1:-1]), validate=True)
    except ValueError:
        return False
    # The magic is followed by the length of the cipher's name in four bytes, then the name.
    start = len(MAGIC) + 4
    return blob.startswith(MAGIC) and not blob.startswith(NOT_ENCRYPTED, start)
