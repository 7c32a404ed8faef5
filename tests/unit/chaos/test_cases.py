"""Test that a seed alone determines a run, and that the runs cover every kind and boundary."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chaos import __main__ as program
from chaos import cases as schedule
from chaos import network_faults
from chaos.cases import Case
from metalk8s_expand.domain.declaration import settings as declarations


def test_seed_gives_the_same_run_in_every_process() -> None:
    code = "from chaos import cases; print([str(case) for case in cases.drawn(1, 40)])"
    root = Path(__file__).resolve().parents[3]
    told = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert told == {f"{[str(case) for case in schedule.drawn(1, 40)]}\n"}


def test_thirty_seeds_cover_every_kind() -> None:
    assert {case.kind for case in schedule.drawn(1, 30)} == set(schedule.RANDOM)


@pytest.mark.parametrize("seed", range(300))
def test_random_run_allows_recovery(seed: int) -> None:
    case = schedule.random_case(seed)
    assert case.target in ("", *case.voters)
    assert case.newcomer not in case.members
    assert 0 <= case.hold <= 60
    if case.kind in (schedule.MEMBER_CRASHED, schedule.LEADER_FROZEN, schedule.BLANK_DISK):
        assert len(case.members) > 1, "one of two is no fault that data survives"
    if case.kind == schedule.BLANK_DISK:
        assert case.target == case.newcomer
    if "other" in case.options:
        assert case.options["other"] != case.target


@pytest.mark.parametrize("base", schedule.BASES)
def test_pillar_of_case_is_a_valid_declaration(base: int) -> None:
    case = Case("it", schedule.MASTER_KILLED, base, schedule.moments.after(1))
    found = declarations.parse(schedule.pillar(case.declared)["metalk8s_expand"])
    assert set(found.nodes) == set(case.declared)
    assert found.nodes[case.newcomer].is_etcd
    assert not found.nodes[schedule.WORKER].is_control_plane


def test_every_boundary_has_every_fault() -> None:
    cases = schedule.enumerated()
    assert len({case.name for case in cases}) == len(cases)
    places = schedule.boundaries("cp-2")
    for kind in (schedule.RUNNER_KILLED, schedule.MASTER_KILLED, schedule.NEWCOMER_CRASHED):
        assert [case.name.partition("+")[0] for case in cases if case.kind == kind] == list(places)
    assert {case.name for case in schedule.short()} == set(schedule.SHORT)


def test_interface_names_match_those_of_nspawn() -> None:
    assert [network_faults.interface(name) for name in schedule.ADDRESSES] == [
        f"vb-{name}" for name in schedule.ADDRESSES
    ]


def chosen(*words: str) -> list[str]:
    return [case.name for case in program.chosen(program.parser().parse_args(words))]


def test_options_select_the_runs() -> None:
    every = [case.name for case in schedule.enumerated()]
    seeds = [f"seed-{number}" for number in range(1, 31)]
    assert chosen() == every + seeds
    assert chosen("--boundaries") == every
    assert chosen("--short") == [*(case.name for case in schedule.short()), "seed-1", "seed-2"]
    assert chosen("--seed=7", "--runs=2") == ["seed-7", "seed-8"]
    assert chosen("--runs=1") == ["seed-1"]
    assert chosen("seed-4711", every[3]) == ["seed-4711", every[3]]
    assert all("master-killed" in name for name in chosen("--boundaries", "--kind=master-killed"))


def test_unknown_run_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["promoted+nothing"]) == 2
    assert "promoted+nothing" in capsys.readouterr().err


def test_every_kind_has_a_fault_function() -> None:
    code = "from chaos import cases, faults; print(set(faults.FAULTS) == {*cases.AT_BOUNDARIES, *cases.RANDOM})"
    root = Path(__file__).resolve().parents[3]
    assert (
        subprocess.run(
            [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
        ).stdout
        == "True\n"
    )
