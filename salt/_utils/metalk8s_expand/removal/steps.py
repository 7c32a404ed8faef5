"""The steps of a removal, by name: each compares the current state with the desired one and changes
it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from metalk8s_expand.clients.host.clock import Pending, Wait, retry_until, wait_until
from metalk8s_expand.clients.kubernetes import evictions
from metalk8s_expand.clients.salt import keys
from metalk8s_expand.cluster import ownership
from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.node import health, manifest, roles
from metalk8s_expand.domain.removal import plan as plans
from metalk8s_expand.errors import ConflictError, ExpandError, QuorumError, UnreachableError
from metalk8s_expand.removal import discovery, etcd_member, host_reset
from metalk8s_expand.removal import drain as draining
from metalk8s_expand.removal.context import Removal

# The longest time that a blocking call to the host may hold the lock.
CALL_S = 400.0
GUARD_S, DELETE_S = 30.0, 20.0
NOTHING = "already done"


def guard(removal: Removal) -> str:
    """Check the blockers again right before the changes; a single bad answer decides nothing."""
    wait = Wait(
        "the rest of the cluster to work without it",
        GUARD_S,
        node=removal.name,
        hint="repair the other nodes first",
        error=QuorumError,
    )

    def attempt() -> bool | Pending:
        removal.run.lock.tick()
        problems = _guard_problems(removal)
        return Pending(problems) if problems else True

    retry_until(wait, attempt, removal.run.clock)
    return "the rest of the cluster works without it"


def cordon(removal: Removal) -> str:
    """Cordon the Node with the extension's mark, so that a later ``expand`` can undo it."""
    node_obj = removal.run.cluster.kube.node(removal.name)
    if node_obj is None or health.cordon_problems(node_obj):
        return NOTHING
    evictions.cordon(
        removal.run.cluster.kube, removal.name, manifest.uid(node_obj), {manifest.CORDONED: "true"}
    )
    return "cordoned"


def drain(removal: Removal) -> str:
    """Drain the Node and wait, for a limited time, for its volumes to detach."""
    kube, allowed = removal.run.cluster.kube, removal.options.allowed
    moved = draining.drain_node(
        kube,
        removal.name,
        allowed,
        removal.options.drain_timeout_s,
        removal.run.lock.check,
        lambda what: removal.show_wait(plans.DRAIN, what),
        removal.run.clock,
    )
    left = draining.wait_for_volume_detach(
        kube, removal.name, removal.run.lock.tick, removal.run.clock
    )
    removal.notes += [left] if left else []
    return f"{moved} Pods have left"


def leadership(removal: Removal) -> str:
    """Transfer etcd leadership, so that no election is necessary."""
    moved = etcd_member.transfer_leadership(
        removal.etcd(), removal.member, removal.name, removal.run.lock.check, removal.run.clock
    )
    return "another member leads" if moved else NOTHING


def member(removal: Removal) -> str:
    """Remove the member under the guard, after the steps that must precede it."""
    etcd = removal.etcd()
    if removal.member(etcd.members()) is None:
        return NOTHING
    removal.snapshot = removal.run.save_etcd(removal.settings)
    etcd_member.remove_member(
        etcd, removal.member, removal.name, removal.run.lock.check, removal.run.clock
    )
    with suppress(ExpandError):
        voters = len(quorum.voters(etcd.members()))
        removal.notes.append(
            f"etcd has {voters} voters now, and needs {quorum.quorum(voters)} of them"
        )
    return "removed"


def withdraw(removal: Removal) -> str:
    """Stop the host's own API server."""
    return _on_host(removal, host_reset.WITHDRAW)


def retire(removal: Removal) -> str:
    """Reset everything on the host."""
    return _on_host(removal, host_reset.RETIRE)


def key(removal: Removal) -> str:
    """Delete the minion key; a minion that starts again then shows an unknown key."""
    master_keys = keys.Keys(removal.run.cluster.opts)
    deleted = master_keys.delete(removal.name)
    if master_keys.public_key(removal.name) is not None:
        raise ConflictError(
            "the key of its minion still exists after its deletion",
            node=removal.name,
            hint="find out whether a minion of this name still runs: salt-key --print "
            + removal.name,
        )
    return "deleted" if deleted else NOTHING


def node(removal: Removal) -> str:
    """Delete the ownership record, then the Node: without the Node no run would find the record."""
    kube = removal.run.cluster.kube
    ownership.write(
        kube,
        {
            name: (owned, manifest.NOTHING)
            for name, owned in ownership.read(kube, [removal.name]).items()
        },
    )
    node_obj = kube.node(removal.name)
    if node_obj is None:
        return NOTHING
    removal.run.lock.check()
    kube.delete_node(removal.name, manifest.uid(node_obj))
    wait_until(
        Wait(
            "the Node to be gone",
            DELETE_S,
            node=removal.name,
            hint=(
                "find out what blocks its deletion, first its finalizers: kubectl get node --output"
                " yaml"
            ),
        ),
        lambda: _node_problems(removal, manifest.uid(node_obj)),
        removal.run.clock,
    )
    return "deleted"


REMOVAL_STEPS: Mapping[str, Callable[[Removal], str]] = {
    plans.GUARD: guard,
    plans.CORDON: cordon,
    plans.DRAIN: drain,
    plans.LEADERSHIP: leadership,
    plans.API_SERVER: withdraw,
    plans.MEMBER: member,
    plans.RETIRE: retire,
    plans.KEY: key,
    plans.NODE: node,
}


def _guard_problems(removal: Removal) -> list[str]:
    problems = []
    if roles.MASTER in removal.roles:
        nodes = removal.run.cluster.kube.nodes()
        if not discovery.other_masters(nodes, removal.name):
            problems.append("no other API server")
    etcd = discovery.etcd_of_others(removal.run.cluster, removal.name)
    members = etcd.members() if etcd else []
    own = removal.member(members)
    return problems + (quorum.remove_problems(members, own.id) if own else [])


def _on_host(removal: Removal, mode: str) -> str:
    if removal.host is None:
        raise UnreachableError(
            "no address is known for its host",
            node=removal.name,
            hint="declare the node, or use force=True",
        )
    with removal.run.lock.renewing(CALL_S):
        changes, left = host_reset.change(
            removal.run.cluster, removal.settings, removal.host, mode, removal.run.lock.epoch
        )
    removal.notes += [f"left on the host of {removal.name}: {item}" for item in left]
    return "; ".join(changes) or NOTHING


def _node_problems(removal: Removal, uid: str) -> list[str]:
    node_obj = removal.run.cluster.kube.node(removal.name)
    return ["it is still there"] if node_obj is not None and manifest.uid(node_obj) == uid else []
