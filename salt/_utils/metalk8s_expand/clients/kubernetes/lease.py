"""One Lease of the Kubernetes API, and the description of the process that holds it."""

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
    """The Lease with one name.

    Every write is a compare-and-swap. It raises ConflictError when another process wrote first.
    """

    def __init__(self, kube: KubeApi, name: str = NAME, namespace: str = NAMESPACE) -> None:
        self._kube = kube
        self._all = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._one = f"{self._all}/{name}"

    def get(self) -> JsonObject | None:
        """Return the current Lease: without a resourceVersion the API reads from etcd's quorum."""
        return self._kube.request("GET", self._one)

    def create(self, body: Mapping[str, Any]) -> JsonObject | None:
        """Create the Lease if it does not exist."""
        return self._kube.request("POST", self._all, body)

    def update(self, body: Mapping[str, Any]) -> JsonObject | None:
        """Replace only the version that ``body`` names. Return None when the Lease was deleted."""
        return self._kube.request("PUT", self._one, body)


def claim(run: str, doing: str) -> LeaseHolder:
    """Return the description of this process as a lease holder.

    The identity is unique: a later process with the same PID gets another one.
    """
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
    """Return whether the process that a claim names has ended.

    The result is False for a process that is not visible from here.
    """
    *place, pid, _ = process.split("/") if process.count("/") == 3 else ("", "", "", "")
    return bool(process) and place == _place() and pid.isdigit() and _process(int(pid)) != process


def _process(pid: int) -> str:
    """Return boot ID, PID namespace, PID and start time of a running process, joined by ``/``.

    No two processes have the same value. It is empty when the process does not run.
    """
    try:
        # The program name in parentheses may contain any character.
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
    """Return this boot ID and PID namespace; processes outside them are not visible from here."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return [boot, str(os.stat("/proc/self/ns/pid").st_ino)]
    except OSError:
        return ["", ""]


def stamp(now: float) -> str:
    """Return seconds since the epoch as the API's MicroTime."""
    return datetime.fromtimestamp(now, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _user() -> str:
    """Return the user of this process, and the user that called sudo, for display only."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    before = os.environ.get("SUDO_USER")
    return f"{name} (sudo by {before})" if before else name
