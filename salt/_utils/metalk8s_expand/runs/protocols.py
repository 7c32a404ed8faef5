"""The interfaces through which a run keeps its lock and reports its progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

LOGS = "on the master: /var/log/salt/master; on the node: /var/log/salt/minion, journalctl --unit kubelet, /var/log/pods"


class Lock(Protocol):
    """What lets one run at a time change anything; see ``runs/lock.py``."""

    epoch: int

    def tick(self) -> None:
        """Keep it; to be called often."""

    def check(self) -> None:
        """Pass when the next change may be made. Raises LockLostError when it is lost."""


Progress = Callable[[str, str, str], None]


class Tell(Protocol):
    """Tells programs that follow the run of a step; see ``events.step``."""

    def __call__(
        self,
        node: str,
        step: str,
        state: str,
        elapsed: float = 0.0,
        job: str | None = None,
        error: BaseException | None = None,
    ) -> None: ...


def nobody(*step: Any, **more: Any) -> None:
    """When nobody follows."""
