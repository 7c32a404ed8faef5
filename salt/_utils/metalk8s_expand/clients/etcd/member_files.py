"""The files of an etcd member on the host that this code runs on."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

from metalk8s_expand.domain.etcd.quorum import PEER_PORT
from metalk8s_expand.domain.parsing.addresses import is_ipv6


class MemberFiles:
    """Data directory, configuration and static Pod manifest of the local etcd member."""

    def __init__(self, data_dir: str, config: str, manifest: str, address: str) -> None:
        self.data = Path(data_dir)
        self.config = Path(config)
        self.manifest = Path(manifest)
        self._address = address

    def has_data(self) -> bool:
        """Return whether the member has a write-ahead log, that is, whether it has ever started."""
        wal = self.data / "member" / "wal"
        return wal.is_dir() and any(wal.iterdir())

    def has_config(self) -> bool:
        """Return whether an earlier run wrote a configuration."""
        return self.config.is_file()

    def is_listening(self) -> bool:
        """Return whether a process still serves the peer port."""
        with socket.socket(socket.AF_INET6 if is_ipv6(self._address) else socket.AF_INET) as probe:
            probe.settimeout(1)
            return probe.connect_ex((self._address, PEER_PORT)) == 0

    def set_aside(self) -> str | None:
        """Rename old data without deleting it; return the new path, or None if there is no data."""
        member = self.data / "member"
        if not member.exists():
            return None
        target = self.data / f"stale-{int(time.time())}"
        target.mkdir(mode=0o700)
        os.rename(member, target / "member")
        return str(target)

    def withdraw_manifest(self) -> bool:
        """Remove the static Pod manifest from the kubelet; return whether there was one."""
        if not self.manifest.exists():
            return False
        self.manifest.unlink()
        return True

    def read_config(self) -> dict[str, Any]:
        """Return the existing configuration, empty if there is none."""
        import yaml

        if not self.config.is_file():
            return {}
        value = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        return value if isinstance(value, dict) else {}

    def write_config(self, settings: dict[str, Any]) -> None:
        """Write etcd's configuration file atomically, readable by root only."""
        import yaml

        self.config.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary = self.config.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            yaml.safe_dump(settings, stream, sort_keys=True)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, self.config)
