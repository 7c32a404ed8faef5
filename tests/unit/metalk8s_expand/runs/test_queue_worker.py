"""The queue worker: successful and failed expansions, other runs, and killed workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from metalk8s_expand.clients.kubernetes.lease import stamp
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.expansion.plan import NodePlan, Plan, SelectPlan
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.reports.terminal.document import text_of
from metalk8s_expand.domain.runs.queue_rules import ATTEMPTS, BEGUN
from metalk8s_expand.domain.steps import PlannedStep
from metalk8s_expand.errors import (
    ExpandError,
    LockedError,
    QuorumError,
    SettingsError,
    UnreachableError,
)
from metalk8s_expand.runs import queue_worker, request_queue
from tests.fakes.clock import FakeClock
from tests.fakes.kube import FakeKube, down

NAMES = ("w-1", "w-2", "w-3")


class Site:
    """A cluster with the nodes ``there``.

    The plan refuses the nodes ``refused`` and the nodes ``failing`` fail, each for its reason.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.kube = FakeKube()
        self.declared = list(NAMES)
        self.there: set[str] = set()
        self.refused: dict[str, str] = {}
        self.failing: dict[str, str] = {}
        self.error: BaseException | None = None
        self.killed = False
        self.expansions: list[tuple[str, ...]] = []
        self.waits: list[float] = []
        self.lease: dict[str, Any] | None = None
        self.pillars = 0

    def settings(self) -> Settings:
        self.pillars += 1
        return Settings(nodes={name: Node(name, "2.0", ("node",), ()) for name in self.declared})

    def plan(self, declared: Settings, names: Sequence[str]) -> Plan:
        chosen = declared.chosen(names)
        plans = [
            NodePlan(
                node,
                () if node.name in self.refused else (PlannedStep("deploy", ""),),
                refused=self.refused.get(node.name),
            )
            for node in chosen
            if node.name not in self.there
        ]
        return Plan(
            workers=tuple(plans),
            unchanged=tuple(node.name for node in chosen if node.name in self.there),
        )

    def expand(self, names: Sequence[str], wait_s: float, admit: SelectPlan) -> dict[str, Any]:
        self.waits.append(wait_s)
        if isinstance(self.error, LockedError):
            raise self.error
        found = admit(self.plan(self.settings(), names))
        assert not found.refused
        self.expansions.append(tuple(item.node.name for item in found.nodes))
        if self.killed:
            raise KeyboardInterrupt
        if self.error:
            raise self.error
        nodes = [self._node(item.node.name) for item in found.nodes]
        return {"nodes": nodes, "retcode": 8 if self.failing else 0}

    def _node(self, name: str) -> dict[str, Any]:
        reason = self.failing.get(name)
        if reason is None:
            self.there.add(name)
        error = {"message": reason} if reason and not reason.startswith("skipped") else None
        return {
            "name": name,
            "ok": reason is None,
            "error": error,
            "skipped": reason if reason and not error else None,
        }

    def get(self) -> dict[str, Any] | None:
        """Return the Lease."""
        return self.lease

    def ask(self, *names: Any) -> None:
        for name in names:
            queue_worker.request(self.kube, self.settings, name, False, self.clock)

    def work(self) -> dict[str, Any]:
        turn = queue_worker.QueueWorker(
            self.kube, self, self.settings, self.plan, self.expand, self.clock
        )
        return turn.process()

    @property
    def asked(self) -> dict[str, Any]:
        return {
            row["node"]: (row["attempts"], row["error"]) for row in queue_worker.rows(self.kube)
        }


@pytest.fixture
def site(clock: FakeClock) -> Site:
    return Site(clock)


@pytest.mark.parametrize(
    "node",
    ["nobody", "{{ 7 }}", "a" * 10_000, "w-1\n", None, ["w-1"], {"w-1": 1}, True, 1.0, b"w-1", ""],
)
def test_request_of_undeclared_node_is_not_stored(site: Site, node: Any) -> None:
    with pytest.raises(SettingsError, match="is refused") as caught:
        site.ask(node)
    assert len(caught.value.message) < 400
    assert site.kube.writes == []


def test_hundred_equal_requests_are_one_expansion(site: Site) -> None:
    site.ask(*["w-1"] * 100)
    assert site.pillars == 1, "the first alone renders the pillar"
    assert site.work()["queue"] == []
    assert site.work()["report"] is None
    assert site.expansions == [("w-1",)]


def test_request_of_existing_node_needs_no_expansion(site: Site) -> None:
    site.there = {"w-1"}
    site.ask("w-1")
    found = site.work()
    assert (found["done"], found["report"], found["queue"]) == (["w-1"], None, [])
    assert site.expansions == []


def test_empty_queue_renders_no_pillar(site: Site) -> None:
    assert site.work()["queue"] == []
    assert site.pillars == 0


def test_requests_stay_while_other_run_holds_lock(site: Site) -> None:
    site.ask("w-1")
    site.lease = {
        "spec": {
            "holderIdentity": "other",
            "renewTime": stamp(site.clock.now() - 30),
            "leaseDurationSeconds": 60,
        }
    }
    site.error = LockedError("held by another")
    found = site.work()
    assert (found["locked"], found["retcode"], site.waits) == ("held by another", 0, [0])
    assert site.asked == {"w-1": (0, None)}
    assert "Another run is active, the requests stay: held by another" in text_of(
        queue_worker.render_requests(found)
    )


def test_worker_waits_until_silent_holder_expires(site: Site) -> None:
    site.ask("w-1")
    site.lease = {
        "spec": {
            "holderIdentity": "other",
            "renewTime": stamp(site.clock.now() - 300),
            "leaseDurationSeconds": 60,
        }
    }
    assert site.work()["queue"] == []
    assert site.waits == [75]


def test_failed_request_is_retried_up_to_limit(site: Site) -> None:
    site.ask("w-1", "w-2")
    site.failing = {"w-1": "it broke"}
    assert site.work()["retcode"] == 8
    assert site.asked == {"w-1": (1, "it broke")}
    for _ in range(600):
        site.clock.sleep(10)
        site.work()
    assert site.expansions == [("w-1", "w-2")] + [("w-1",)] * (ATTEMPTS - 1)
    assert queue_worker.rows(site.kube)[0]["parked"]
    site.ask("w-1")
    site.work()
    assert len(site.expansions) == ATTEMPTS, (
        "an event does not try again what a person must look at"
    )
    site.failing = {}
    queue_worker.request(site.kube, site.settings, "w-1", True, site.clock)
    assert site.work()["queue"] == []


def test_skipped_host_is_retried(site: Site) -> None:
    site.ask("w-1")
    site.failing = {"w-1": "skipped: no SSH"}
    site.work()
    assert site.asked == {"w-1": (1, "skipped: no SSH")}


def test_request_of_node_added_by_hand_is_removed(site: Site) -> None:
    site.ask("w-1")
    site.failing = {"w-1": "it broke"}
    site.work()
    site.there = {"w-1"}
    assert site.work()["queue"] == []


def test_refused_node_does_not_delay_other_nodes(site: Site) -> None:
    site.ask("w-1", "w-2")
    site.refused = {"w-1": "it has other roles"}
    site.work()
    assert site.expansions == [("w-2",)]
    assert site.asked == {"w-1": (1, "it has other roles")}


def test_killed_worker_keeps_request_up_to_limit(site: Site) -> None:
    site.ask("w-1")
    site.killed = True
    for _ in range(ATTEMPTS):
        with pytest.raises(KeyboardInterrupt):
            site.work()
        assert list(site.asked) == ["w-1"]
        site.clock.sleep(3600)
    assert site.asked == {"w-1": (ATTEMPTS, BEGUN)}
    assert site.work()["report"] is None


def test_request_of_killed_worker_is_retried(site: Site) -> None:
    site.ask("w-1")
    site.killed = True
    with pytest.raises(KeyboardInterrupt):
        site.work()
    site.killed = False
    site.clock.sleep(61)
    assert site.work()["queue"] == []
    assert site.there == {"w-1"}


def test_unhealthy_cluster_costs_no_attempt(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: Any) -> Any:
        raise QuorumError("etcd is not well")

    site.ask("w-1")
    monkeypatch.setattr(site, "expand", refuse)
    for _ in range(2 * ATTEMPTS):
        with pytest.raises(QuorumError):
            site.work()
    assert site.asked == {"w-1": (0, "etcd is not well")}


@pytest.mark.parametrize("error", [UnreachableError("the API is away"), LockedError("lost it")])
def test_error_of_whole_expansion_is_raised_and_stored(
    site: Site, error: ExpandError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(names: Sequence[str], wait_s: float, admit: SelectPlan) -> Any:
        admit(site.plan(site.settings(), names))
        raise error

    site.ask("w-1")
    monkeypatch.setattr(site, "expand", half)
    with pytest.raises(type(error)):
        site.work()
    assert site.asked == {"w-1": (1, error.message)}


def test_failed_queue_write_hides_no_error(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*words: Any) -> Any:
        site.kube.fail = down(10_000)
        raise QuorumError("etcd is not well")

    site.ask("w-1")
    monkeypatch.setattr(site, "expand", away)
    with pytest.raises(QuorumError):
        site.work()


def test_request_of_node_no_longer_declared_is_removed(site: Site) -> None:
    site.ask("w-1", "w-2")
    site.declared.remove("w-1")
    site.work()
    assert (site.expansions, request_queue.read(site.kube)) == ([("w-2",)], {})


def test_result_is_rendered_as_text(site: Site) -> None:
    assert text_of(queue_worker.render_requests(site.work())) == "No request is pending."
    site.ask("w-1")
    site.failing = {"w-1": "it broke"}
    assert "w-1: attempt 1 of 5: it broke" in text_of(
        queue_worker.render_requests({**site.work(), "report": None})
    )
