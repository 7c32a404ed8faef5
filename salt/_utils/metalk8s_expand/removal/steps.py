"""The steps of a removal, by name: each compares the current state with the desired one and changes
it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from metalk8s_expand.clients.host.clock import Wait, wait_until
from metalk8s_expand.clients.kubernetes import evictions
from metalk8s_expand.clients.salt import keys
from metalk8s_expand.cluster import ownership
from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.node import health, manifest, roles
from metalk8s_expand.domain.removal import plan as plans
from metalk8s_expand.errors import ConflictError, ExpandError, QuorumError, UnreachableError
from metalk8s_expand.removal import discovery, etcd_member, host_reset
from metalk8s_expand.removal import drain as draining
from metalk8s_expand.removal.context import Run

# The longest time that a blocking call to the host may hold the lock.
CALL_S = 400.0
GUARD_S, DELETE_S = 30.0, 20.0
NOTHING = "was done already"


def guard(run: Run) -> str:
    """Check the blockers again right before the changes; a single bad answer decides nothing."""
    wait_until(
        Wait(
            "the rest of the cluster to do without it",
            GUARD_S,
            node=run.name,
            hint="bring the others back first",
            error=QuorumError,
        ),
        lambda: _guard_problems(run),
        run.clock,
    )
    return "the rest can do without it"


def cordon(run: Run) -> str:
    """Cordon the Node with the extension's mark, so that a later ``expand`` of the node undoes it."""
    found = run.world.kube.node(run.name)
    if found is None or health.cordon_problems(found):
        return NOTHING
    evictions.cordon(run.world.kube, run.name, manifest.uid(found), {manifest.CORDONED: "true"})
    return "cordoned"


def drain(run: Run) -> str:
    """Drain the Node and wait, for a limited time, for its volumes to detach."""
    kube, allowed = run.world.kube, run.options.allowed
    moved = draining.drain_node(
        kube,
        run.name,
        allowed,
        run.options.drain_timeout_s,
        run.lock.check,
        lambda what: run.wait(plans.DRAIN, what),
        run.clock,
    )
    left = draining.wait_for_volume_detach(kube, run.name, run.lock.tick, run.clock)
    run.notes += [left] if left else []
    return f"{moved} Pods have left"


def leadership(run: Run) -> str:
    """Transfer etcd leadership, so that no election is necessary."""
    moved = etcd_member.transfer_leadership(
        run.etcd(), run.member, run.name, run.lock.check, run.clock
    )
    return "another member leads" if moved else NOTHING


def member(run: Run) -> str:
    """Remove the member under the guard, after the steps that must precede it."""
    etcd = run.etcd()
    if run.member(etcd.members()) is None:
        return NOTHING
    run.before_member_change()
    etcd_member.remove_member(etcd, run.member, run.name, run.lock.check, run.clock)
    with suppress(ExpandError):
        voters = len(quorum.voters(etcd.members()))
        run.notes.append(f"etcd has {voters} voters now, and needs {quorum.quorum(voters)} of them")
    return "removed"


def withdraw(run: Run) -> str:
    """Stop the host's own API server."""
    return _on_host(run, host_reset.WITHDRAW)


def retire(run: Run) -> str:
    """Reset everything on the host."""
    return _on_host(run, host_reset.RETIRE)


def key(run: Run) -> str:
    """Delete the minion key; a minion that starts again then shows an unknown key."""
    master_keys = keys.Keys(run.world.opts)
    deleted = master_keys.delete(run.name)
    if master_keys.public_key(run.name) is not None:
        raise ConflictError(
            "the key of its minion is still there after it was deleted",
            node=run.name,
            hint="find out whether a minion of this name still runs: salt-key --print " + run.name,
        )
    return "deleted" if deleted else NOTHING


def node(run: Run) -> str:
    """Delete the ownership record, then the Node: without the Node no run would find the record."""
    kube = run.world.kube
    ownership.write(
        kube,
        {
            name: (owned, manifest.NOTHING)
            for name, owned in ownership.read(kube, [run.name]).items()
        },
    )
    found = kube.node(run.name)
    if found is None:
        return NOTHING
    run.lock.check()
    kube.delete_node(run.name, manifest.uid(found))
    wait_until(
        Wait(
            "the Node to be gone",
            DELETE_S,
            node=run.name,
            hint="see what keeps it: kubectl get node --output yaml, its finalizers above all",
        ),
        lambda: _node_problems(run, manifest.uid(found)),
        run.clock,
    )
    return "deleted"


ACTIONS: Mapping[str, Callable[[Run], str]] = {
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


def _guard_problems(run: Run) -> list[str]:
    run.lock.tick()
    is_master = roles.MASTER in run.roles
    problems = (
        []
        if not is_master or discovery.other_masters(run.world.kube.nodes(), run.name)
        else ["no other API server"]
    )
    found = discovery.etcd_of_others(run.world, run.name)
    members = found.members() if found else []
    own = run.member(members)
    return problems + (quorum.remove_problems(members, own.id) if own else [])


def _on_host(run: Run, mode: str) -> str:
    if run.host is None:
        raise UnreachableError(
            "nobody says how to reach its host",
            node=run.name,
            hint="declare the node, or use force=True",
        )
    with run.lock.renewing(CALL_S):
        changes, left = host_reset.change(run.world, run.declared, run.host, mode, run.lock.epoch)
    run.notes += [f"left on the host of {run.name}: {item}" for item in left]
    return "; ".join(changes) or NOTHING


def _node_problems(run: Run, uid: str) -> list[str]:
    found = run.world.kube.node(run.name)
    return ["it is still there"] if found is not None and manifest.uid(found) == uid else []
