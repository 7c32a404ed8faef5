"""Each host is asked what its node's checks need, and nothing of itself."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.preflight import findings
from metalk8s_expand.domain.preflight.cluster_facts import Endpoint
from metalk8s_expand.domain.preflight.thresholds import Thresholds
from tests.unit.metalk8s_expand.domain.preflight.checks import hosts

WORKER = hosts.node("w-1", (roles.NODE,), "10.200.0.14")
MEMBER = hosts.node()
ENDPOINTS = [
    ["10.200.0.10", 6443],
    ["10.200.0.10", 4505],
    ["10.200.0.10", 4506],
    ["10.200.0.10", 8080],
]
JOINING = {"cp-1": hosts.ADDRESS, "cp-2": "10.200.0.12"}


def asked(
    node: Any = MEMBER, thresholds: Thresholds | None = None, **changes: Any
) -> dict[str, Any]:
    joining, sources = changes.pop("joining", {}), changes.pop("sources", {})
    around = dataclasses.replace(hosts.SURROUNDINGS, **changes)
    found = findings.request(node, around, thresholds or Thresholds(), joining, sources)
    assert json.loads(json.dumps(found)) == found
    return found


def test_what_every_host_is_asked() -> None:
    found = asked(WORKER)
    assert {key: tuple(value) for key, value in found.items() if key in findings.QUESTIONS} == dict(
        findings.QUESTIONS
    )
    assert (found["node"], found["seconds"], found["timeout"]) == ("w-1", 20, 3)
    assert found["connect"] == ENDPOINTS
    assert found["route"] == "10.96.0.1"
    assert found["sources"] == {}


def test_only_etcd_nodes_listen_and_measure_their_disk() -> None:
    assert {"retry", "listen", "fsync", "window"}.isdisjoint(asked(WORKER, joining=JOINING))


def test_a_new_member_of_etcd() -> None:
    found = asked(joining=JOINING)
    assert found["connect"] == [*ENDPOINTS, ["10.200.0.10", 2379], ["10.200.0.10", 2380]]
    assert found["retry"] == [["10.200.0.12", 2379], ["10.200.0.12", 2380]]
    assert found["listen"] == {
        "address": hosts.ADDRESS,
        "ports": [2379, 2380],
        "peers": ["10.200.0.10", "10.200.0.12"],
    }
    assert found["fsync"]["path"] == "/var/lib/etcd"
    assert found["window"] == 10


def test_a_member_that_is_there_already_is_not_waited_for_twice() -> None:
    found = asked(
        joining={"bootstrap": "10.200.0.10"},
        etcd_peers={"bootstrap": "10.200.0.10", "cp-1": hosts.ADDRESS},
    )
    assert found["retry"] == []
    assert found["listen"]["peers"] == ["10.200.0.10"]


def test_a_host_does_not_connect_to_itself() -> None:
    own = (*hosts.SURROUNDINGS.endpoints, Endpoint("api", "own", hosts.ADDRESS, 6443))
    assert [hosts.ADDRESS, 6443] not in asked(endpoints=own)["connect"]


@pytest.mark.parametrize(
    ("names", "resolved"),
    [
        (["store.example.com", "10.0.0.1", "fd00::1"], ["store.example.com"]),
        ([], []),
        (["b", "a", "b"], ["a", "b"]),
    ],
)
def test_names_are_resolved_and_addresses_are_not(names: list[str], resolved: list[str]) -> None:
    assert (
        asked(endpoints=tuple(Endpoint("artifacts", "x", name, 80) for name in names))["resolve"]
        == resolved
    )


@pytest.mark.parametrize(
    ("cidr", "address"),
    [
        ("10.96.0.0/12", "10.96.0.1"),
        ("fd00:1::/112", "fd00:1::1"),
        ("10.0.0.7/32", "10.0.0.7"),
        (None, None),
    ],
)
def test_the_way_to_services_is_asked_by_the_address_of_the_first(
    cidr: str | None, address: str | None
) -> None:
    assert asked(service_cidr=cidr)["route"] == address


def test_thresholds_and_sources_are_handed_on() -> None:
    found = asked(
        thresholds=Thresholds(connect_timeout_s=7, etcd_window_s=8, probe_timeout_s=99),
        sources={"clock": 30.0},
    )
    assert (found["timeout"], found["window"], found["seconds"], found["sources"]) == (
        7,
        8,
        99,
        {"clock": 30.0},
    )
