"""Render the host keys that hosts show, as lines for the pillar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalk8s_expand.domain.reports import preflight
from metalk8s_expand.domain.reports.terminal import similar_texts
from metalk8s_expand.domain.reports.terminal.document import text_of

Object = Mapping[str, Any]

NOT_VERIFIED = (
    "NOT VERIFIED: the hosts show these keys over the network, and nothing proves that they are\n"
    "theirs. Before you put a key into the pillar, compare its fingerprint with the one on the\n"
    "host's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
)


def render_host_keys(data: Object) -> str:
    """Return the text for the result of ``host_keys``."""
    missing: list[str] = []
    notes: list[tuple[str, str]] = []
    for name, host in data["hosts"].items():
        key = host["keys"][0]
        if host["declared"] == "same":
            notes.append((name, "shows its declared key"))
            continue
        if host["declared"] == "other":
            notes.append((name, "does NOT show its declared key; was it reinstalled?"))
        missing += [
            f"    {name}:",
            "      ssh:",
            f"        # not verified: {key['fingerprint']} at {host['host']} port {host['port']}",
            f'        host_key: "{key["key"]}"',
        ]
    blocks = []
    if missing:
        blocks.append(NOT_VERIFIED)
        blocks.append("\n".join(["metalk8s_expand:", "  nodes:", *missing]))
    if notes:
        blocks.append("\n".join(map(str, similar_texts.by_name(notes))))
    if data["unreachable"]:
        blocks.append(text_of(preflight.unreachable(data["unreachable"])))
    return "\n\n".join(blocks)
