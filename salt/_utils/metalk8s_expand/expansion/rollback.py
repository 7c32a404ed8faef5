"""After a node has failed: take back what is safer gone than kept, and say in which state the node is left.

Gone is safer for a Node that no kubelet has ever taken (nobody would ever delete it, and it stands in the way of the
controllers), and for an etcd learner that does not answer (it keeps every other member from being added). All else is
kept, since the next run goes on with it: what is installed, an accepted key, a learner that follows, our cordon.
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

# One bad answer decides nothing: a member that starts or a network that comes back shows it within this.
PATIENCE_S = 15.0

Steps = Iterator[None]


@dataclass(frozen=True)
class Rollback:
    """What it works with; ``check`` is asked before every change and raises when this run may make none any more."""

    access: Callable[[], verify.ClusterAccess]
    check: Callable[[], None]
    clock: Clock


def roll_back(undo: Rollback, node: Node, created: bool, done: list[str]) -> Steps:
    """Fill ``done`` with what was taken back, or why it was not; the other nodes go on in between."""
    try:
        if node.is_etcd:
            yield from _learner(undo, node, done)
        if created:
            _phantom(undo, node, done)
    except ExpandError as error:
        done.append(f"what else there is to take back is not known: {error.message}")


def state(undo: Rollback, node: Node) -> str:
    """In which state the node is left, one sentence."""
    try:
        return _described(undo.access().kube.node(node.name))
    except ExpandError as error:
        return f"unknown: {error.message}"


def _described(found: JsonObject | None) -> str:
    if found is None:
        return "there is no Node of this name"
    cordon = _cordon(found)
    if not health.is_deployed(found):
        return f"registered, {cordon}; no kubelet has reported"
    return f"{'; '.join(health.ready_problems(found)) or 'Ready'}; {cordon}"


def _cordon(found: JsonObject) -> str:
    """A cordon of others, such as MetalK8s's own deployment leaves when it fails, is for them to undo, or an operator."""
    if manifest.is_cordoned_by_us(found):
        return "cordoned by us, so it takes no Pods"
    other = manifest.foreign_cordon(found)
    if other:
        command = f"kubectl uncordon {found['metadata']['name']}"
        return f"cordoned by {other}, not by us, so it takes no Pods: {command}, once it is well"
    return "not cordoned"


def _learner(undo: Rollback, node: Node, done: list[str]) -> Steps:
    etcd = undo.access().etcd
    if etcd is None:
        return
    deadline = undo.clock.monotonic() + PATIENCE_S
    members = etcd.members()
    while _is_ill(_own(members, node)) and undo.clock.monotonic() < deadline:
        yield
        members = etcd.members()
    own = _own(members, node)
    if own is None or not own.learner:
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
        done.append(f"its etcd learner {own.title} is kept: " + "; ".join(problems))
        return
    undo.check()
    etcd.remove(own.id)
    done.append(f"its etcd learner {own.title} was removed: {own.error or 'it did not answer'}")


def _own(members: list[Member], node: Node) -> Member | None:
    return quorum.member_at(members, quorum.peer_url(node.address))


def _is_ill(member: Member | None) -> bool:
    return member is not None and member.learner and member.healthy is not True


def _phantom(undo: Rollback, node: Node, done: list[str]) -> None:
    """Delete a Node that this expansion made and that no kubelet has taken; what changes meanwhile is not deleted."""
    kube = undo.access().kube
    found = kube.node(node.name)
    if found is None or health.is_deployed(found) or not manifest.is_marked(found):
        return
    undo.check()
    try:
        kube.delete_node(node.name, found["metadata"]["uid"], found["metadata"]["resourceVersion"])
    except ConflictError:
        done.append("its Node is kept: it was changed at this very moment")
        return
    _forget(kube, node.name)
    done.append("its Node was deleted again: no kubelet had ever reported on it")


def _forget(kube: Kube, name: str) -> None:
    """What is on record of a Node that is gone."""
    known = ownership.read(kube, [name])
    if name in known:
        ownership.write(kube, {name: (known[name], manifest.NOTHING)})
