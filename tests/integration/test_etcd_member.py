"""Test minion/etcd_member with real members: addition, repair and refusal.

The members start as the kubelet would start them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from metalk8s_expand.clients.etcd.api import Etcd
from metalk8s_expand.clients.etcd.member_files import MemberFiles
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.runs.lease_rules import LockLostError
from metalk8s_expand.errors import QuorumError, UnreachableError
from metalk8s_expand.minion import etcd_member, fence
from tests.integration.conftest import Growth, Hosts
from tests.integration.daemons import eventually
from tests.integration.etcd_host import Host, is_up, voters

ABSENT_PEER = "https://127.255.255.1:2380"


class Killed(BaseException):
    """The process ends here: no error handler catches this exception."""


def snapshot(host: Host) -> tuple[object, ...]:
    """Return the state of the host that a refused run must not change."""
    config = host.files.config.read_text() if host.files.has_config() else None
    left = (
        sorted(str(path.relative_to(host.root)) for path in host.files.data.glob("*"))
        if host.files.data.exists()
        else []
    )
    return config, left, host.manifest.exists()


def identities(host: Host) -> list[tuple[int, str, bool]]:
    """Return the member list without health."""
    return sorted((member.id, member.name, member.learner) for member in host.members())


def member_id(host: Host, seen_by: Host) -> int:
    """Return the member ID of a host."""
    return next(member.id for member in seen_by.members() if member.name == host.name)


# Addition


def test_three_members_are_added_one_after_another(growth: Growth) -> None:
    assert [list(changes) for changes in growth.changes] == [
        ["configured", "sealed"],
        ["added", "promoted", "sealed"],
        ["added", "promoted", "sealed"],
    ]


def test_second_deployment_changes_nothing(trio: list[Host]) -> None:
    members = trio[:3]
    before = [snapshot(host) for host in members], identities(trio[0]), trio[0].revision()
    assert [host.pending(members) for host in members] == [[], [], []]
    assert [host.deploy(members) for host in members] == [{}, {}, {}]
    assert ([snapshot(host) for host in members], identities(trio[0]), trio[0].revision()) == before


def test_two_concurrent_additions_both_succeed(single: list[Host]) -> None:
    with ThreadPoolExecutor(2) as pool:
        changes = list(pool.map(lambda host: host.deploy(single), single[1:]))
    assert all("added" in item for item in changes)
    assert voters(single[0]) == [host.name for host in single]


# A member whose disk was lost


def lose_disk_after_a_write(trio: list[Host]) -> tuple[Host, Host, Host]:
    """Run the scenario that loses an acknowledged write, and return the hosts a, b and c.

    c misses the write. Then b, one of the two hosts that have it, loses its disk. a is the leader,
    so that no election takes place meanwhile.
    """
    a, b, c = sorted(trio[:3], key=lambda host: not host.leads())
    # A member stores the commit index with the next entry only. If it loses power before, it may
    # start again as a learner and then never stand for election.
    for number in range(3):
        a.put("settled", str(number))
        assert c.get("settled") == str(number)
    c.power_off()
    a.put("acknowledged", "write")
    a.power_off()
    b.power_off()
    b.wipe()
    return a, b, c


def test_wiped_member_does_not_vote_and_is_repaired_by_steps(trio: list[Host]) -> None:
    a, b, c = lose_disk_after_a_write(trio)
    b.power_on()
    c.power_on()
    eventually("the kubelet has tried twice", lambda: len(b.exits) >= 2)
    assert all(code != 0 for code in b.exits)
    assert "cannot fetch cluster info from peer urls" in b.log()
    assert not b.files.has_data()
    assert not b.files.is_listening()
    a.power_on()
    eventually("two healthy voters", is_up(a, [a, c]))
    assert a.get("acknowledged") == "write"

    old_id = member_id(b, seen_by=a)
    assert b.pending(trio[:3]) == [
        f"remove {b.name}, whose data is lost, and add it again as a learner"
    ]
    changes = b.deploy(trio[:3])
    assert list(changes) == ["removed", "added", "promoted", "sealed"]
    assert voters(a) == [host.name for host in trio[:3]]
    assert member_id(b, seen_by=a) != old_id
    assert b.get("acknowledged") == "write"
    assert b.deploy(trio[:3]) == {}


def test_acknowledged_write_is_lost_without_seal(trio: list[Host]) -> None:
    """The control of the test above: with the usual initial configuration, etcd loses the write."""
    cluster = ",".join(f"{host.name}=https://{host.address}:2380" for host in trio[:3])
    _, b, c = lose_disk_after_a_write(trio)
    b.files.write_config({**b.files.read_config(), "initial-cluster": cluster})
    c.power_on()
    b.power_on()
    eventually("a majority without the write", is_up(c, [b, c]))
    assert c.get("acknowledged") == ""


def test_member_that_loses_disk_while_running_is_repaired(trio: list[Host]) -> None:
    a, b, _ = trio[:3]
    b.wipe()
    changes = retried(lambda: b.deploy(trio[:3]))
    assert {"removed", "added", "promoted", "sealed"} <= set(changes)
    assert voters(a) == [host.name for host in trio[:3]]


def retried(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Repeat a command as its error message asks; return the changes of all runs."""
    changes: dict[str, Any] = {}
    for _ in range(3):
        try:
            return {**changes, **run()}
        except UnreachableError as exc:
            print(f"run again: {exc}")
    raise AssertionError("three runs did not finish")


def test_removed_member_is_added_with_old_data_set_aside(trio: list[Host]) -> None:
    a, b, _ = trio[:3]
    eventually(
        "etcd allows it",
        lambda: a.ctl("member", "remove", f"{member_id(b, seen_by=a):x}").returncode == 0,
        15,
    )
    eventually("the removed member has stopped", lambda: b.exits)
    changes = b.deploy(trio[:3])
    assert list(changes) == ["added", "set aside", "promoted", "sealed"]
    assert (b.files.data / str(changes["set aside"]) / "member" / "wal").is_dir()
    assert voters(a) == [host.name for host in trio[:3]]
    assert b.files.read_config()["initial-cluster"] == f"{b.name}=https://{b.address}:2380"


# Interrupted runs


def test_run_killed_before_configuration_is_resumed(
    single: list[Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_the_next_run_finishes(single, monkeypatch, MemberFiles, "write_config")


def test_run_killed_before_promotion_is_resumed(
    single: list[Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_the_next_run_finishes(single, monkeypatch, Etcd, "promote")


def test_run_killed_before_seal_is_resumed(
    single: list[Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_the_next_run_finishes(single, monkeypatch, etcd_member, "_seal")


def test_promotion_waits_for_started_member(single: list[Host]) -> None:
    a, b, _ = single
    b.add(single)
    b.write_manifest()
    eventually("the kubelet was quick", b.files.has_data)
    b.promote(single, start_timeout=3.0)
    assert voters(a) == [a.name, b.name]


def test_configuration_is_sealed_before_promotion(single: list[Host]) -> None:
    clusters: list[str] = []
    b = single[1]

    class Watched(Etcd):
        """Records the initial cluster of the configuration at the time of the promotion."""

        def promote(self, member_id: int) -> None:
            clusters.append(b.files.read_config()["initial-cluster"])
            super().promote(member_id)

    b.deploy(single, Watched)
    assert set(clusters) == {f"{b.name}=https://{b.address}:2380"}


def assert_the_next_run_finishes(
    single: list[Host], monkeypatch: pytest.MonkeyPatch, place: object, name: str
) -> None:
    def die(*_: object) -> None:
        raise Killed

    a, b, _ = single
    with monkeypatch.context() as patched:
        patched.setattr(place, name, die)
        with pytest.raises(Killed):
            b.deploy(single)
    assert len(a.members()) == 2
    b.deploy(single)
    assert voters(a) == [a.name, b.name]
    assert b.deploy(single) == {}


def test_run_killed_before_start_is_resumed(single: list[Host]) -> None:
    a, b, _ = single
    b.add(single)
    learner = next(member.id for member in a.members() if member.learner)
    assert list(b.deploy(single)) == ["configured", "promoted", "sealed"]
    assert member_id(b, seen_by=a) == learner
    assert voters(a) == [a.name, b.name]


def test_lost_replies_are_requested_again(single: list[Host]) -> None:
    lost: list[str] = []

    class Lossy(Etcd):
        """A client that executes each change and loses the first answer to it."""

        def add_learner(self, peer_url: str) -> int:
            return lose(super().add_learner(peer_url), "add")

        def promote(self, member_id: int) -> None:
            lose(super().promote(member_id) or 0, "promote")

    def lose(answer: int, name: str) -> int:
        if name not in lost:
            lost.append(name)
            raise UnreachableError(f"the answer to {name} was lost")
        return answer

    a, b, _ = single
    assert list(b.deploy(single, Lossy)) == ["added", "promoted", "sealed"]
    assert lost == ["add", "promote"]
    assert voters(a) == [a.name, b.name]


# Refusals


def test_addition_beside_foreign_learner_is_refused(single: list[Host]) -> None:
    a, b, _ = single
    a.etcd([], own=True).add_learner(ABSENT_PEER)
    before = identities(a), snapshot(b)
    with pytest.raises(QuorumError, match=r"learner from another run.*127\.255\.255\.1"):
        b.deploy(single, timeout=1.0)
    assert (identities(a), snapshot(b)) == before


def test_addition_with_two_of_three_members_down_is_refused(trio: list[Host]) -> None:
    a, b, c, d = trio
    b.power_off()
    c.power_off()
    before = identities(a), snapshot(d)
    with pytest.raises(QuorumError, match="need 3 of the current 3 healthy"):
        d.deploy(trio[:3], timeout=1.0)
    assert (identities(a), snapshot(d)) == before


def test_repair_with_two_of_three_members_down_is_refused(trio: list[Host]) -> None:
    a, b, c = trio[:3]
    b.power_off()
    c.power_off()
    b.wipe()
    before = identities(a), snapshot(b)
    with pytest.raises(QuorumError, match="lost its data and cannot be removed"):
        b.deploy(trio[:3], timeout=1.0)
    assert (identities(a), snapshot(b)) == before


def add_foreign_learner(seen_by: Host) -> None:
    """Add a member as another process would, without starting it."""
    words = ("member", "add", "foreign", "--learner", f"--peer-urls={ABSENT_PEER}")
    eventually("etcd accepts a learner", lambda: seen_by.ctl(*words).returncode == 0, 15)


def test_repair_beside_foreign_learner_is_refused(trio: list[Host]) -> None:
    a, b, _ = trio[:3]
    add_foreign_learner(a)
    b.power_off()
    b.wipe()
    before = identities(a), snapshot(b)
    with pytest.raises(
        QuorumError, match=r"lost its data and cannot be removed.*learner from another run"
    ):
        b.deploy(trio[:3], timeout=1.0)
    assert (identities(a), snapshot(b)) == before


def test_refused_addition_keeps_data_of_removed_member(trio: list[Host]) -> None:
    a, b, _ = trio[:3]
    b.power_off()
    eventually(
        "etcd allows it",
        lambda: a.ctl("member", "remove", f"{member_id(b, seen_by=a):x}").returncode == 0,
        15,
    )
    add_foreign_learner(a)
    before = identities(a), snapshot(b)
    with pytest.raises(QuorumError, match="learner from another run"):
        b.deploy(trio[:3], timeout=1.0)
    assert (identities(a), snapshot(b)) == before
    assert b.files.has_data()


def test_run_with_older_epoch_does_not_promote(single: list[Host]) -> None:
    a, b, _ = single
    path = str(b.root / "expand-epoch")

    def older() -> object:
        return fence.check_fencing_epoch(path, 6)

    def newer() -> object:
        return fence.check_fencing_epoch(path, 7)

    assert list(b.add(single, admit=older)) == ["added"]
    b.write_manifest()
    newer()
    with pytest.raises(LockLostError, match="the epoch 6, but a job with the epoch 7"):
        b.promote(single, admit=older)
    assert [(member.name, member.learner) for member in a.members() if member.learner] == [
        (b.name, True)
    ]
    assert list(b.deploy(single, admit=newer)) == ["promoted", "sealed"]
    assert voters(a) == [a.name, b.name]


def test_second_cluster_is_refused_while_only_member_is_down(single: list[Host]) -> None:
    a, b, _ = single
    a.power_off()
    with pytest.raises(UnreachableError, match="no etcd member answers"):
        b.deploy([a], new_cluster=True)
    with pytest.raises(QuorumError, match="must not start a second cluster"):
        b.deploy([])
    assert snapshot(b) == (None, [], False)


def test_new_cluster_on_old_data_is_refused(hosts: Hosts) -> None:
    (a,) = hosts(1)
    a.deploy([], new_cluster=True)
    a.power_off()
    a.files.config.unlink()
    with pytest.raises(QuorumError, match="holds data of an earlier one"):
        etcd_member.add_learner(
            Etcd([], a.site.credentials()), a.files, a.wanted(new_cluster=True), Clock()
        )


def test_learner_that_never_starts_is_removed(single: list[Host]) -> None:
    a, b, _ = single
    b.add(single)
    with pytest.raises(QuorumError, match="has never started"):
        b.promote(single, start_timeout=1.0)
    assert [member.name for member in a.members()] == [a.name]
    assert list(b.deploy(single)) == ["added", "promoted", "sealed"]
    assert voters(a) == [a.name, b.name]
