"""Store the requests to add nodes in the API, where they outlive reactions, workers and the master.

Reactions run in many threads of the master at once, so every write is a compare-and-swap.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from metalk8s_expand.clients.host.clock import Clock, retry_on_conflict
from metalk8s_expand.clients.kubernetes.objects import Kube, store_config_map
from metalk8s_expand.domain.runs import queue_rules as rules
from metalk8s_expand.domain.runs.queue_rules import NAME, NAMESPACE, Request

Requests = Mapping[str, Request]

# API servers restart during an expansion. With a longer limit, all of the reactor's few threads
# would wait here.
PATIENCE_S = 30.0
PAUSE_S = 0.2


def read(kube: Kube) -> dict[str, Request]:
    """Return all requests, the oldest first."""
    return _parsed(kube.config_map(NAMESPACE, NAME))


def change(kube: Kube, alter: Callable[[Requests], Requests], clock: Clock) -> dict[str, Request]:
    """Replace the requests with the result of ``alter`` and return it; write only a difference.

    Raises ConflictError or UnreachableError if that fails for half a minute. ``alter`` may be
    called many times: if the answer to a write was lost, ``change`` reads the requests again and
    repeats the write if it is missing.
    """
    # The pauses are random, so that writers that conflicted do not conflict again.
    return retry_on_conflict(
        lambda: _attempt(kube, alter),
        PATIENCE_S,
        lambda: PAUSE_S * random.uniform(0.1, 1.9),
        clock,
    )


def request(kube: Kube, node: str, retry: bool = False, *, clock: Clock) -> bool:
    """Store the request for a node and return whether that changed anything."""
    before: Requests = {}

    def alter(requests: Requests) -> Requests:
        nonlocal before
        before = requests
        return rules.with_request(requests, node, clock.now(), retry)

    return change(kube, alter, clock) != before


def _attempt(kube: Kube, alter: Callable[[Requests], Requests]) -> dict[str, Request]:
    config_map = kube.config_map(NAMESPACE, NAME)
    before = _parsed(config_map)
    after = dict(alter(before))
    if after != before:
        store_config_map(kube, NAMESPACE, NAME, rules.lines(after), config_map)
    return after


def _parsed(config_map: Mapping[str, Any] | None) -> dict[str, Request]:
    data = (config_map or {}).get("data") or {}
    requests = [rules.parse(node, str(stored)) for node, stored in data.items()]
    return {
        request.node: request
        for request in sorted(requests, key=lambda request: (request.since, request.node))
    }
