"""Test the problems that the harness reports about a cluster after a run."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from chaos import etcd_state, invariants, network_faults, workload

VOTERS = ("bootstrap", "cp-1")
LISTED = dict.fromkeys(VOTERS, "voter")


def hashes(*found: tuple[str, str]) -> dict[str, Any]:
    pairs = zip(VOTERS, found, strict=True)
    return {
        "revision": 9,
        "members": {name: {"hash": one, "compact_revision": two} for name, (one, two) in pairs},
    }


def gathered(**more: Any) -> dict[str, Any]:
    sound = {
        "problems": [],
        "clusters": dict.fromkeys(VOTERS, "7"),
        "lists": dict.fromkeys(VOTERS, LISTED),
        "members": [],
    }
    return {**sound, "hashes": hashes(("1", "2"), ("1", "2")), **more}


def test_healthy_etcd_has_no_problems() -> None:
    assert invariants.etcd_problems(gathered(), VOTERS) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"problems": ["cp-1: silent"]}, "silent"),
        ({"clusters": {"bootstrap": "7", "cp-1": "8"}}, "SPLIT"),
        ({"lists": {"bootstrap": {**LISTED, "cp-2": "learner"}}}, "learner"),
        ({"lists": {"bootstrap": {"bootstrap": "voter"}}}, "lists the members"),
        ({"hashes": hashes(("1", "2"), ("3", "2"))}, "SPLIT: the hashes"),
        ({"hashes": hashes(("1", "2"), ("1", "3"))}, "compacted differently"),
        ({"hashes": {"problem": "no answer"}}, "no answer"),
    ],
)
def test_unhealthy_etcd_is_reported(more: dict[str, Any], words: str) -> None:
    assert any(words in line for line in invariants.etcd_problems(gathered(**more), VOTERS))


def node(name: str, ready: str = "True", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def test_node_problems_compare_nodes_with_the_declaration() -> None:
    assert invariants.node_problems({"items": [node("bootstrap"), node("cp-1")]}, ["cp-1"]) == []
    found = invariants.node_problems(
        {"items": [node("bootstrap", "Unknown"), node("x", unschedulable=True)]}, ["cp-1"]
    )
    assert found == [
        "Node cp-1 is not there",
        "Node x was not declared",
        "Node bootstrap is not Ready",
        "Node x is left cordoned",
    ]


def test_keys_lease_and_jobs_left_behind_are_reported() -> None:
    assert (
        invariants.key_problems({"minions": ["cp-1", "bootstrap"], "minions_pre": []}, ["cp-1"])
        == []
    )
    assert (
        len(invariants.key_problems({"minions": ["bootstrap"], "minions_pre": ["cp-1"]}, ["cp-1"]))
        == 2
    )
    assert (
        invariants.lease_problems(None)
        == invariants.lease_problems({"spec": {"holderIdentity": ""}})
        == []
    )
    assert invariants.lease_problems({"spec": {"holderIdentity": "me"}}) == [
        "the Lease is held by me"
    ]
    assert invariants.job_problems("\n", {}) == []
    assert (
        len(
            invariants.job_problems(
                "salt-run x\n", {"2026": {"Function": "state.sls", "Running": []}}
            )
        )
        == 2
    )


def attempt(code: int | None, reason: str = "", killed: bool = False) -> dict[str, Any]:
    return {"number": 1, "code": code, "reason": reason, "killed": killed}


@pytest.mark.parametrize(
    ("attempts", "count"),
    [
        ([attempt(0)], 0),
        ([attempt(137, killed=True), attempt(6, "no quorum"), attempt(0)], 0),
        ([attempt(6), attempt(0)], 1),
        ([attempt(1, "unexpected"), attempt(0)], 1),
        ([attempt(0), attempt(6, "no quorum")], 1),
        ([attempt(None), attempt(0)], 1),
    ],
)
def test_failed_expansion_without_reason_is_reported(
    attempts: list[dict[str, Any]], count: int
) -> None:
    assert len(invariants.attempt_problems(attempts, frozenset())) == count


def test_allowed_refusal_is_no_problem() -> None:
    assert invariants.attempt_problems([attempt(6, "no quorum")], frozenset({6})) == []


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"retcode": 9, "error": {"text": "locked"}}, "locked"),
        (
            {
                "ok": False,
                "nodes": [{"error": None}, {"error": {"text": "node x: y"}}],
                "notes": ["z"],
            },
            "node x: y\nz",
        ),
        ({"ok": True, "nodes": [], "notes": ["nothing to change"]}, ""),
        ([], ""),
    ],
)
def test_reason_is_read_from_the_output_of_the_expansion(document: Any, told: str) -> None:
    assert invariants.reason(json.dumps(document), "") == told
    assert invariants.reason("Traceback", "") == ""


def test_gateway_answers_are_parsed() -> None:
    import base64

    kv = {
        "key": base64.b64encode(b"/registry/configmaps/chaos/key-1").decode(),
        "mod_revision": "9",
        "version": "2",
        "value": "x",
    }
    assert etcd_state.events({"result": {"events": [{"kv": kv}]}}) == [
        {"revision": 9, "key": "key-1", "version": 2}
    ]
    assert etcd_state.events({"result": {"created": True}}) == []
    assert etcd_state.compacted({"result": {"canceled": True, "compact_revision": "5"}}) == 5
    assert etcd_state.compacted({"result": {"events": []}}) is None
    with pytest.raises(ValueError, match="no permission"):
        etcd_state.compacted({"result": {"canceled": True, "cancel_reason": "no permission"}})


def test_member_changes_are_reported_with_skipped_steps() -> None:
    names = {"10.200.0.12": "cp-2"}
    steps = [
        {"members": [{"name": "cp-1"}]},
        {
            "members": [
                {"name": "cp-1"},
                {"peerURLs": ["https://10.200.0.12:2380"], "isLearner": True},
            ]
        },
        {
            "members": [
                {"name": "cp-1"},
                {"name": "cp-2", "peerURLs": ["https://10.200.0.12:2380"], "isLearner": True},
            ]
        },
        {"members": [{"name": "cp-1"}, {"name": "cp-2"}]},
        {"members": [{"name": "cp-1"}]},
    ]
    seen = [etcd_state.states(step) for step in steps]
    told = [list(etcd_state.changes(one, two, names)) for one, two in itertools.pairwise(seen)]
    assert told == [["cp-2 learner"], ["cp-2 started"], ["cp-2 voter"], ["cp-2 gone"]]
    assert list(etcd_state.changes(seen[0], seen[3], names)) == [
        "cp-2 learner",
        "cp-2 started",
        "cp-2 voter",
    ]
    assert list(etcd_state.changes(seen[3], seen[3], names)) == []


def test_member_added_again_is_reported_as_learner() -> None:
    assert list(etcd_state.changes({"cp-2": "voter"}, {"cp-2": "learner"}, {})) == ["cp-2 learner"]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "ok"),
        (201, "ok"),
        (404, "failed"),
        (409, "failed"),
        (408, "unknown"),
        (500, "unknown"),
        (504, "unknown"),
    ],
)
def test_write_outcome_follows_from_the_http_status(status: int, outcome: str) -> None:
    assert workload.outcome(status) == outcome


def test_network_rules_drop_only_the_given_traffic() -> None:
    assert network_faults.one_way("1.1.1.1", "2.2.2.2") == [
        "ip saddr 1.1.1.1 ip daddr 2.2.2.2 drop"
    ]
    peers = network_faults.peers_only("1.1.1.1", ["2.2.2.2", "3.3.3.3"])
    assert len(peers) == len(set(peers)) == 8
    assert all("2380" in rule for rule in peers)
    text = network_faults.table(peers)
    assert text.startswith(network_faults.REMOVE), (
        "the rules before are replaced in one transaction"
    )
    assert text.count("{") == text.count("}") == 2
    with pytest.raises(ValueError, match="shortens"):
        network_faults.interface("worker-1234567")
