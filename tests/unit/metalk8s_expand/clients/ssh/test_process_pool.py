"""Tests of the process pool: its limit, and hanging processes that do not delay others."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from metalk8s_expand.clients.ssh import process, process_pool
from metalk8s_expand.clients.ssh.process_pool import Allowance, on_all, run
from metalk8s_expand.errors import UnreachableError


@dataclass(frozen=True)
class Host:
    name: str
    hangs: bool = False


def hosts(count: int) -> list[Host]:
    return [Host(f"w-{number}") for number in range(count)]


# Records how many of these processes run, itself included.
COUNTED = 'touch "$1/$$"; ls "$1" | wc -l; sleep 0.3; rm "$1/$$"'


def most_at_a_time(directory: Path, count: int, max_parallel: int) -> int:
    def work(host: Host) -> int:
        return int(run(["sh", "-c", COUNTED, "sh", str(directory)], Allowance(20)).stdout)

    return max(
        found
        for found in on_all(hosts(count), work, max_parallel).values()
        if isinstance(found, int)
    )


@pytest.mark.parametrize("max_parallel", [1, 3])
def test_processes_stay_within_max_parallel(tmp_path: Path, max_parallel: int) -> None:
    assert most_at_a_time(tmp_path, 9, max_parallel) == max_parallel


def test_results_are_in_the_order_of_the_hosts() -> None:
    found = on_all(hosts(20), lambda host: host.name)
    assert list(found.items()) == [(host.name, host.name) for host in hosts(20)]


def test_empty_host_list_has_no_results() -> None:
    assert on_all([], lambda host: host) == {}


def test_an_unreachable_host_is_a_result() -> None:
    def work(host: Host) -> str:
        raise UnreachableError("gone", node=host.name)

    assert isinstance(on_all(hosts(1), work)["w-0"], UnreachableError)


def test_a_defect_ends_the_whole() -> None:
    begun: list[str] = []

    def work(host: Host) -> None:
        begun.append(host.name)
        if host.name == "w-0":
            raise ZeroDivisionError
        run(["sleep", "60"], Allowance(60))

    started = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        on_all(hosts(6), work, max_parallel=2)
    assert time.monotonic() - started < 10


def test_hanging_processes_step_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TICK_S", 0.05)
    monkeypatch.setattr(process_pool, "HANGS_S", 0.2)
    ended: dict[str, float] = {}

    def work(host: Host) -> None:
        run(["sleep", "4" if host.hangs else "0"], Allowance(20))
        ended[host.name] = time.monotonic() - started

    started = time.monotonic()
    on_all([Host("stuck-1", True), Host("stuck-2", True), *hosts(6)], work, max_parallel=2)
    assert max(ended[host.name] for host in hosts(6)) < min(ended["stuck-1"], ended["stuck-2"])


def test_no_more_of_them_than_those_that_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process, "TICK_S", 0.02)
    monkeypatch.setattr(process_pool, "HANGS_S", 0.05)
    assert 2 < most_at_a_time(tmp_path, 12, 2) <= 4


def test_waiting_for_a_place_is_not_counted() -> None:
    def work(host: Host) -> float:
        allowance = Allowance(20)
        run(["sleep", "0.3"], allowance)
        return allowance.left

    found = on_all(hosts(4), work, max_parallel=1)
    assert all(isinstance(left, float) and 17 < left < 19.8 for left in found.values())


def test_the_allowance_is_spent_and_extended() -> None:
    allowance = Allowance(0.1)
    with allowance.spent():
        time.sleep(0.2)
    assert allowance.left == 0
    allowance.at_least(2)
    assert allowance.left == 2
    allowance.at_least(1)
    assert allowance.left == 2


def test_alone_there_is_nothing_to_wait_for() -> None:
    assert run(["echo", "x"], Allowance(10)).stdout == "x\n"
