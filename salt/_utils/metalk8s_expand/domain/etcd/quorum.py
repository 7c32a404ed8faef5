"""Guard etcd's quorum: decide whether a membership change is safe from the members' own status.

The rule is Cluster API's: healthy voters ≥ ⌊projected voters / 2⌋ + 1, where the new member counts
as a voter that is not healthy yet. The only exception is growth from one voter to two, since
otherwise no cluster could grow. A member of unknown health is not healthy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from metalk8s_expand.domain.parsing import addresses

CLIENT_PORT, PEER_PORT = 2379, 2380
# etcd promotes a learner at 90 % of the leader's index. On a long log that is far behind, so this
# limits the number of entries as well.
MAX_LAG = 1000

# What an alarm means, and its remedy. etcd keeps an alarm until an operator disarms it.
ALARMS = {
    "NOSPACE": (
        "a store has reached its quota, so etcd accepts no write; run etcdctl compact REVISION,"
        " etcdctl defrag --cluster and etcdctl alarm disarm, see docs/troubleshooting/errors.rst"
    ),
    "CORRUPT": (
        "the data of this member differs from that of the others, so etcd serves no request;"
        " replace the member, then run etcdctl alarm disarm, see docs/troubleshooting/errors.rst"
    ),
}
UNKNOWN_ALARM = "read etcd's documentation of this alarm, then run etcdctl alarm disarm"


@dataclass(frozen=True)
class Alarm:
    """An alarm of the cluster, raised by one member; ``kind`` is a name such as NOSPACE."""

    member_id: int
    kind: str


@dataclass(frozen=True)
class Member:
    """An etcd member from the voters' member list and its own Status; None means unknown.

    A member without a name was added and has never started. ``db_size`` is the size of its store
    on disk in bytes. ``alarms`` are those of the cluster, which every member reports; they do not
    make the member unhealthy.
    """

    id: int
    name: str
    peer_urls: tuple[str, ...] = ()
    learner: bool = False
    healthy: bool | None = None
    cluster_id: int | None = None
    raft_index: int | None = None
    applied_index: int | None = None
    error: str | None = None
    client_url: str = ""
    leads: bool = False
    db_size: int | None = None
    alarms: tuple[Alarm, ...] = ()

    @property
    def title(self) -> str:
        """Return the name of this member for messages."""
        return (
            f"{self.name or 'unnamed'} ({self.id:x}, {', '.join(self.peer_urls) or 'no peer URL'})"
        )


def peer_url(address: str) -> str:
    """Return the peer URL of the member on a node with this address."""
    return addresses.url("https", address, PEER_PORT)


def client_url(address: str) -> str:
    """Return the client URL of the member on a node with this address."""
    return addresses.url("https", address, CLIENT_PORT)


def member_at(members: Iterable[Member], url: str) -> Member | None:
    """Return the member with this peer URL, which is unique; None without such a member."""
    return next((member for member in members if url in member.peer_urls), None)


def voters(members: Iterable[Member]) -> tuple[Member, ...]:
    return tuple(member for member in members if not member.learner)


def healthy_voters(members: Iterable[Member]) -> tuple[Member, ...]:
    return tuple(member for member in voters(members) if member.healthy is True)


def quorum(count: int) -> int:
    """Return the quorum of this number of voters."""
    return count // 2 + 1


@dataclass(frozen=True)
class Tolerance:
    """The voters of a cluster; ``failures`` is how many more it survives, negative without quorum.

    Learners have no vote and count nowhere.
    """

    voters: int
    healthy: int
    needed: int

    @property
    def failures(self) -> int:
        return self.healthy - self.needed

    def as_dict(self) -> dict[str, int]:
        return {**asdict(self), "failures": self.failures}


def tolerance(members: Iterable[Member]) -> Tolerance:
    """Return how many more failures these members survive."""
    known = tuple(members)
    count = len(voters(known))
    return Tolerance(count, len(healthy_voters(known)), quorum(count))


def lag(members: Iterable[Member], member: Member) -> int | None:
    """Return how many log entries a member is behind the most advanced healthy voter.

    Return None if either index is unknown.
    """
    indexes = [
        voter.raft_index for voter in healthy_voters(members) if voter.raft_index is not None
    ]
    if not indexes or member.applied_index is None:
        return None
    return max(0, max(indexes) - member.applied_index)


def add_problems(
    members: Sequence[Member], newcomer_name: str, newcomer_peer_url: str
) -> list[str]:
    """Return the reasons why this new member may not be added; empty if it may.

    A learner with the new member's own peer URL is no obstacle: an interrupted run added it.
    """
    others = [member for member in members if newcomer_peer_url not in member.peer_urls]
    return [
        *cluster_problems(members),
        *_foreign_problems(others),
        *_taken_problems(members, newcomer_name, newcomer_peer_url),
        *_growth_problems(members, newcomer_name),
    ]


def promote_problems(
    members: Sequence[Member], learner_id: int, max_lag: int = MAX_LAG
) -> list[str]:
    """Return the reasons why this learner may not become a voter; empty if it may.

    A member that is already a voter is no problem: the reply to an earlier promote may be lost.
    """
    learner = _by_id(members, learner_id)
    if learner is None:
        return [f"etcd has no member {learner_id:x}: nothing to promote; add it again"]
    if not learner.learner:
        return []
    others = [member for member in members if member.id != learner_id]
    return [
        *cluster_problems(members),
        *_foreign_problems(others),
        *readiness_problems(members, learner, max_lag),
        *_growth_problems(members, learner.title),
    ]


def remove_problems(members: Sequence[Member], member_id: int) -> list[str]:
    """Return the reasons why this member may not be removed; empty if it may.

    While the addition of another member is unfinished, only an unfinished member may be removed.
    This allows cleaning up an unfinished addition.
    """
    leaving = _by_id(members, member_id)
    if leaving is None:
        return [f"etcd has no member {member_id:x}: nothing to remove"]
    staying = [member for member in members if member.id != member_id]
    problems = [
        *cluster_problems(members),
        *_majority_problems(members),
        *_shrink_problems(staying, leaving),
    ]
    if not _unfinished(leaving):
        problems.extend(_foreign_problems(staying))
    return problems


def cluster_problems(members: Sequence[Member]) -> list[str]:
    """Return why no member may be added, promoted or removed: an alarm, no voter, two clusters."""
    return alarm_problems(members) + identity_problems(members)


def alarm_problems(members: Sequence[Member]) -> list[str]:
    """Return each alarm of the cluster once, with its remedy. An alarm is no fault of one node."""
    names = {member.id: member.name for member in members}
    alarms = dict.fromkeys(alarm for member in members for alarm in member.alarms)
    return [
        f"etcd has the alarm {alarm.kind} of member {names.get(alarm.member_id) or 'unnamed'}"
        f" ({alarm.member_id:x}): {ALARMS.get(alarm.kind, UNKNOWN_ALARM)}"
        for alarm in alarms
    ]


def identity_problems(members: Sequence[Member]) -> list[str]:
    """Return why the member list is no basis for a decision: no voter, or several clusters."""
    if not voters(members):
        return [
            "no voting etcd member is known: read the member list of the existing members first"
        ]
    ids = sorted({member.cluster_id for member in members if member.cluster_id is not None})
    if len(ids) < 2:
        return []
    answers = []
    for member in members:
        if member.cluster_id is not None:
            answers.append(f"{member.name or member.id}: {member.cluster_id:x}")
    return [
        f"etcd members answer with different cluster IDs ({', '.join(answers)}): they belong to"
        " different clusters"
    ]


def health_problems(members: Sequence[Member]) -> list[str]:
    """Return the problems of a finished cluster: an alarm, a learner, an unhealthy voter, two
    cluster IDs.
    """
    problems = alarm_problems(members)
    for member in members:
        if member.learner:
            problems.append(f"etcd member {member.title} is still a learner")
    for member in members:
        if member.healthy is not True:
            problems.append(_unhealthy(member))
    return problems + identity_problems(members)


def steady_problems(members: Sequence[Member]) -> list[str]:
    """Return the problems of a cluster whose membership stays the same during a run.

    A voter may be down, since the run may be the one that repairs it.
    """
    problems = cluster_problems(members)
    for member in members:
        if member.learner or not member.name:
            problems.append(
                f"etcd member {member.title} is a learner or has never started: finish its addition"
                " or remove it first"
            )
    count, healthy = len(voters(members)), len(healthy_voters(members))
    if count and healthy < quorum(count):
        ill = []
        for member in voters(members):
            if not member.healthy:
                ill.append(f"{member.title}: {member.error or 'no answer'}")
        problems.append(
            f"etcd has no quorum: {healthy} of {count} voters are healthy ({'; '.join(ill)})"
        )
    return problems


def readiness_problems(
    members: Sequence[Member], member: Member, max_lag: int = MAX_LAG
) -> list[str]:
    """Return the reasons why this member, learner or voter, is not started, healthy and current."""
    if not member.name:
        return [f"etcd member {member.title} has never started"]
    if member.healthy is not True:
        return [_unhealthy(member)]
    behind = lag(members, member)
    if behind is None:
        return [f"the lag of etcd member {member.title} is unknown"]
    if behind <= max_lag:
        return []
    return [
        f"etcd member {member.title} lags {behind} entries behind, at most {max_lag} are allowed"
    ]


def _growth_problems(members: Sequence[Member], newcomer: str) -> list[str]:
    count, healthy = len(voters(members)), len(healthy_voters(members))
    if healthy >= quorum(count + 1) or count == healthy == 1:
        return []
    return [
        f"etcd would have {count + 1} voters with {newcomer} and need {quorum(count + 1)} of the"
        f" current {count} healthy: {healthy} are ({_blame(members)}); repair the other members"
        " first"
    ]


def _majority_problems(members: Sequence[Member]) -> list[str]:
    count, healthy = len(voters(members)), len(healthy_voters(members))
    if healthy >= quorum(count):
        return []
    return [
        f"etcd has no quorum: {healthy} of {count} voters healthy ({_blame(members)}); repair a"
        " member first"
    ]


def _shrink_problems(staying: Sequence[Member], leaving: Member) -> list[str]:
    count, healthy = len(voters(staying)), len(healthy_voters(staying))
    if leaving.learner or (count and healthy >= quorum(count)):
        return []
    return [
        f"without {leaving.title} etcd would have {count} voters and need {quorum(count)} healthy: "
        f"{healthy} are ({_blame(staying)})"
    ]


def _foreign_problems(others: Iterable[Member]) -> list[str]:
    return [_foreign(member) for member in others if _unfinished(member)]


def _unfinished(member: Member) -> bool:
    """Return whether the member is a learner or has never started."""
    return member.learner or not member.name


def _taken_problems(members: Sequence[Member], name: str, peer_url: str) -> list[str]:
    problems = []
    for member in members:
        own_url = peer_url in member.peer_urls
        if own_url and not member.learner:
            problems.append(
                f"etcd member {member.title} is already a voter at {peer_url}: if its data is lost,"
                " remove it first"
            )
        elif member.name == name and not own_url:
            problems.append(
                f"etcd member {member.title} has the name {name} at another peer URL: remove it"
                " first"
            )
    return problems


def _foreign(member: Member) -> str:
    kind = "a learner" if member.learner else "an unstarted member"
    return f"etcd has {kind} from another run, {member.title}: finish or remove it first"


def _unhealthy(member: Member) -> str:
    state = "unhealthy" if member.healthy is False else "of unknown health"
    return f"etcd member {member.title} is {state}: {member.error or 'no answer'}"


def _blame(members: Iterable[Member]) -> str:
    unhealthy = []
    for member in voters(members):
        if member.healthy is not True:
            unhealthy.append(f"{member.name or member.id}: {member.error or 'not healthy'}")
    return ", ".join(unhealthy) or "all healthy"


def _by_id(members: Iterable[Member], member_id: int) -> Member | None:
    return next((member for member in members if member.id == member_id), None)
