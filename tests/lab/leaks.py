"""Search hosts for secrets outside their own files.

The search passes no secret as an argument and prints none. It names a secret by the file that the
secret belongs in.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.lab.hosts import on

# Files that hold secrets only.
SECRET = r"""
for f in $(find /etc/kubernetes/pki /etc/salt/pki -name '*.key' -o -name '*.pem') \
    /etc/kubernetes/encryption.conf /etc/metalk8s/pki/salt-bootstrap; do test -f "$f" && echo "$f"; done; true
"""
PROGRAM = "/run/leaks.py"
# The search covers these places, all processes and the journal. It reads compressed files too.
PLACES = (
    "/var/log",
    "/var/cache/salt",
    "/var/cache/metalk8s",
    "/var/tmp",
    "/tmp",
    "/etc/kubernetes/addons",
    "/root/events.jsonl",
    # What a container writes outside of its mounts.
    "/run/containerd/io.containerd.runtime.v2.task/k8s.io/*/rootfs/var/log",
    "/run/containerd/io.containerd.runtime.v2.task/k8s.io/*/rootfs/tmp",
)
# Salt's master caches the pillar of each minion here, so that commands can target by pillar.
PILLARS = r"/var/cache/salt/master/(minions/[^/]+/data\.p|pillar/.+\.p)"
SEARCH = r"""
import glob, gzip, json, os, re, subprocess, sys
wanted = json.load(sys.stdin)
patterns = [(label, line.encode()) for label, lines in wanted["secrets"].items() for line in lines]
found, kept, seen = set(), {}, 0

def look(where, data):
    global seen
    seen += 1
    labels = sorted({label for label, line in patterns if line in data})
    if not labels:
        return
    if re.fullmatch(wanted["pillars"], where):
        status = os.lstat(where)
        kept[where] = [labels, oct(status.st_mode & 0o7777), status.st_uid]
    else:
        found.update((where, label) for label in labels)

def files():
    for place in (place for pattern in wanted["places"] for place in glob.glob(pattern)):
        if os.path.isfile(place):
            yield place
        for top, _, names in os.walk(place):
            yield from (os.path.join(top, name) for name in names)

for path in files():
    try:
        if not os.path.isfile(path) or os.path.islink(path):
            continue
        with open(path, "rb") as stream:
            look(path, stream.read())
        if path.endswith((".gz", ".tgz")):
            with gzip.open(path) as stream:
                look(path, stream.read())
    except (OSError, EOFError):
        continue
for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
    try:
        with open(path, "rb") as stream:
            look(path, stream.read())
    except OSError:
        continue
journal = subprocess.run(["journalctl", "--all", "--output=cat", "--no-pager"], stdout=subprocess.PIPE)
look("the journal", journal.stdout)
print(json.dumps({"found": sorted(found), "kept": kept, "seen": seen}))
"""


@dataclass
class Found:
    """The result of a search.

    ``leaks`` are places with the file that the secret belongs in. ``pillars`` are the pillar caches
    that are meant to hold secrets.
    """

    leaks: list[str] = field(default_factory=list)
    pillars: dict[str, tuple[list[str], str, int]] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)


def secrets(hosts: Sequence[str]) -> dict[str, list[str]]:
    """Return pieces of every secret, by host and path."""
    paths = {host: on(host, "sh", "-c", SECRET).stdout.split() for host in hosts}
    found = {
        f"{host}:{path}": pieces(on(host, "cat", path).stdout)
        for host in hosts
        for path in paths[host]
    }
    return {label: lines for label, lines in found.items() if lines}


def pieces(text: str) -> list[str]:
    """Return the lines of a private key that hold nothing of its public key.

    Return the key of an encryption configuration.
    """
    stripped = [line.strip() for line in text.splitlines()]
    if "PRIVATE KEY" not in text:
        return [line.split()[1] for line in stripped if line.startswith("secret:")]
    body = [line for line in stripped if line and not line.startswith("-----")]
    if "OPENSSH PRIVATE KEY" in text:
        # An ed25519 key holds a checksum, both keys and the comment, in this order.
        return body[3:4]
    # An RSA key starts with its modulus, in the first quarter. An elliptic curve key starts with
    # its secret, before its point.
    return body[int(len(body) * 0.4) : -1] if len(body) > 10 else body[:2]


def search(hosts: Sequence[str], wanted: dict[str, list[str]]) -> Found:
    """Return every place on these hosts that holds one of these secrets."""
    result = Found()
    question = json.dumps({"secrets": wanted, "places": PLACES, "pillars": PILLARS})
    for host in hosts:
        on(host, "tee", PROGRAM, stdin=SEARCH)
        answer: dict[str, Any] = json.loads(
            on(host, "python3", PROGRAM, stdin=question, timeout=600).stdout
        )
        result.leaks += [
            f"{host}: {where} holds what belongs in {label}" for where, label in answer["found"]
        ]
        result.pillars.update(
            {f"{host}:{where}": tuple(kept) for where, kept in answer["kept"].items()}
        )
        result.seen[host] = answer["seen"]
    return result
