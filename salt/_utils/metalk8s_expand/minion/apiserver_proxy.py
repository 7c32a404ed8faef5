"""Read which API servers the API proxy of this host lists."""

from __future__ import annotations

import re
from pathlib import Path

CONFIGURATION = "/etc/metalk8s/apiserver-proxy.cfg"
_SERVER = re.compile(r"^\s*server (\S+) (\S+)\s*$", re.MULTILINE)


def servers(path: str = CONFIGURATION) -> dict[str, str]:
    """Return address and port of each server by its name; empty without a configuration."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError:
        return {}
    return dict(_SERVER.findall(text))
