"""Make a host a voting etcd member: add it as a learner under the quorum guard and promote it under
the guard.

This module queries the members again before each change. A run may have been killed between any two
lines of this file, and the reply to an add or a promote may have been lost although etcd executed
it. Before each change it also checks the fencing epoch: the run may have been frozen between any
two lines, and a newer run may hold the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from metalk8s_expand.clients.etcd.api import PKI, Etcd
from metalk8s_expand.clients.etcd.local_server import METRICS, LocalServer
from metalk8s_expand.clients.etcd.member_files import MemberFiles
from metalk8s_expand.clients.host.clock import Clock, Pending, Wait, retry_until, wait_until
from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.parsing import addresses
from metalk8s_expand.errors import ConflictError, DeadlineError, QuorumError, UnreachableError
from metalk8s_expand.minion.learner_start import LearnerStart

# Every host has it, also one of an IPv6 network.
LOOPBACK = "127.0.0.1"
LOG = "/var/log/pods/kube-system_etcd-*/etcd/*.log on the node"


@dataclass(frozen=True)
class DesiredMember:
    """The member that a host must become; ``base`` is etcd's configuration without the initial
    cluster.

    ``admit`` is called right before every change. It raises if this run may no longer change the
    host; see ``fence``.
    """

    name: str
    peer_url: str
    base: Mapping[str, Any]
    new_cluster: bool = False
    timeout: float = 60.0
    start_timeout: float = 120.0
    max_lag: int = 1000
    admit: Callable[[], object] = lambda: None


def desired_member(name: str, address: str, **limits: Any) -> DesiredMember:
    """Return the member of a node at an address, with the page's certificate layout.

    ``limits`` are fields of DesiredMember.
    """
    base = {
        "data-dir": "/var/lib/etcd",
        "listen-peer-urls": quorum.peer_url(address),
        "listen-client-urls": f"{quorum.client_url(LOOPBACK)},{quorum.client_url(address)}",
        "listen-metrics-urls": addresses.url("http", *METRICS),
        "advertise-client-urls": quorum.client_url(address),
        "initial-advertise-peer-urls": quorum.peer_url(address),
        "client-transport-security": {**_tls_files("server"), "client-cert-auth": True},
        "peer-transport-security": {**_tls_files("peer"), "client-cert-auth": True},
        "snapshot-count": 10000,
    }
    return DesiredMember(name, quorum.peer_url(address), base, **limits)


def pending_changes(etcd: Etcd, files: MemberFiles, wanted: DesiredMember) -> list[str]:
    """Return what ``add_learner`` and ``promote_learner`` would do now, for test=True. Change
    nothing.
    """
    if wanted.new_cluster and not etcd.urls:
        return (
            []
            if files.has_config()
            else [f"start a new etcd cluster with {wanted.name} as its only member"]
        )
    member = _own(etcd.members(), wanted)
    if member is None:
        return [f"add {wanted.name} as a learner and promote it"]
    if not member.learner and member.name and not files.has_data():
        return [f"remove {wanted.name}, whose data is lost, and add it again as a learner"]
    return [f"promote {wanted.name}"] if member.learner else []


def add_learner(
    etcd: Etcd, files: MemberFiles, wanted: DesiredMember, clock: Clock
) -> dict[str, Any]:
    """Add the host to the cluster and write its configuration. Return the changes, empty if none
    were needed.

    Raises QuorumError if the guard refuses within ``wanted.timeout`` seconds.
    """
    if wanted.new_cluster and not etcd.urls:
        return _first_member(files, wanted)
    if not etcd.urls:
        raise QuorumError(
            f"{wanted.name} has no known etcd member to join, and it must not start a second"
            " cluster",
            node=wanted.name,
            hint="check that the control-plane Nodes have the label node-role.kubernetes.io/etcd",
        )
    changes: dict[str, Any] = {}
    members = etcd.members()
    member = _own(members, wanted)
    if member is not None and _lost_its_data(member, files):
        _check_removable(wanted, member, members)
        _remove_lost(etcd, files, wanted, member, clock)
        changes["removed"] = f"member {member.id:x}, whose data directory is empty"
        member = None
    if member is None:
        changes.update(_add(etcd, files, wanted, clock))
    elif not files.has_data() or not files.has_config():
        changes["configured"] = f"member {member.id:x} of an earlier run"
        _configure(etcd.members(), files, wanted)
    return changes


def promote_learner(
    etcd: Etcd,
    files: MemberFiles,
    wanted: DesiredMember,
    clock: Clock,
    server: LocalServer | None = None,
) -> dict[str, Any]:
    """Wait until the member has started and is in sync, promote it under the guard, and seal its
    configuration.

    ``server`` is the member's process if the kubelet restarts it when it ends: a learner whose
    start waits in vain is restarted once.

    Remove a learner that does not start, since it blocks every later addition. Keep it if a newer
    run is active, since that run may be about to start it.
    """
    before, started = files.read_config(), clock.monotonic()
    was_voter = True
    start = LearnerStart(server, clock, wanted.admit) if server else None

    def attempt() -> bool | Pending:
        nonlocal was_voter
        if start and start.is_starting():
            return Pending(("it starts",))
        result = _try_promote(etcd, files, wanted)
        was_voter = was_voter and not isinstance(result, Pending)
        return result

    wait = Wait(
        f"the etcd member {wanted.name} to be promoted",
        wanted.start_timeout,
        interval=0.3,
        node=wanted.name,
        hint=(
            "read in the log why the member does not start or stay in sync, then run the same"
            " command again"
        ),
        log=LOG,
        error=QuorumError,
    )
    try:
        retry_until(wait, attempt, clock)
    except QuorumError:
        _withdraw_unstarted(etcd, wanted)
        raise
    elapsed = clock.monotonic() - started
    changes = {} if was_voter else {"promoted": f"{wanted.name} is a voter after {elapsed:.1f} s"}
    if start and start.restarted:
        changes["restarted"] = "the learner, whose start waited for an answer that was lost"
    _seal(files, wanted)
    if files.read_config() == before:
        return changes
    return {
        **changes,
        "sealed": "etcd can no longer start this member with an empty data directory",
    }


def ensure_voting_member(etcd: Etcd, wanted: DesiredMember) -> bool:
    """Return whether the host is a started voter already."""
    member = _own(etcd.members(), wanted)
    return member is not None and not member.learner and bool(member.name)


def _tls_files(certificate: str) -> dict[str, str]:
    return {
        "trusted-ca-file": f"{PKI}/ca.crt",
        "cert-file": f"{PKI}/{certificate}.crt",
        "key-file": f"{PKI}/{certificate}.key",
    }


def _first_member(files: MemberFiles, wanted: DesiredMember) -> dict[str, Any]:
    if files.has_config():
        return {}
    if files.has_data():
        raise QuorumError(
            f"a new etcd cluster was requested, but {files.data} holds data of an earlier one",
            node=wanted.name,
            hint="restore that cluster, or move the directory away by hand",
        )
    _write(files, wanted, {wanted.name: wanted.peer_url}, "new")
    return {"configured": "a new cluster with one member"}


def _own(members: Sequence[Member], wanted: DesiredMember) -> Member | None:
    return quorum.member_at(members, wanted.peer_url)


def _lost_its_data(member: Member, files: MemberFiles) -> bool:
    """Return whether a member that has started has no data: it would vote for writes it has lost.

    etcd sets the name of a member when the member first starts.
    """
    return bool(member.name) and not files.has_data()


def _check_removable(wanted: DesiredMember, member: Member, members: Sequence[Member]) -> None:
    """Raise QuorumError if the guard refuses to remove the member that has lost its data."""
    problems = quorum.remove_problems(members, member.id)
    if problems:
        raise QuorumError(
            f"member {wanted.name} has lost its data and cannot be removed: " + "; ".join(problems),
            node=wanted.name,
            hint="repair the other members first",
            problems=problems,
        )


def _remove_lost(
    etcd: Etcd, files: MemberFiles, wanted: DesiredMember, member: Member, clock: Clock
) -> None:
    _stop_local(files, wanted, clock)
    wanted.admit()
    etcd.remove(member.id)
    _set_aside(files, wanted)


def _stop_local(files: MemberFiles, wanted: DesiredMember, clock: Clock) -> None:
    wanted.admit()
    if not files.withdraw_manifest() and not files.is_listening():
        return
    wait_until(
        Wait("the local etcd to stop", 60, node=wanted.name, log=LOG),
        lambda: ["its peer port still answers"] if files.is_listening() else [],
        clock,
    )


def _set_aside(files: MemberFiles, wanted: DesiredMember) -> str | None:
    wanted.admit()
    return files.set_aside()


def _add(etcd: Etcd, files: MemberFiles, wanted: DesiredMember, clock: Clock) -> dict[str, Any]:
    elapsed = wait_until(
        _acceptance(wanted, wanted.timeout),
        lambda: _guard_problems(etcd.members(), wanted),
        clock,
    )
    # After the guard agrees, since a refusal must not change the host. Before the addition, since
    # etcd must not start on old data.
    _stop_local(files, wanted, clock)
    stale = _set_aside(files, wanted)
    retry_until(
        _acceptance(wanted, wanted.timeout - elapsed), lambda: _try_add(etcd, wanted), clock
    )
    _configure(etcd.members(), files, wanted)
    changes = {"added": f"{wanted.name} as a learner at {wanted.peer_url}"}
    return {**changes, "set aside": stale} if stale else changes


def _acceptance(wanted: DesiredMember, timeout: float) -> Wait:
    return Wait(
        f"the etcd cluster to accept {wanted.name} as a learner",
        timeout,
        node=wanted.name,
        hint="make every etcd member healthy, then run the same command again",
        log=LOG,
        error=QuorumError,
    )


def _guard_problems(members: Sequence[Member], wanted: DesiredMember) -> list[str]:
    return quorum.add_problems(members, wanted.name, wanted.peer_url)


def _try_add(etcd: Etcd, wanted: DesiredMember) -> bool | Pending:
    """Add the learner unless it is a member already or the guard refuses."""
    members = etcd.members()
    if _own(members, wanted) is not None:
        return True
    problems = _guard_problems(members, wanted)
    if problems:
        return Pending(problems)
    wanted.admit()
    try:
        etcd.add_learner(wanted.peer_url)
    except ConflictError as exc:
        return Pending((exc.args[0],))
    return True


def _try_promote(etcd: Etcd, files: MemberFiles, wanted: DesiredMember) -> bool | Pending:
    """Promote the learner unless the guard refuses. Return True when etcd lists it as a voter."""
    members = etcd.members()
    member = _own(members, wanted)
    if member is None:
        return Pending(("it is not a member of the cluster",))
    if not member.learner and member.name:
        return True
    problems = quorum.promote_problems(members, member.id, max_lag=wanted.max_lag)
    if problems:
        return Pending(problems)
    # Seal it before it votes: a run killed in between must not leave a voter that etcd could start
    # on a wiped disk.
    _seal(files, wanted)
    wanted.admit()
    try:
        etcd.promote(member.id)
    except (ConflictError, UnreachableError) as exc:
        return Pending((exc.args[0],))
    return Pending(("the promotion was requested and is not visible yet",))


def _withdraw_unstarted(etcd: Etcd, wanted: DesiredMember) -> None:
    """Remove the unstarted learner, best effort: a failure must not hide the original error."""
    with suppress(ConflictError, UnreachableError):
        member = _own(etcd.members(), wanted)
        if member is not None and member.learner and not member.name:
            wanted.admit()
            etcd.remove(member.id)


def _configure(members: Sequence[Member], files: MemberFiles, wanted: DesiredMember) -> None:
    cluster = {}
    for member in members:
        if member.name and member.peer_urls:
            cluster[member.name] = member.peer_urls[0]
    if not cluster:
        raise DeadlineError("the member list contains no started member", node=wanted.name, log=LOG)
    _write(files, wanted, {**cluster, wanted.name: wanted.peer_url}, "existing")


def _seal(files: MemberFiles, wanted: DesiredMember) -> None:
    """Write the member as the only one of an ``existing`` cluster.

    etcd ignores this setting while it has data, and refuses to start without data. Otherwise the
    kubelet would start the member on a wiped disk under its old ID, and acknowledged writes that
    the member no longer has could be lost.
    """
    alone = {wanted.name: wanted.peer_url}
    if files.read_config() != _settings(wanted, alone, "existing"):
        _write(files, wanted, alone, "existing")


def _write(
    files: MemberFiles, wanted: DesiredMember, cluster: Mapping[str, str], state: str
) -> None:
    wanted.admit()
    files.write_config(_settings(wanted, cluster, state))


def _settings(wanted: DesiredMember, cluster: Mapping[str, str], state: str) -> dict[str, Any]:
    return {
        **wanted.base,
        "name": wanted.name,
        "initial-cluster": ",".join(f"{name}={url}" for name, url in sorted(cluster.items())),
        "initial-cluster-state": state,
    }
