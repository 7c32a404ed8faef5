"""Remove a deleted API server from the API proxies of the other nodes.

This is best effort: the proxies skip unhealthy servers.
"""

from __future__ import annotations

from collections.abc import Sequence

from metalk8s_expand.cluster import apiserver_proxies
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.node.objects import first_names
from metalk8s_expand.errors import ExpandError


def refresh_apiserver_proxies(
    world: ClusterContext, declared: Settings, name: str, node_roles: Sequence[str]
) -> list[str]:
    """Return the proxies that still list the server, and why; nothing if the node had no API
    server.
    """
    if roles.MASTER not in node_roles:
        return []
    skip = "they skip it while it does not answer"
    if name in declared.nodes:
        return [f"the API proxies list {name} as long as the pillar does; {skip}"]
    try:
        result = apiserver_proxies.update(world, world.kube.nodes())
    except ExpandError as error:
        return [f"the API proxies may still list {name}: {error.message}; {skip}"]
    if not result.behind:
        return []
    names = first_names(result.behind)
    return [
        f"these API proxies may still list {name}: {names}; {skip}; start their minions, and the"
        " next expand updates them"
    ]
