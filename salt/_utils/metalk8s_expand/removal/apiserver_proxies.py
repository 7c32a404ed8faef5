"""Remove a deleted API server from the API proxies of the other nodes.

This is best effort: the proxies skip unhealthy servers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.clients.salt import minions
from metalk8s_expand.clients.salt.file_server import FileServer
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.node import health, roles
from metalk8s_expand.domain.node.manifest import VERSION_LABEL
from metalk8s_expand.errors import ExpandError
from metalk8s_expand.preflight import saltenvs


def refresh_apiserver_proxies(
    world: ClusterContext, declared: Settings, name: str, node_roles: Sequence[str]
) -> list[str]:
    """Return the proxies that still list the server, and why; nothing if the node had no API
    server.
    """
    if roles.MASTER not in node_roles:
        return []
    if name in declared.nodes:
        return [
            f"the API proxies list {name} as long as the pillar does; they skip it while it does"
            " not answer"
        ]
    try:
        failed = _told(world)
    except ExpandError as error:
        failed = [error.message]
    if not failed:
        return []
    later = (
        "they skip it while it does not answer; to update them: salt NODE state.apply SLS, with the"
        f" SLS {saltenvs.APISERVER_PROXY}, or {saltenvs.PROXY_OF_METALK8S} of MetalK8s"
    )
    return [f"these API proxies may still list {name}: {'; '.join(failed)}; {later}"]


def _told(world: ClusterContext) -> list[str]:
    """Return the nodes that did not confirm an updated list."""
    ready = [item for item in world.kube.nodes() if not health.ready_problems(item)]
    versions = {
        item["metadata"]["name"]: (item["metadata"].get("labels") or {}).get(VERSION_LABEL, "")
        for item in ready
    }
    files = FileServer(world.opts)
    failed: list[str] = []
    for version in sorted(set(versions.values())):
        targets = [name for name, running in versions.items() if running == version]
        saltenv = saltenvs.of_version(version) if version else "base"
        keywords = {"__kwarg__": True, "saltenv": saltenv, "concurrent": True}
        arguments = [saltenvs.apiserver_proxy(files, saltenv), keywords]
        answers = minions.Minions(world.opts).ask(targets, "state.apply", arguments)
        failed += [name for name in targets if not _succeeded(answers.get(name))]
    return failed


def _succeeded(answer: Any) -> bool:
    states = list(answer.values()) if isinstance(answer, Mapping) else []
    return bool(states) and all(
        isinstance(state, Mapping) and state.get("result") is True for state in states
    )
