"""The process of the etcd member on the host that this code runs on."""

from __future__ import annotations

import http.client
import os
import signal
from contextlib import suppress
from pathlib import Path

from metalk8s_expand.domain.etcd.metrics import MemberStart, member_start

# etcd serves its metrics here as soon as it starts, before it serves clients.
METRICS = ("127.0.0.1", 2381)
MOST_BYTES = 4 << 20
TIMEOUT_S = 1.0
PROC = Path("/proc")


class LocalServer:
    """An etcd process, known by the configuration file on its command line."""

    def __init__(self, config: str) -> None:
        self._command = ("etcd", f"--config-file={config}")

    def start(self) -> MemberStart:
        """Return what its metrics say about its start.

        A process that does not answer yet starts: etcd opens the port of its clients before that of
        its metrics, and a request to it may wait for as long as the start takes.
        """
        connection = http.client.HTTPConnection(*METRICS, timeout=TIMEOUT_S)
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse().read(MOST_BYTES)
        except (OSError, http.client.HTTPException):
            return MemberStart(starting=True)
        finally:
            connection.close()
        return member_start(answer.decode(errors="replace"))

    def end(self) -> bool:
        """End the process, and return whether there was one. The kubelet starts it again."""
        ended = False
        for entry in PROC.iterdir():
            if entry.name.isdigit() and self._command == _command_of(entry):
                # It may end by itself meanwhile.
                with suppress(ProcessLookupError):
                    os.kill(int(entry.name), signal.SIGTERM)
                    ended = True
        return ended


def _command_of(process: Path) -> tuple[str, ...]:
    try:
        return tuple((process / "cmdline").read_text(errors="replace").rstrip("\0").split("\0"))
    except OSError:
        return ()
