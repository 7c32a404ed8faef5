"""Wait for the kubelet of this host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from metalk8s_expand.clients.host.clock import Clock, Wait, wait_until
from metalk8s_expand.clients.kubernetes.own_node import own_node
from metalk8s_expand.domain.node import health

LOG = "journalctl --unit kubelet on the node"


def wait_until_ready(
    name: str,
    timeout_s: float,
    clock: Clock,
    read: Callable[[str], Mapping[str, Any] | None] = own_node,
) -> None:
    """Wait until the API has the Node of this host as Ready.

    A kubelet that sees its Node without a capacity denies a static Pod, and never tries it again.
    It has reported the capacity before it reports Ready. Raises DeadlineError.
    """

    def problems() -> list[str]:
        node_obj = read(name)
        if node_obj is None:
            return [f"Node {name} is not registered"]
        return health.ready_problems(node_obj)

    wait = Wait(
        "the kubelet to report Ready",
        timeout_s,
        interval=0.2,
        node=name,
        hint="fix the kubelet on the node, and run the same command again",
        log=LOG,
    )
    wait_until(wait, problems, clock)
