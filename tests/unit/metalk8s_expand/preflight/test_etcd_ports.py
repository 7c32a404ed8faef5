"""Tests that existing members connect in parallel with the probes; one without an answer blocks no
other.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from metalk8s_expand.errors import UnreachableError
from metalk8s_expand.preflight import etcd_ports
from metalk8s_expand.preflight.etcd_ports import PeerConnectivity
from tests.fakes.clock import FakeClock
from tests.fakes.minions import FakeMinions

NOW = 1000.0


def asked(
    peers: FakeMinions | None,
    members: Sequence[str] = ("a",),
    addresses: Sequence[str] = ("10.0.0.1",),
) -> PeerConnectivity:
    return etcd_ports.probe_peer_ports(peers, members, addresses, 12.0, FakeClock())()


def test_every_member_tries_both_ports_of_every_new_member() -> None:
    peers = FakeMinions()
    asked(peers, ["cp-0", "cp-9"], ["10.0.0.1", "fd00::2"])
    places = [["10.0.0.1", 2379], ["10.0.0.1", 2380], ["fd00::2", 2379], ["fd00::2", 2380]]
    assert peers.asked == [(["cp-0", "cp-9"], "metalk8s_expand_host.connect", [places, 12.0])]


def test_results_are_given_by_host_and_port() -> None:
    said = {
        "10.0.0.1:2379": "",
        "10.0.0.1:2380": "no answer",
        "10.0.0.2:2379": "",
        "10.0.0.2:2380": "",
        "[fd00::2]:2379": "",
        "[fd00::2]:2380": "connection refused",
    }
    found = asked(FakeMinions({"cp-0": said}), ["cp-0"], ["10.0.0.1", "10.0.0.2", "fd00::2"])
    wanted = {"cp-0": {2379: "", 2380: "connection refused"}}
    assert found.of("fd00::2", NOW, NOW + 10) == wanted
    assert found.of("10.0.0.1", NOW, NOW + 10) == {"cp-0": {2379: "", 2380: "no answer"}}
    assert found.of("10.0.0.2", NOW, NOW + 10) == {"cp-0": {2379: "", 2380: ""}}
    assert found.of("10.0.0.3", NOW, NOW + 10) == {"cp-0": {}}


@pytest.mark.parametrize(
    ("since", "until", "counts"),
    [
        (0, 10, True),
        (9, 19, True),
        (10.5, 20.5, False),
        (30, 40, False),
        (-9, 1, False),
        (-8, 2, True),
    ],
)
def test_failure_counts_if_members_tried_while_host_listened(
    since: float, until: float, counts: bool
) -> None:
    said = PeerConnectivity(
        {"a": {"10.0.0.1:2379": "", "10.0.0.1:2380": "connection refused"}}, NOW, NOW + 12
    )
    failed = {2380: "connection refused"} if counts else {}
    assert said.of("10.0.0.1", NOW + since, NOW + until) == {"a": {2379: "", **failed}}


def test_late_job_counts_from_its_latest_possible_start() -> None:
    class Slow(FakeMinions):
        def ask(self, *question: Any) -> dict[str, Any]:
            clock.sleep(20)
            return {}

    clock = FakeClock()
    found = etcd_ports.probe_peer_ports(Slow(), ["a"], ["10.0.0.1"], 12.0, clock)()
    assert (found.begun, found.ended) == (NOW + 8, NOW + 12)


@pytest.mark.parametrize(
    "answer", ["Minion did not return.", "'x' is not available.", False, None, ["a"]]
)
def test_malformed_answer_is_left_out(answer: Any) -> None:
    good = {"10.0.0.1:2379": ""}
    assert asked(FakeMinions({"a": answer, "b": good}), ["a", "b"]).answers == {"b": good}


@pytest.mark.parametrize("error", [UnreachableError("no master"), RuntimeError("a defect")])
def test_master_that_cannot_ask_makes_result_unknown(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert asked(FakeMinions(limit=0, error=error)).answers == {}
    assert str(error) in caplog.text


def test_empty_list_of_members_sends_no_job() -> None:
    peers = FakeMinions()
    assert asked(peers, []) == asked(peers, addresses=[]) == asked(None) == PeerConnectivity()
    assert peers.asked == []


def test_job_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(FakeMinions):
        def ask(self, *question: Any) -> dict[str, Any]:
            released.wait(30)
            return {"a": {"10.0.0.1:2379": ""}}

    released = threading.Event()
    monkeypatch.setattr(etcd_ports, "GRACE_S", 0.1)
    assert (
        etcd_ports.probe_peer_ports(Hanging(), ["a"], ["10.0.0.1"], 0.1, FakeClock())()
        == PeerConnectivity()
    )
    released.set()
