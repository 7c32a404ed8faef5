"""A host as the roster describes it, and the command line of OpenSSH for it: the one that salt-ssh
would use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Of these OpenSSH takes the first value, so they win over the roster's. Nothing is asked, and every
# call logs in for itself and ends: a shared connection of an earlier login would hide that the key
# is refused today.
OURS = ("BatchMode=yes", "LogLevel=ERROR", "ControlMaster=no", "ControlPath=none")
# What salt-ssh passes for a roster entry with a key.
SALT = (
    "KbdInteractiveAuthentication=no",
    "PasswordAuthentication=no",
    "GSSAPIAuthentication=no",
    "ServerAliveInterval=60",
    "ServerAliveCountMax=3",
)


@dataclass(frozen=True)
class Target:
    """A host as the roster describes it; ``options`` are more OpenSSH options, ``Name=value``.

    ``pre_flight`` is the path of the script on the master that salt-ssh runs on the host first.
    """

    name: str
    host: str
    port: int = 22
    user: str = "root"
    key_path: str = ""
    sudo: bool = False
    options: tuple[str, ...] = field(default_factory=tuple)
    pre_flight: str = ""

    @classmethod
    def from_roster(cls, name: str, entry: Mapping[str, Any]) -> Target:
        """A roster entry of Salt."""
        return cls(
            name,
            str(entry["host"]).strip("[]"),
            int(entry.get("port") or 22),
            str(entry.get("user") or "root"),
            str(entry.get("priv") or ""),
            entry.get("sudo") is True,
            tuple(entry.get("ssh_options") or ()),
            str(entry.get("ssh_pre_flight") or ""),
        )

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.user}@{self.host} port {self.port}"

    def openssh(self, *first: str, connect_timeout: float = 10.0) -> list[str]:
        """``ssh`` with all options but a command; options in ``first`` override all others."""
        options = [
            *first,
            *OURS,
            *SALT,
            f"ConnectTimeout={max(1, round(connect_timeout))}",
            f"Port={self.port}",
        ]
        if self.key_path:
            options.append(f"IdentityFile={self.key_path}")
        options += [f"User={self.user}", "IdentitiesOnly=yes", *self.options]
        arguments = ["ssh", "-T"]
        for option in options:
            arguments += ["-o", option]
        return arguments
