"""The facts request asks each host for the facts that its node's checks need."""

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


def test_request_of_worker_has_common_questions() -> None:
    found = asked(WORKER)
    assert {key: tuple(value) for key, value in found.items() if key in findings.QUESTIONS} == dict(
        findings.QUESTIONS
    )
    assert (found["node"], found["seconds"], found["timeout"]) == ("w-1", 20, 3)
    assert found["connect"] == ENDPOINTS
    assert found["route"] == "10.96.0.1"
    assert found["sources"] == {}


def test_request_of_worker_has_no_etcd_tests() -> None:
    assert {"retry", "listen", "fsync", "window"}.isdisjoint(asked(WORKER, joining=JOINING))


def test_request_of_etcd_node_has_peers_and_fsync() -> None:
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


def test_joining_node_that_is_member_is_not_retried() -> None:
    found = asked(
        joining={"bootstrap": "10.200.0.10"},
        etcd_peers={"bootstrap": "10.200.0.10", "cp-1": hosts.ADDRESS},
    )
    assert found["retry"] == []
    assert found["listen"]["peers"] == ["10.200.0.10"]


def test_request_leaves_out_endpoint_of_own_address() -> None:
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
def test_request_resolves_names_but_no_addresses(names: list[str], resolved: list[str]) -> None:
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
def test_route_request_uses_first_service_address(cidr: str | None, address: str | None) -> None:
    assert asked(service_cidr=cidr)["route"] == address


def test_thresholds_and_sources_are_part_of_request() -> None:
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
