"""Roll back a failed node where removal is safer, and describe the final state of the node.

The rollback removes a Node on which no kubelet has ever reported: nothing else would delete it, and
it blocks the controllers. It also removes an etcd learner that does not answer, because it prevents
the addition of every other member, and a voter that never started, because it counts for the
quorum: MetalK8s adds its members as voters. The next run resumes with all other changes: installed
software, an accepted key, a learner that follows, this project's cordon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from metalk8s_expand.clients.etcd.api import Etcd
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.kubernetes.objects import JsonObject, Kube
from metalk8s_expand.cluster import health as verify
from metalk8s_expand.cluster import ownership
from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.node import health, manifest
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.errors import ConflictError, ExpandError

# Seconds before a bad answer counts: a starting member or a recovering network answers within this.
PATIENCE_S = 15.0

Steps = Iterator[None]


@dataclass(frozen=True)
class Rollback:
    """The cluster access and the clock of a rollback.

    ``check`` runs before every change. It raises if this run may no longer make changes.
    """

    access: Callable[[], verify.ClusterAccess]
    check: Callable[[], None]
    clock: Clock


def roll_back(undo: Rollback, node: Node, created: bool, done: list[str]) -> Steps:
    """Append each rolled back change, or the reason against it, to ``done``.

    The steps of the other nodes run in between.
    """
    try:
        if node.is_etcd:
            yield from remove_unstarted_member(undo, node, done)
        if created:
            delete_unclaimed_node(undo, node, done)
    except ExpandError as error:
        done.append(f"what else to roll back is unknown: {error.message}")


def state(undo: Rollback, node: Node) -> str:
    """Return one sentence that describes the final state of the node."""
    try:
        return _described(undo.access().kube.node(node.name))
    except ExpandError as error:
        return f"unknown: {error.message}"


def _described(node_obj: JsonObject | None) -> str:
    if node_obj is None:
        return "there is no Node of this name"
    cordon = _cordon(node_obj)
    if not health.is_deployed(node_obj):
        return f"registered, {cordon}; no kubelet has reported"
    return f"{'; '.join(health.ready_problems(node_obj)) or 'Ready'}; {cordon}"


def _cordon(node_obj: JsonObject) -> str:
    """Describe the node's cordon.

    If this project did not set it, its owner or an operator removes it. A failed MetalK8s
    deployment leaves such a cordon.
    """
    if manifest.is_cordoned_by_us(node_obj):
        return "cordoned by us, so it takes no Pods"
    other = manifest.foreign_cordon(node_obj)
    if other:
        command = f"kubectl uncordon {node_obj['metadata']['name']}"
        return f"cordoned by {other}, not by us, so it takes no Pods: {command}, once it is healthy"
    return "not cordoned"


def remove_unstarted_member(undo: Rollback, node: Node, done: list[str]) -> Steps:
    """Remove the node's learner that does not answer, or its voter that never started."""
    etcd = undo.access().etcd
    if etcd is None:
        return
    deadline = undo.clock.monotonic() + PATIENCE_S
    members = etcd.members()
    while _is_ill(_own(members, node)) and undo.clock.monotonic() < deadline:
        yield
        members = etcd.members()
    own = _own(members, node)
    if own is None or not (own.learner or _is_ill(own)):
        return
    if not _is_ill(own):
        done.append("its etcd learner is kept: it has started, the next run promotes it")
        return
    _remove(undo, etcd, members, own, done)


def _remove(
    undo: Rollback, etcd: Etcd, members: list[Member], own: Member, done: list[str]
) -> None:
    problems = quorum.remove_problems(members, own.id)
    if problems:
        done.append(f"its etcd {_kind(own)} {own.title} is kept: " + "; ".join(problems))
        return
    undo.check()
    etcd.remove(own.id)
    reason = own.error or "it did not answer"
    done.append(f"its etcd {_kind(own)} {own.title} was removed: {reason}")


def _kind(member: Member) -> str:
    return "learner" if member.learner else "member"


def _own(members: list[Member], node: Node) -> Member | None:
    return quorum.member_at(members, quorum.peer_url(node.address))


def _is_ill(member: Member | None) -> bool:
    """Return whether a learner does not answer, or a voter never started: it has no name then."""
    if member is None or member.healthy is True:
        return False
    return member.learner or not member.name


def delete_unclaimed_node(undo: Rollback, node: Node, done: list[str]) -> None:
    """Delete a Node that this expansion created and no kubelet has reported on.

    A Node that changes meanwhile is kept.
    """
    kube = undo.access().kube
    node_obj = kube.node(node.name)
    if node_obj is None or health.is_deployed(node_obj) or not manifest.is_marked(node_obj):
        return
    undo.check()
    try:
        kube.delete_node(
            node.name, node_obj["metadata"]["uid"], node_obj["metadata"]["resourceVersion"]
        )
    except ConflictError:
        done.append("its Node is kept: another client changed it at the same time")
        return
    _forget(kube, node.name)
    done.append("its Node was deleted: no kubelet has ever reported on it")


def _forget(kube: Kube, name: str) -> None:
    """Clear the ownership record of a deleted Node."""
    known = ownership.read(kube, [name])
    if name in known:
        ownership.write(kube, {name: (known[name], manifest.NOTHING)})
