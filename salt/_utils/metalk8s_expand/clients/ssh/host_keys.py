"""Comparison of the host keys that the master knows with those that the host shows.

The files come from OpenSSH's options, not from fixed names.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from metalk8s_expand.clients.ssh.process_pool import Allowance, run
from metalk8s_expand.domain.preflight.ssh_failures import SSHFailure

Keys = dict[str, set[str]]
SCANNED = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa", "ssh-dss": "dsa"}
PREFERRED = "ssh-ed25519"
KIND, KEY = re.compile(r"[a-z0-9@.-]{1,64}"), re.compile(r"[A-Za-z0-9+/]{16,4096}={0,2}")
CERTIFICATES, REVOKED = "@cert-authority", "@revoked"


@dataclass(frozen=True)
class HostKey:
    """A public host key: its type, and the key in base64."""

    kind: str
    key: str

    @property
    def line(self) -> str:
        """Return the key as a host's ``.pub`` file and the pillar write it."""
        return f"{self.kind} {self.key}"

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint as ``ssh-keygen -l`` shows it."""
        return _fingerprint(self.key)


def shown_keys(host: str, port: int, timeout: float) -> list[HostKey]:
    """Return the keys that the host shows within ``timeout`` seconds, ed25519 first.

    Nothing proves that they are the host's keys. The list is empty if no SSH server answers.
    """
    config = {"hostname": host, "port": str(port)}
    shown = []
    for kind, keys in _scan(config, [], Allowance(timeout)).items():
        for key in sorted(keys):
            # The text comes from the network.
            if KIND.fullmatch(kind) and KEY.fullmatch(key):
                shown.append(HostKey(kind, key))
    return sorted(shown, key=lambda item: (item.kind != PREFERRED, item.kind, item.key))


def host_key_problem(config: Mapping[str, str], allowance: Allowance) -> SSHFailure | None:
    """Return why OpenSSH with this configuration (``ssh -G``) would reject the host key.

    Return None when it would accept the key or the result is unknown.
    """
    strict = config.get("stricthostkeychecking", "ask")
    if strict in {"false", "no", "off"} or config.get("knownhostscommand", "none") != "none":
        return None
    known, revoked, complete = _known(config, allowance)
    if not complete:
        return None
    offered = _offered(config, known, allowance)
    stolen: set[str] = set()
    for keys in offered.values():
        stolen |= keys & revoked
    if stolen:
        return SSHFailure(
            "host-key-revoked", f"the host shows a revoked key: {_shown(offered, stolen)}"
        )
    if not known:
        return None if strict == "accept-new" else _unknown(config, known, offered)
    changed: Keys = {}
    for kind, keys in offered.items():
        if kind in known and not keys & known[kind]:
            changed[kind] = keys
    if changed:
        wanted = {kind: known[kind] for kind in changed}
        problem = (
            f"the host key of {_name(config)} has CHANGED: known is {_shown(wanted)}, the host"
            f" shows {_shown(changed)}"
        )
        return SSHFailure("host-key-changed", problem)
    return (
        None if not offered or known.keys() & offered.keys() else _unknown(config, known, offered)
    )


def _unknown(config: Mapping[str, str], known: Keys, offered: Keys) -> SSHFailure:
    held = f"contain only {_shown(known)}" if known else "contain no key"
    shown = f"; the host shows {_shown(offered)}" if offered else ""
    files = []
    for file in _files(config):
        files.append(file if Path(file).exists() else f"{file} (missing)")
    listed = ", ".join(files) or "no file"
    return SSHFailure(
        "host-key-unknown",
        f"the host key of {_name(config)} is unknown: {listed} {held}{shown}",
    )


def _name(config: Mapping[str, str]) -> str:
    """Return the name that OpenSSH looks up; an alias has no port."""
    alias = config.get("hostkeyalias", "")
    host, port = config["hostname"].lower(), config["port"]
    return alias or (host if port == "22" else f"[{host}]:{port}")


def _files(config: Mapping[str, str]) -> list[str]:
    named = (
        f"{config.get('userknownhostsfile', '')} {config.get('globalknownhostsfile', '')}".split()
    )
    return [name for name in dict.fromkeys(named) if name not in {"/dev/null", "none"}]


def _known(config: Mapping[str, str], allowance: Allowance) -> tuple[Keys, set[str], bool]:
    """Return the keys by kind, the revoked keys, and whether the keys are complete.

    They are not complete when a certificate authority vouches for the host.
    """
    known: Keys = {}
    revoked: set[str] = set()
    complete = True
    for name in filter(Path.exists, map(Path, _files(config))):
        # ssh-keygen matches hashed names and patterns.
        ended = run(["ssh-keygen", "-F", _name(config), "-f", str(name)], allowance)
        complete = complete and ended.returncode is not None
        for line in ended.stdout.splitlines():
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            marker = words.pop(0) if words[0].startswith("@") else ""
            complete = complete and marker != CERTIFICATES
            if marker == REVOKED:
                revoked.add(words[2])
            elif not marker:
                known.setdefault(words[1], set()).add(words[2])
    return known, revoked, complete


def _offered(config: Mapping[str, str], known: Iterable[str], allowance: Allowance) -> Keys:
    """Return the shown keys of the known kinds, because each kind costs a connection.

    Try all kinds when no kind is known or the host shows none of the known kinds.
    """
    kinds = {SCANNED.get(kind, "ecdsa") for kind in known}
    return (_scan(config, ["-t", ",".join(sorted(kinds))], allowance) if kinds else {}) or _scan(
        config, [], allowance
    )


def _scan(config: Mapping[str, str], kinds: list[str], allowance: Allowance) -> Keys:
    family = {"inet": ["-4"], "inet6": ["-6"]}.get(config.get("addressfamily", "any"), [])
    seconds = str(max(1, int(allowance.left)))
    ended = run(
        ["ssh-keyscan", *family, *kinds, "-T", seconds, "-p", config["port"], config["hostname"]],
        allowance,
    )
    offered: Keys = {}
    for line in ended.stdout.splitlines():
        words = line.split()
        if len(words) >= 3 and not words[0].startswith("#"):
            offered.setdefault(words[1], set()).add(words[2])
    return offered


def _shown(keys: Keys, chosen: set[str] | None = None) -> str:
    """Return the keys as ``ssh-keygen -l`` shows them, so that the operator can compare them."""
    texts = []
    for kind in keys:
        for key in sorted(keys[kind]):
            if chosen is None or key in chosen:
                texts.append(f"{_fingerprint(key)} ({kind})")
    return ", ".join(texts)


def _fingerprint(key: str) -> str:
    try:
        digest = hashlib.sha256(base64.b64decode(key)).digest()
    except (binascii.Error, ValueError):
        return "an unreadable key"
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
