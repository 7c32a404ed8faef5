"""Update the API proxies of other nodes, and remember the nodes whose proxy is behind.

This is best effort and takes one job, whatever the number of minions that are down. A proxy that
lacks a new API server uses the others, and it skips a deleted one. A Node that could not be updated
gets a label, so that the next run finds it with one request.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metalk8s_expand.clients.kubernetes.objects import JsonObject, Kube
from metalk8s_expand.clients.kubernetes.readiness import PORT
from metalk8s_expand.clients.salt import minions
from metalk8s_expand.clients.salt.file_server import FileServer
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.node import health
from metalk8s_expand.domain.node.manifest import PROXY_BEHIND, VERSION_LABEL
from metalk8s_expand.domain.node.objects import first_names, labels_of, name_of
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.parsing import scalars
from metalk8s_expand.domain.parsing.addresses import host_port
from metalk8s_expand.domain.salt import saltenv
from metalk8s_expand.errors import ExpandError

SERVERS = "metalk8s_expand_host.apiserver_proxy"
# Seconds to wait for the proxies: the state takes a few, and a minion that hangs has no answer.
ANSWER_S = 30.0


@dataclass(frozen=True)
class ProxyUpdate:
    """The names of the nodes whose proxy was updated, and of those that are behind.

    ``answers`` has what the minions of the nodes that are behind have returned, None for nothing.
    """

    updated: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    answers: Mapping[str, Any] = field(default_factory=dict, compare=False)


def update(
    cluster: ClusterContext, nodes: Sequence[JsonObject], silent: Container[str] = ()
) -> ProxyUpdate:
    """Update the proxies of these Nodes; one job per version.

    A Node that is not Ready or is ``silent`` is behind: its minion is not asked. Nodes whose proxy
    is behind are marked, the others are unmarked. Raises UnreachableError without a Salt master or
    the API.
    """
    files = FileServer(cluster.opts)
    master = minions.Minions(cluster.opts)
    ready: dict[str, list[str]] = {}
    updated: list[str] = []
    behind: list[str] = []
    answers: dict[str, Any] = {}
    for node_obj in nodes:
        version = labels_of(node_obj).get(VERSION_LABEL, "")
        env = saltenv.of_version(version) if version else "base"
        if name_of(node_obj) in silent or health.ready_problems(node_obj):
            behind.append(name_of(node_obj))
        else:
            ready.setdefault(env, []).append(name_of(node_obj))
    for env, names in sorted(ready.items()):
        keywords = {"__kwarg__": True, "saltenv": env, "concurrent": True}
        sls = saltenv.apiserver_proxy(files.has, env)
        returned = master.ask(names, "state.sls", [sls, keywords], ANSWER_S)
        for name in names:
            (updated if _succeeded(returned.get(name)) else behind).append(name)
        answers.update(returned)
    mark(cluster.kube, behind)
    for node_obj in nodes:
        if PROXY_BEHIND in labels_of(node_obj) and name_of(node_obj) in updated:
            cluster.kube.merge_patch_node(name_of(node_obj), _labels(None))
    said = {name: answers.get(name) for name in behind}
    return ProxyUpdate(tuple(updated), tuple(behind), said)


def tell_others(cluster: ClusterContext, new: Node) -> ProxyUpdate:
    """Update the proxies of the other deployed Nodes that do not list this new API server.

    A proxy lists a declared server beforehand. So the minions are first asked for the servers of
    their proxies, which takes a fraction of a state run. Errors as of update().
    """
    others = []
    for node_obj in cluster.kube.nodes():
        if name_of(node_obj) != new.name and health.is_deployed(node_obj):
            others.append(node_obj)
    master = minions.Minions(cluster.opts)
    # A marked Node may list the server in its file alone, after a reload that failed.
    unmarked = [node_obj for node_obj in others if PROXY_BEHIND not in labels_of(node_obj)]
    names = [name_of(node_obj) for node_obj in unmarked if not health.ready_problems(node_obj)]
    answers = master.ask(names, SERVERS, [], ANSWER_S)
    endpoint = host_port(new.address, PORT)
    behind = [node for node in others if not _lists(answers.get(name_of(node)), new.name, endpoint)]
    return update(cluster, behind, silent=set(names).difference(answers))


def mark(kube: Kube, names: Iterable[str]) -> None:
    """Mark these Nodes, so that the next run updates their proxies. A missing Node is no error."""
    for name in names:
        try:
            # The names may come from the return of a job.
            kube.merge_patch_node(scalars.node_name(name), _labels("true"))
        except scalars.Invalid:
            continue


def catch_up(cluster: ClusterContext, besides: Container[str] = ()) -> list[str]:
    """Update the marked proxies and return notes for the report; an error is a note.

    ``besides`` are names of Nodes that are not asked.
    """
    try:
        marked = [node for node in cluster.kube.nodes(PROXY_BEHIND) if name_of(node) not in besides]
        result = update(cluster, marked) if marked else ProxyUpdate()
    except ExpandError as error:
        return [f"the API proxies that are behind were not updated: {error.message}"]
    notes = []
    if result.updated:
        notes.append(
            f"the API proxies of {first_names(result.updated)} list every API server again"
        )
    if result.behind:
        notes.append(behind_note(result.behind))
    return notes


def behind_note(names: Sequence[str]) -> str:
    """Return the note on nodes whose proxy is behind."""
    return (
        f"the API proxies of {first_names(names)} do not list every API server yet: they use the"
        " others; start the minions, and the next expand updates them"
    )


def _labels(value: str | None) -> dict[str, Any]:
    return {"metadata": {"labels": {PROXY_BEHIND: value}}}


def _succeeded(answer: Any) -> bool:
    states = list(answer.values()) if isinstance(answer, Mapping) else []
    return bool(states) and all(
        isinstance(state, Mapping) and state.get("result") is True for state in states
    )


def _lists(answer: Any, name: str, endpoint: str) -> bool:
    return isinstance(answer, Mapping) and answer.get(name) == endpoint
