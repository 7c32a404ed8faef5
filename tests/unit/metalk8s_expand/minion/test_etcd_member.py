"""Test how a host becomes a voter of a fake etcd that refuses, loses replies and starts slowly, as the real one does."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.etcd.member_files import MemberFiles
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.etcd.metrics import MemberStart
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.runs.lease_rules import LockLostError
from metalk8s_expand.errors import QuorumError
from metalk8s_expand.minion import etcd_member, fence
from tests.fakes.etcd_members import ADDRESS, HEALTH_INTERVAL_S, NAME, URL, FakeEtcd, voter
from tests.fakes.etcd_server import FakeServer


class Files(MemberFiles):
    """The real files below a directory; only the peer port is fake."""

    listening = False

    def is_listening(self) -> bool:
        return self.listening


class Setting:
    """One host, one cluster, one clock."""

    def __init__(self, base: Path, clock: Clock, voters: int = 1) -> None:
        self.clock = clock
        self.etcd: Any = FakeEtcd(*map(voter, range(1, voters + 1)), clock=clock)
        self.files = Files(
            str(base / "data"),
            str(base / "etc" / "etcd.yaml"),
            str(base / "etcd-manifest.yaml"),
            ADDRESS,
        )
        self.files.data.mkdir()
        self.wanted = etcd_member.desired_member(NAME, ADDRESS, timeout=60.0, start_timeout=120.0)

    def added(self, **changes: Any) -> dict[str, Any]:
        return etcd_member.add_learner(
            self.etcd, self.files, replace(self.wanted, **changes), self.clock
        )

    def promoted(self, server: Any = None) -> dict[str, Any]:
        return etcd_member.promote_learner(self.etcd, self.files, self.wanted, self.clock, server)

    def pending(self, **changes: Any) -> list[str]:
        return etcd_member.pending_changes(self.etcd, self.files, replace(self.wanted, **changes))

    def started(self) -> None:
        """Simulate that the kubelet has started the member."""
        [own] = [member.id for member in self.etcd.listed.values() if URL in member.peer_urls]
        self.etcd.start(own)
        self.write_data()

    def write_data(self) -> None:
        (self.files.data / "member" / "wal").mkdir(parents=True, exist_ok=True)
        (self.files.data / "member" / "wal" / "0.wal").touch()

    @property
    def world(self) -> tuple[Any, ...]:
        """Everything that a run can change."""
        data = sorted(str(path) for path in self.files.data.rglob("*"))
        return dict(self.etcd.listed), self.files.read_config(), self.files.manifest.exists(), data

    @property
    def cluster(self) -> tuple[str, str]:
        config = self.files.read_config()
        return config["initial-cluster"], config["initial-cluster-state"]


@pytest.fixture
def one(tmp_path: Path, clock: Clock) -> Setting:
    return Setting(tmp_path, clock)


@pytest.fixture
def three(tmp_path: Path, clock: Clock) -> Setting:
    return Setting(tmp_path, clock, voters=3)


SEALED = (f"{NAME}={URL}", "existing")


def test_fresh_host_is_added_promoted_and_sealed(one: Setting) -> None:
    assert one.pending() == ["add cp-1 as a learner and promote it"]
    assert one.added() == {"added": f"cp-1 as a learner at {URL}"}
    assert one.cluster == (f"cp-1={URL},m1=https://10.0.0.1:2380", "existing")
    assert one.files.config.stat().st_mode & 0o777 == 0o600
    assert one.pending() == ["promote cp-1"]
    one.started()
    assert "promoted" in one.promoted()
    assert one.etcd.changed == [f"add {URL}", "promote 101"]
    assert one.cluster == SEALED


def test_configuration_is_sealed_before_promotion(one: Setting) -> None:
    """A run that is killed in between must not leave a voter whose wiped disk could be started."""
    one.added()
    one.started()
    promote, sealed = one.etcd.promote, []

    def watched(member_id: int) -> None:
        sealed.append(one.cluster)
        promote(member_id)

    one.etcd.promote = watched
    one.promoted()
    assert sealed == [SEALED]


def test_unsealed_voter_is_sealed(one: Setting) -> None:
    one.added()
    one.started()
    one.etcd.start(101, learner=False)
    assert set(one.promoted()) == {"sealed"}
    assert one.cluster == SEALED
    assert one.promoted() == {}


def test_a_second_run_changes_nothing(one: Setting) -> None:
    one.added()
    one.started()
    one.promoted()
    before = one.files.config.stat().st_mtime_ns
    assert (one.pending(), one.added(), one.promoted()) == ([], {}, {})
    assert one.files.config.stat().st_mtime_ns == before
    assert one.etcd.changed == [f"add {URL}", "promote 101"]


def test_second_run_with_slow_members_changes_nothing(one: Setting) -> None:
    one.added()
    one.started()
    one.promoted()
    ask = one.etcd.members

    def slowly() -> list[Member]:
        one.clock.sleep(3.0)
        found: list[Member] = ask()
        return found

    one.etcd.members = slowly
    assert one.promoted() == {}


def test_addition_waits_until_etcd_reports_healthy(three: Setting) -> None:
    three.etcd.refuse_until = three.clock.monotonic() + HEALTH_INTERVAL_S
    assert "added" in three.added()
    assert three.clock.monotonic() - 1000.0 == pytest.approx(HEALTH_INTERVAL_S, abs=1.0)


def test_promotion_waits_while_etcd_does_not_answer(one: Setting) -> None:
    one.added()
    one.started()
    one.etcd.down_until = one.clock.monotonic() + 20
    assert "promoted" in one.promoted()


def test_learner_that_waits_for_a_lost_answer_is_restarted(one: Setting) -> None:
    """Nobody asks it before: its client port would let the question wait."""
    one.added()
    one.started()
    server, asked = FakeServer(restarted=MemberStart()), []
    members = one.etcd.members
    one.etcd.members = lambda: asked.append(server.ended) or members()
    changes = one.promoted(server)
    assert set(changes) == {"promoted", "restarted", "sealed"}
    assert set(asked) == {1}


def test_voter_that_has_no_leader_for_a_moment_is_unchanged(one: Setting) -> None:
    one.added()
    one.started()
    one.promoted()
    server = FakeServer(MemberStart(starting=True))
    one.clock.sleep = lambda seconds: setattr(server, "state", MemberStart())  # type: ignore[method-assign]
    assert one.promoted(server) == {}


def test_lost_reply_to_addition_is_tolerated(one: Setting) -> None:
    one.etcd.lost_replies = ["add"]
    one.added()
    assert one.etcd.changed == [f"add {URL}"]
    assert one.cluster[1] == "existing"


def test_lost_reply_to_promotion_is_tolerated(one: Setting) -> None:
    one.added()
    one.started()
    one.etcd.lost_replies = ["promote"]
    assert "promoted" in one.promoted()
    assert one.etcd.changed[1:] == ["promote 101"]
    assert one.cluster == SEALED


@pytest.mark.parametrize("with_config", [False, True])
def test_unstarted_learner_of_interrupted_run_is_reused(one: Setting, with_config: bool) -> None:
    one.added()
    if not with_config:
        one.files.config.unlink()
    assert one.added() == {"configured": "member 65 of an earlier run"}
    assert one.etcd.changed == [f"add {URL}"]
    assert one.cluster == (f"cp-1={URL},m1=https://10.0.0.1:2380", "existing")


def test_started_learner_of_interrupted_run_is_promoted(one: Setting) -> None:
    one.added()
    one.started()
    assert one.added() == {}
    assert "promoted" in one.promoted()


@pytest.mark.parametrize("learner", [False, True])
def test_member_without_data_never_starts_again(three: Setting, learner: bool) -> None:
    three.etcd.listed[50] = voter(50, name=NAME, peer_urls=(URL,), learner=learner)
    three.files.write_config({"initial-cluster-state": "existing"})
    three.files.manifest.write_text("a Pod")
    (three.files.data / "member" / "snap").mkdir(parents=True)
    wanted = (
        ["promote cp-1"]
        if learner
        else ["remove cp-1, whose data is lost, and add it again as a learner"]
    )
    assert three.pending() == wanted
    changes = three.added()
    assert changes["removed"] == "member 32, whose data directory is empty"
    assert three.etcd.changed == ["remove 50", f"add {URL}"]
    assert not three.files.manifest.exists(), "the kubelet would have started it under its old ID"
    assert [path.name.partition("-")[0] for path in three.files.data.iterdir()] == ["stale"]
    assert 50 not in three.etcd.listed


def test_member_without_data_stops_before_removal(three: Setting) -> None:
    three.etcd.listed[50] = voter(50, name=NAME, peer_urls=(URL,))
    three.files.manifest.write_text("a Pod")
    three.files.listening = True
    with pytest.raises(Exception, match="peer port still answers"):
        three.added()
    assert three.etcd.changed == []


def test_member_without_data_is_kept_if_removal_costs_quorum(three: Setting) -> None:
    del three.etcd.listed[3]
    three.etcd.listed |= {2: voter(2, False), 50: voter(50, name=NAME, peer_urls=(URL,))}
    with pytest.raises(QuorumError, match="cannot be removed") as error:
        three.added()
    assert error.value.problems
    assert three.etcd.changed == []


def test_member_without_data_is_kept_while_foreign_learner_exists(three: Setting) -> None:
    """The guard would refuse the replacement, and a member would be missing until an operator repairs the cluster."""
    three.etcd.listed |= {50: voter(50, name=NAME, peer_urls=(URL,)), 60: voter(60, learner=True)}
    three.files.manifest.write_text("a Pod")
    before = three.world
    with pytest.raises(QuorumError, match=r"cannot be removed.*learner from another run"):
        three.added()
    assert three.world == before


def test_data_of_removed_member_is_set_aside(one: Setting) -> None:
    one.write_data()
    changes = one.added()
    assert set(changes) == {"added", "set aside"}
    assert (Path(changes["set aside"]) / "member" / "wal" / "0.wal").exists()
    assert not one.files.has_data()


OBSTACLES: dict[str, Callable[[FakeEtcd], None]] = {
    "a foreign learner": lambda etcd: etcd.listed.update({60: voter(60, learner=True)}),
    "a foreign member that never started": lambda etcd: etcd.listed.update(
        {60: voter(60, name="", healthy=False)}
    ),
    "an unhealthy voter": lambda etcd: etcd.listed.update({3: voter(3, False)}),
    "another cluster": lambda etcd: etcd.listed.update({3: voter(3, cluster_id=8)}),
    "its name elsewhere": lambda etcd: etcd.listed.update({4: voter(4, name=NAME)}),
}


@pytest.mark.parametrize("obstacle", OBSTACLES.values(), ids=OBSTACLES)
def test_guard_refuses_addition(three: Setting, obstacle: Callable[[FakeEtcd], None]) -> None:
    obstacle(three.etcd)
    with pytest.raises(QuorumError) as error:
        three.added()
    assert error.value.problems
    assert error.value.node == NAME
    assert three.etcd.changed == []
    assert not three.files.has_config(), "there must be nothing that could be started"
    assert three.clock.monotonic() - 1000.0 == pytest.approx(60.0, abs=1.0)


@pytest.mark.parametrize("obstacle", OBSTACLES.values(), ids=OBSTACLES)
def test_refused_addition_does_not_change_host(
    three: Setting, obstacle: Callable[[FakeEtcd], None]
) -> None:
    obstacle(three.etcd)
    three.write_data()
    three.files.write_config({"name": NAME})
    three.files.manifest.write_text("a Pod")
    before = three.world
    with pytest.raises(QuorumError):
        three.added()
    assert three.world == before


def test_old_data_is_set_aside_before_addition(one: Setting) -> None:
    """A run that is killed in between must not leave a learner that starts on old data."""
    one.write_data()
    add, there = one.etcd.add_learner, []

    def watched(peer_url: str) -> int:
        there.append(one.files.has_data())
        number: int = add(peer_url)
        return number

    one.etcd.add_learner = watched
    one.added()
    assert there == [False]


def test_addition_keeps_total_timeout(three: Setting) -> None:
    three.etcd.listed[3] = voter(3, False)
    three.etcd.refuse_until = float("inf")
    ask = three.etcd.members

    def members() -> list[Member]:
        if three.clock.monotonic() > 1040.0:
            three.etcd.listed[3] = voter(3)
        found: list[Member] = ask()
        return found

    three.etcd.members = members
    with pytest.raises(QuorumError, match="unhealthy cluster"):
        three.added()
    assert three.clock.monotonic() - 1000.0 == pytest.approx(60.0, abs=1.0)


def test_guard_permits_addition_after_obstacle_ends(three: Setting) -> None:
    three.etcd.listed[3] = voter(3, False)
    ask, asked = three.etcd.members, []

    def members() -> list[Member]:
        asked.append(time.monotonic())
        if len(asked) > 5:
            three.etcd.listed[3] = voter(3)
        found: list[Member] = ask()
        return found

    three.etcd.members = members
    assert "added" in three.added()


def test_a_learner_that_never_starts_is_withdrawn(one: Setting) -> None:
    one.added()
    with pytest.raises(QuorumError, match="never started") as error:
        one.promoted()
    assert error.value.log is not None
    assert one.etcd.changed == [f"add {URL}", "remove 101"]
    assert "added" in one.added(), "the same command again starts afresh"


@pytest.mark.parametrize("state", [{"healthy": False, "error": "no leader"}, {"applied_index": 1}])
def test_started_learner_that_lags_is_kept_as_learner(one: Setting, state: dict[str, Any]) -> None:
    one.added()
    one.started()
    one.etcd.start(101, **state)
    with pytest.raises(QuorumError):
        one.promoted()
    assert one.etcd.changed == [f"add {URL}"]
    assert one.cluster != SEALED


def test_original_error_is_kept_if_removal_of_learner_fails(one: Setting) -> None:
    one.added()
    one.etcd.down_until = float("inf")
    with pytest.raises(QuorumError, match="no etcd member answers"):
        one.promoted()


def test_promotion_of_non_member_is_refused(one: Setting) -> None:
    with pytest.raises(QuorumError, match="not a member"):
        one.promoted()
    assert one.etcd.changed == []


def test_guard_checks_promotion(three: Setting) -> None:
    three.added()
    three.started()
    three.etcd.listed[3] = voter(3, False)
    with pytest.raises(QuorumError):
        three.promoted()
    assert three.etcd.changed == [f"add {URL}"]


class TestNewCluster:
    @pytest.fixture
    def alone(self, one: Setting) -> Setting:
        one.etcd.urls = ()
        return one

    def test_new_cluster_starts_without_data(self, alone: Setting) -> None:
        assert alone.pending(new_cluster=True) == [
            "start a new etcd cluster with cp-1 as its only member"
        ]
        assert alone.added(new_cluster=True) == {"configured": "a new cluster with one member"}
        assert alone.cluster == (f"{NAME}={URL}", "new")
        assert (alone.pending(new_cluster=True), alone.added(new_cluster=True)) == ([], {})

    def test_new_cluster_on_old_data_is_refused(self, alone: Setting) -> None:
        alone.write_data()
        with pytest.raises(QuorumError, match="holds data"):
            alone.added(new_cluster=True)
        assert not alone.files.has_config()

    def test_new_cluster_without_request_is_refused(self, alone: Setting) -> None:
        with pytest.raises(QuorumError, match="second cluster"):
            alone.added()
        assert not alone.files.has_config()

    def test_host_beside_existing_cluster_joins_it(self, one: Setting) -> None:
        assert "added" in one.added(new_cluster=True)
        assert one.cluster[1] == "existing"


def fresh(setting: Setting) -> None:
    """Leave the host without a member."""


def lost(setting: Setting) -> None:
    setting.etcd.listed[50] = voter(50, name=NAME, peer_urls=(URL,))
    setting.files.write_config({"initial-cluster-state": "existing"})
    setting.files.manifest.write_text("a Pod")
    (setting.files.data / "member" / "snap").mkdir(parents=True)


def removed(setting: Setting) -> None:
    setting.write_data()
    setting.files.manifest.write_text("a Pod")


def interrupted(setting: Setting) -> None:
    setting.etcd.add_learner(URL)


def unsealed(setting: Setting) -> None:
    setting.etcd.listed[50] = voter(50, name=NAME, peer_urls=(URL,))
    setting.write_data()
    setting.files.write_config({"initial-cluster-state": "existing"})


def unstarted(setting: Setting) -> None:
    setting.started = lambda: None  # type: ignore[method-assign]


def first(setting: Setting) -> None:
    setting.etcd.urls = ()
    setting.wanted = replace(setting.wanted, new_cluster=True)


# The state that a run finds and the changes that it makes.
FOUND: dict[Callable[[Setting], None], list[str]] = {
    fresh: ["add_learner", "write_config", "write_config", "promote"],
    lost: [
        "withdraw_manifest",
        "remove",
        "set_aside",
        "add_learner",
        "write_config",
        "write_config",
        "promote",
    ],
    removed: [
        "withdraw_manifest",
        "set_aside",
        "add_learner",
        "write_config",
        "write_config",
        "promote",
    ],
    interrupted: ["write_config", "write_config", "promote"],
    unsealed: ["write_config"],
    unstarted: ["add_learner", "write_config", "remove"],
    first: ["write_config"],
}


class Fenced:
    """A run of epoch 6 on a host where a run of epoch 7 starts at the check of this number, or never."""

    def __init__(
        self, base: Path, clock: Clock, prepare: Callable[[Setting], None], overtaken_at: int = 0
    ) -> None:
        base.mkdir()
        self.epoch = str(base / "expand-epoch")
        self.setting = Setting(base, clock, voters=3)
        self.overtaken_at = overtaken_at
        self.asked = 0
        self.at_the_question: tuple[Any, ...] = ()
        self.events: list[str] = []
        prepare(self.setting)
        for thing, name in (
            *(
                (self.setting.files, name)
                for name in ("withdraw_manifest", "set_aside", "write_config")
            ),
            *((self.setting.etcd, name) for name in ("remove", "add_learner", "promote")),
        ):
            setattr(thing, name, self._noted(name, getattr(thing, name)))
        self.setting.wanted = replace(self.setting.wanted, admit=self._admit)

    def deploy(self) -> None:
        """Run the states in their order."""
        self.setting.added()
        if not self.setting.etcd.urls:
            return
        if not self.setting.files.has_data():
            self.setting.started()
        self.setting.promoted()

    def go_on_as_the_newer(self) -> None:
        self.setting.wanted = replace(
            self.setting.wanted, admit=lambda: fence.check_fencing_epoch(self.epoch, 7)
        )
        self.deploy()

    def _admit(self) -> None:
        self.asked += 1
        self.events.append("asked")
        if self.asked == self.overtaken_at:
            fence.check_fencing_epoch(self.epoch, 7)
            self.at_the_question = self.setting.world
        fence.check_fencing_epoch(self.epoch, 6)

    def _noted(self, name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            before = self.setting.world
            try:
                return change(*arguments)
            finally:
                if self.setting.world != before:
                    self.events.append(name)

        return noted


@pytest.mark.parametrize("found", FOUND, ids=lambda found: str(found.__name__))
class TestFence:
    def test_epoch_is_checked_right_before_every_change(
        self, tmp_path: Path, clock: Clock, found: Callable[[Setting], None]
    ) -> None:
        run = Fenced(tmp_path / "run", clock, found)
        with suppress(QuorumError):
            run.deploy()
        assert [event for event in run.events if event != "asked"] == FOUND[found]
        before = ["", *run.events]
        assert all(
            before[number] == "asked" for number, event in enumerate(run.events) if event != "asked"
        ), run.events

    def test_run_with_old_epoch_makes_no_further_change(
        self, tmp_path: Path, clock: Clock, found: Callable[[Setting], None]
    ) -> None:
        undisturbed = Fenced(tmp_path / "undisturbed", clock, found)
        with suppress(QuorumError):
            undisturbed.deploy()
        for number in range(1, undisturbed.asked + 1):
            run = Fenced(tmp_path / f"run-{number}", clock, found, overtaken_at=number)
            with pytest.raises(LockLostError, match="the epoch 6, but a job with the epoch 7"):
                run.deploy()
            assert run.asked == number, "it must end at once"
            assert run.setting.world == run.at_the_question
            if found not in (unstarted, first):
                run.go_on_as_the_newer()
                assert etcd_member.ensure_voting_member(run.setting.etcd, run.setting.wanted)


def test_configuration_uses_declared_address() -> None:
    base = etcd_member.desired_member(NAME, ADDRESS).base
    assert base["listen-peer-urls"] == base["initial-advertise-peer-urls"] == URL
    assert base["advertise-client-urls"] == "https://10.0.0.9:2379"
    for side in ("client-transport-security", "peer-transport-security"):
        assert base[side]["client-cert-auth"] is True
        assert base[side]["trusted-ca-file"] == "/etc/kubernetes/pki/etcd/ca.crt"


def test_voting(one: Setting) -> None:
    assert etcd_member.ensure_voting_member(one.etcd, one.wanted) is False
    one.added()
    one.started()
    assert etcd_member.ensure_voting_member(one.etcd, one.wanted) is False
    one.promoted()
    assert etcd_member.ensure_voting_member(one.etcd, one.wanted) is True
