"""Test the pure parts of the measurements of whole expansions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.expansion import cluster, measure, playbook
from bench.expansion.lab import NODES, Run, usage
from bench.expansion.measure import Results, compared, in_turn, seconds_after_preparation
from bench.rows import Row

V1 = "9:name=systemd:/payload\n2:cpu,cpuacct:/above/second-cp-1/system.slice\n0::/payload\n"
V2 = "0::/above/second-cp-1/init.scope\n"


def report(*steps: tuple[str, float, float]) -> dict[str, Any]:
    """Return the report of a run of 90 seconds, with steps as name, start and duration."""
    listed = [
        {"name": name, "started": 1000 + start, "elapsed": elapsed}
        for name, start, elapsed in steps
    ]
    nodes = [{"name": "cp-1", "steps": listed}, {"name": "cp-2", "steps": []}]
    return {"started": 1000.0, "elapsed": 90.0, "nodes": nodes}


def test_cpu_of_host_is_read_in_hierarchy_that_counts_it(tmp_path: Path) -> None:
    group = tmp_path / "cpu,cpuacct" / "above" / "second-cp-1"
    group.mkdir(parents=True)
    (group / "cpuacct.usage").write_text("2500000000\n")
    assert usage(tmp_path, V1, "second-cp-1") == 2.5


def test_cpu_of_host_is_read_in_unified_hierarchy(tmp_path: Path) -> None:
    group = tmp_path / "above" / "second-cp-1"
    group.mkdir(parents=True)
    (group / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    assert usage(tmp_path, V2, "second-cp-1") == 1.5


def test_cpu_of_unknown_group_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="second-cp-2"):
        usage(tmp_path, V1, "second-cp-2")


def test_member_counts_from_end_of_preparation() -> None:
    steps = report(
        ("preflight", 0, 2), ("prepare", 2, 20), ("prepare: Install", 3, 5), ("deploy", 30, 40)
    )
    assert seconds_after_preparation(steps, "cp-1") == 68


def test_member_without_preparation_counts_from_its_deployment() -> None:
    steps = report(("preflight", 0, 2), ("deploy: Install", 6, 5), ("deploy", 5, 40))
    assert seconds_after_preparation(steps, "cp-1") == 85


def test_members_must_be_these_voters() -> None:
    voter = {"name": "bootstrap"}
    assert cluster.member_problems([voter, {"name": "cp-1"}], ["cp-1", "bootstrap"]) == []
    assert cluster.member_problems([voter], ["cp-1", "bootstrap"])
    learner = {"name": "cp-1", "isLearner": True}
    [problem] = cluster.member_problems([voter, learner], ["bootstrap", "cp-1"])
    assert problem == "etcd has the voters bootstrap among 2 members"


def test_node_without_conditions_is_not_ready() -> None:
    assert not cluster.is_ready({"status": {}})
    assert not cluster.is_ready(
        {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
    )
    assert cluster.is_ready({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})


def test_works_of_every_other_round_are_reversed() -> None:
    assert [list(in_turn("abc", turn)) for turn in range(2)] == [["a", "b", "c"], ["c", "b", "a"]]


def test_medians_of_measured_works_are_compared() -> None:
    results = Results()
    for seconds in (90.0, 30.0, 40.0):
        results.add("expand", Run(seconds, {"bootstrap": 50.0, "cp-1": 10.0}, 1.0))
        results.add("floor", Run(seconds / 2))
    lines = list(compared(results))
    [beside, cpu] = [line for line in lines if isinstance(line, Row)]
    assert (beside.ours, beside.peer, beside.limit, beside.aim) == (40.0, 20.0, 2, 1.5)
    assert (cpu.ours, cpu.peer, cpu.ok) == (60.0, 110, True)


def test_limits_are_those_that_were_agreed() -> None:
    limits = {(each.ours, each.peer): (each.limit, each.aim) for each in measure.COMPARISONS}
    assert limits[("expand", "hand")] == (0.6, 0.45)
    assert limits[("expand", "floor")] == (2, 1.5)
    assert limits[("expand", "playbook")] == (1, 2)
    assert limits[("prepared member", "kubeadm member")] == (0.6, 0.35)
    assert limits[("worker", "kubeadm worker")] == (8, 5)
    assert limits[("expand again", "bare runner")] == (2, 1.5)
    assert limits[("expand beside writes", "kubeadm member")] == (1, 0.5)
    assert limits[("member beside writes", "kubeadm member")] == (1, 0.5)


def test_inventory_has_what_playbook_names() -> None:
    sums = playbook.checksums("aa  node.tar\nbb  images/etcd.tar\n")
    assert sums == {"node.tar": "aa", "images/etcd.tar": "bb"}
    made = yaml.safe_load(yaml.safe_dump(playbook.inventory(NODES, "/kit", sums)))["all"]
    assert set(made["children"]["control_plane"]["hosts"]) == {"cp-1", "cp-2"}
    assert "coredns" in made["hosts"]["infra-1"]["images"]
    plays = yaml.safe_load((cluster.HERE / "playbook.yaml").read_text())
    assert {play["hosts"] for play in plays} == set(made["children"])
