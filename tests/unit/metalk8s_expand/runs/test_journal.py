"""The journal in the API: only the newest run writes it, before each step; replies may be lost."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain.runs.lease_rules import LockLostError
from metalk8s_expand.errors import UnreachableError
from metalk8s_expand.runs import journal
from tests.fakes.journal import writer
from tests.fakes.kube import CONFIG_MAPS, FakeKube, down

STORED = CONFIG_MAPS.format(journal.NAMESPACE)


@pytest.fixture
def kube() -> FakeKube:
    return FakeKube()


def read(kube: FakeKube) -> Any:
    return journal.read(kube)


def test_started_step_is_stored_at_once(kube: FakeKube) -> None:
    one = writer(kube)
    one.node_created("w-1")
    one.step_started("w-1", "deploy")
    one.job_started("w-1", "42")
    found = read(kube)
    assert (found.jobs, found.created, found.ended) == ({"42"}, ("w-1",), None)
    one.node_finished("w-1")
    one.close("ended")
    assert (read(kube).nodes, read(kube).outcome) == ({}, "ended")


def test_next_run_reads_steps_of_dead_run(kube: FakeKube) -> None:
    one = writer(kube)
    one.step_started("w-1", "deploy")
    one.job_started("w-1", "42")
    two = writer(kube, 8, "r2")
    two.keep()
    assert read(kube).run == "r2"
    assert two.now.jobs == {"42"}
    two.reset()
    assert read(kube).nodes == {}


def test_write_waits_for_restarting_api_server(kube: FakeKube) -> None:
    one = writer(kube)
    kube.down_until = kube.clock.time + 10
    one.step_started("w-1", "deploy")
    assert set(read(kube).nodes) == {"w-1"}


def test_step_is_refused_without_journal_write(kube: FakeKube) -> None:
    one = writer(kube)
    kube.down_until = kube.clock.time + 1000
    with pytest.raises(UnreachableError):
        one.step_started("w-1", "deploy")
    assert kube.clock.time < 1000 + 60


def test_end_of_step_is_stored_with_next_start(kube: FakeKube) -> None:
    one = writer(kube)
    one.step_started("w-1", "deploy")
    kube.down_until = kube.clock.time + 30
    one.node_finished("w-1")
    assert set(read_later(kube).nodes) == {"w-1"}
    one.step_started("w-2", "deploy")
    assert set(read(kube).nodes) == {"w-2"}


def read_later(kube: FakeKube) -> Any:
    kube.down_until = 0.0
    return read(kube)


def test_write_succeeds_after_lost_reply(kube: FakeKube) -> None:
    one = writer(kube)
    kube.after = down(1)
    one.step_started("w-1", "register")
    one.step_started("w-1", "deploy")
    assert read(kube).nodes["w-1"].step == "deploy"


def test_older_run_that_resumes_writes_nothing(kube: FakeKube) -> None:
    old = writer(kube)
    old.keep()
    new = writer(kube, 8, "r2")
    new.keep()
    with pytest.raises(LockLostError, match="r2"):
        old.step_started("w-1", "deploy")
    assert read(kube).run == "r2"


def test_deleted_journal_is_created_again(kube: FakeKube) -> None:
    one = writer(kube)
    one.keep()
    del kube.objects[STORED][journal.NAME]
    one.step_started("w-1", "deploy")
    assert set(read(kube).nodes) == {"w-1"}


def test_damaged_journal_is_replaced(kube: FakeKube) -> None:
    metadata = {"name": journal.NAME, "resourceVersion": "0"}
    kube.put(STORED, {"metadata": metadata, "data": {"run": "not ours"}})
    one = writer(kube)
    one.keep()
    assert read(kube).run == "r1"
