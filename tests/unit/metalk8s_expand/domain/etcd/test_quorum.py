"""Every row of the guard: after an allowed change, the new member alone cannot lose the quorum."""

from __future__ import annotations

import itertools

import pytest

from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.etcd.quorum import Alarm, Member


def member(number: int, healthy: bool | None = True, **changes: object) -> Member:
    fields = {
        "id": number, "name": f"m{number}", "peer_urls": (f"https://10.0.0.{number}:2380",), "healthy": healthy,
        "cluster_id": 7, "raft_index": 5000, "applied_index": 5000,
    }  # fmt: skip
    return Member(**{**fields, **changes})  # type: ignore[arg-type]


def voters(healthy: int, ill: int = 0) -> list[Member]:
    return [member(n, n <= healthy) for n in range(1, healthy + ill + 1)]


NEW = ("new", "https://10.0.0.9:2380")
LEARNER = member(9, name="new", learner=True)


@pytest.mark.parametrize(
    ("healthy", "ill", "allowed"),
    [
        (1, 0, True), (0, 1, False),
        (2, 0, True), (1, 1, False),
        (3, 0, True), (2, 1, False),
        (4, 0, True), (3, 1, True), (2, 2, False),
        (5, 0, True), (4, 1, True), (3, 2, False),
        (7, 0, True), (5, 2, True), (4, 3, False),
    ],
)  # fmt: skip
def test_add_and_promote_follow_same_rule(healthy: int, ill: int, allowed: bool) -> None:
    members = voters(healthy, ill)
    assert (quorum.add_problems(members, *NEW) == []) is allowed
    assert (quorum.promote_problems([*members, LEARNER], 9) == []) is allowed


def test_voter_of_unknown_health_counts_as_unhealthy() -> None:
    assert quorum.add_problems([member(1), member(2), member(3, None)], *NEW)


@pytest.mark.parametrize(("healthy", "ill"), list(itertools.product(range(2, 8), range(4))))
def test_quorum_survives_new_member_that_never_starts(healthy: int, ill: int) -> None:
    if not quorum.add_problems(voters(healthy, ill), *NEW):
        assert healthy >= quorum.quorum(healthy + ill + 1)


@pytest.mark.parametrize(
    "obstacle",
    [
        pytest.param([], id="nobody"),
        pytest.param([LEARNER], id="no voter"),
        pytest.param([*voters(3), member(4, learner=True)], id="foreign learner"),
        pytest.param([*voters(3), member(4, name="")], id="nameless member"),
        pytest.param(
            [*voters(4), member(9, name="", healthy=None)],
            id="the newcomer is a voter that never started",
        ),
        pytest.param([*voters(4), member(9, name="new")], id="the newcomer votes already"),
        pytest.param([*voters(4), member(5, name="new")], id="the name is taken"),
        pytest.param([*voters(3), member(4, cluster_id=8)], id="two clusters"),
        pytest.param([*voters(3), member(4, alarms=(Alarm(1, "NOSPACE"),))], id="an alarm"),
    ],
)
def test_add_with_obstacle_is_refused(obstacle: list[Member]) -> None:
    assert quorum.add_problems(obstacle, *NEW)


@pytest.mark.parametrize("name", ["", "new"])
def test_learner_of_interrupted_run_is_no_obstacle(name: str) -> None:
    assert (
        quorum.add_problems([*voters(3), member(9, name=name, learner=True, healthy=None)], *NEW)
        == []
    )


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"name": ""}, "never started"),
        ({"healthy": None, "error": "refused"}, "refused"),
        ({"healthy": False}, "unhealthy"),
        ({"applied_index": None}, "unknown"),
        ({"applied_index": 3999}, "1001"),
    ],
)
def test_unready_learner_is_not_promoted(changes: dict[str, object], word: str) -> None:
    learner = member(9, **{"name": "new", "learner": True, **changes})  # type: ignore[arg-type]
    [problem] = quorum.promote_problems([*voters(3), learner], 9)
    assert word in problem


def test_promote_of_voter_passes_and_of_missing_member_is_refused() -> None:
    assert quorum.promote_problems(voters(3), 3) == []
    assert quorum.promote_problems(voters(3), 99)
    assert quorum.promote_problems([*voters(3), LEARNER, member(8, learner=True)], 9)


def test_lag_is_distance_to_most_advanced_healthy_voter() -> None:
    ahead, ill = member(2, raft_index=6000), member(3, False, raft_index=9000)
    assert quorum.lag([member(1), ahead, ill], LEARNER) == 1000
    assert quorum.lag([member(1, raft_index=None)], LEARNER) is None
    assert quorum.lag([member(1)], member(9, applied_index=5001)) == 0


@pytest.mark.parametrize(
    ("healthy", "ill", "leaving", "allowed"),
    [
        (1, 0, 1, False),
        (2, 0, 1, True), (1, 1, 2, False), (1, 1, 1, False),
        (3, 0, 1, True), (2, 1, 3, True), (2, 1, 1, False), (1, 2, 3, False),
        (4, 0, 1, True), (3, 1, 4, True), (3, 1, 1, True), (2, 2, 4, False),
        (5, 0, 1, True), (3, 2, 5, True), (3, 2, 1, False),
    ],
)  # fmt: skip
def test_remove_requires_quorum_before_and_after(
    healthy: int, ill: int, leaving: int, allowed: bool
) -> None:
    assert (quorum.remove_problems(voters(healthy, ill), leaving) == []) is allowed


def test_learner_may_be_removed_while_quorum_exists() -> None:
    assert quorum.remove_problems([*voters(1), LEARNER], 9) == []
    assert quorum.remove_problems([*voters(1, 1), LEARNER], 9)
    assert quorum.remove_problems(voters(3), 99)


@pytest.mark.parametrize(
    "other",
    [member(8, learner=True), member(8, name="", healthy=None)],
    ids=["learner", "unstarted"],
)
def test_remove_during_unfinished_addition_is_refused(other: Member) -> None:
    members = [*voters(4), other]
    [problem] = quorum.remove_problems(members, 1)
    assert "from another run" in problem
    assert quorum.remove_problems(members, other.id) == []


def test_unfinished_additions_can_each_be_removed() -> None:
    members = [*voters(4), member(7, name="", healthy=None), member(8, learner=True)]
    assert (quorum.remove_problems(members, 7), quorum.remove_problems(members, 8)) == ([], [])


def test_messages_name_unhealthy_members() -> None:
    [problem] = quorum.add_problems([member(1), member(2, False, error="connection refused")], *NEW)
    assert "m2: connection refused" in problem


def test_alarm_refuses_every_change_and_is_reported_once() -> None:
    members = [member(number, alarms=(Alarm(2, "NOSPACE"),)) for number in (1, 2, 3)]
    learner = member(9, name="new", learner=True)
    [problem] = quorum.alarm_problems(members)
    assert problem.startswith("etcd has the alarm NOSPACE of member m2 (2): ")
    for command in ("etcdctl compact", "etcdctl defrag", "etcdctl alarm disarm"):
        assert command in problem
    for refused in (
        quorum.add_problems(members, *NEW),
        quorum.promote_problems([*members, learner], 9),
        quorum.remove_problems(members, 1),
        quorum.steady_problems(members),
        quorum.health_problems(members),
    ):
        assert refused == [problem]


@pytest.mark.parametrize(
    ("alarm", "words"),
    [
        (Alarm(2, "CORRUPT"), "CORRUPT of member m2 (2): the data of this member differs"),
        (Alarm(255, "NEW"), "NEW of member unnamed (ff): read etcd's documentation"),
    ],
)
def test_alarm_is_named_with_its_member(alarm: Alarm, words: str) -> None:
    [problem] = quorum.alarm_problems([member(1), member(2, alarms=(alarm,))])
    assert words in problem
