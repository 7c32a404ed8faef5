"""One Lease of the Kubernetes API, and what a process tells others of itself when it holds it."""

from __future__ import annotations

import os
import platform
import pwd
import secrets
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from metalk8s_expand.clients.kubernetes.api import JsonObject, KubeApi
from metalk8s_expand.domain.runs.lease_rules import NAME, NAMESPACE, LeaseHolder


class Leases:
    """The Lease of this name; every write is a compare-and-swap and raises ConflictError when somebody was quicker."""

    def __init__(self, kube: KubeApi, name: str = NAME, namespace: str = NAMESPACE) -> None:
        self._kube = kube
        self._all = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._one = f"{self._all}/{name}"

    def get(self) -> JsonObject | None:
        """The Lease as it is now: without a resourceVersion the API asks etcd's quorum."""
        return self._kube.request("GET", self._one)

    def create(self, body: Mapping[str, Any]) -> JsonObject | None:
        """Make it, if it is not there."""
        return self._kube.request("POST", self._all, body)

    def update(self, body: Mapping[str, Any]) -> JsonObject | None:
        """Replace the version that ``body`` names, and no other; None when it was deleted."""
        return self._kube.request("PUT", self._one, body)


def claim(run: str, doing: str) -> LeaseHolder:
    """What this process tells of itself; its identity is never used again, not even by a process of the same number."""
    host = platform.node()
    return LeaseHolder(
        f"{host}_{os.getpid()}_{secrets.token_hex(4)}",
        host,
        _user(),
        run,
        doing,
        _process(os.getpid()),
    )


def has_ended(process: str) -> bool:
    """Whether this process, as its claim names it, was one that we could see and is no more."""
    *place, pid, _ = process.split("/") if process.count("/") == 3 else ("", "", "", "")
    return bool(process) and place == _place() and pid.isdigit() and _process(int(pid)) != process


def _process(pid: int) -> str:
    """Boot, namespace, number and start of a process that runs: never the same for two. Nothing when it does not run."""
    try:
        # The name in parentheses may hold anything.
        fields = (
            Path(f"/proc/{pid}/stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()
        )
    except OSError:
        return ""
    place = _place()
    return "/".join([*place, str(pid), fields[19]]) if all(place) and fields[0] not in "ZX" else ""


def _place() -> list[str]:
    """This boot and this namespace of processes; a process elsewhere cannot be seen from here."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return [boot, str(os.stat("/proc/self/ns/pid").st_ino)]
    except OSError:
        return ["", ""]


def stamp(now: float) -> str:
    """Seconds since the epoch as the API's MicroTime."""
    return datetime.fromtimestamp(now, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _user() -> str:
    """For people only: whoever runs this, and who became that by sudo."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    before = os.environ.get("SUDO_USER")
    return f"{name} (sudo by {before})" if before else name
