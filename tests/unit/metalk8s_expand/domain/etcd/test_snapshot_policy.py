"""Source of a snapshot, the space it needs, and the old snapshots to delete."""

from __future__ import annotations

from metalk8s_expand.domain.etcd import snapshot_policy
from metalk8s_expand.domain.etcd.quorum import Member

CLUSTER = 0xABC


def member(name: str, **changes: object) -> Member:
    fields = {"healthy": True, "client_url": f"https://{name}:2379", **changes}
    return Member(1, name, **fields)  # type: ignore[arg-type]


def names(*members: Member, local: str = "") -> list[str]:
    return [
        item.name
        for item in snapshot_policy.sources(members, lambda url: bool(local) and local in url)
    ]


def test_sources_are_local_voter_first_and_leader_last() -> None:
    members = member("a", leads=True), member("b"), member("c")
    assert names(*members) == ["b", "c", "a"]
    assert names(*members, local="c") == ["c", "b", "a"]
    assert names(*members, local="a") == ["b", "c", "a"]


def test_sources_are_healthy_voters_only() -> None:
    ill = (
        member("a", healthy=False),
        member("b", healthy=None),
        member("c", learner=True),
        member("d", client_url=""),
    )
    assert names(*ill) == []


def test_needed_space_depends_on_largest_store() -> None:
    assert (
        snapshot_policy.needed([member("a", db_size=1000), member("b", db_size=2000), member("c")])
        == 2200
    )
    assert snapshot_policy.needed([member("a")]) is None


def test_surplus_returns_oldest_snapshots_of_cluster() -> None:
    found = [
        snapshot_policy.snapshot_name(CLUSTER, f"2026112219470{number}") for number in range(5)
    ]
    others = [
        snapshot_policy.snapshot_name(CLUSTER + 1, "1"),
        "etcd.db",
        "notes.txt",
        f".{found[0]}.partial",
        f"{found[0]}.gpg",
    ]
    assert snapshot_policy.surplus([*found, *others], CLUSTER, 3, found[4]) == found[:2]
    assert snapshot_policy.surplus([*found, *others], CLUSTER, 1, found[4]) == found[:4]
    assert snapshot_policy.surplus([*found, *others], CLUSTER, 5, found[4]) == []
    assert snapshot_policy.surplus(found, CLUSTER, 1, found[0]) == found[1:], (
        "that of this run stays, whatever its name"
    )


def test_leftovers_are_partial_files_of_cluster() -> None:
    own, other = (
        snapshot_policy.partial(snapshot_policy.snapshot_name(number, "1"))
        for number in (CLUSTER, CLUSTER + 1)
    )
    assert snapshot_policy.leftovers(
        [own, other, snapshot_policy.snapshot_name(CLUSTER, "1"), ".hidden"], CLUSTER
    ) == [own]
