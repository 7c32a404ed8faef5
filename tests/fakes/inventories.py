"""What a removal finds of a node."""

from __future__ import annotations

from typing import Any

LIVES: dict[str, Any] = {
    "machine_id": "m", "names": ["cp-1"], "master_key": "key", "authority": False, "api_server": True,
    "services": ["kubelet"], "traces": ["/etc/kubernetes"], "containers": 4,
}  # fmt: skip

BLANK = {
    **LIVES,
    "names": [],
    "master_key": "",
    "api_server": False,
    "services": [],
    "traces": [],
    "containers": 0,
}
