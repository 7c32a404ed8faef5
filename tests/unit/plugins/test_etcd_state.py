"""Test how the states of an etcd member check, pass and show the fencing epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.minion import etcd_member, fence
from metalk8s_expand.minion.etcd_member import DesiredMember
from tests import extension

STATES = {"member_added": "add_learner", "member_promoted": "promote_learner"}


class Host:
    """A host with its epoch file, and a step that would make these changes."""

    def __init__(self, module: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.module = module
        self.path = path
        self.changes: dict[str, Any] = {}
        self.steps: list[str] = []
        self.overtaken = False
        monkeypatch.setattr(fence, "PATH", str(path))
        for step in STATES.values():
            monkeypatch.setattr(etcd_member, step, self._step(step))
        monkeypatch.setattr(etcd_member, "pending_changes", lambda *_: list(self.changes))

    def apply(self, state: str, test: bool = False, **arguments: Any) -> dict[str, Any]:
        self.module.__opts__ = {"test": test}
        found: dict[str, Any] = getattr(self.module, state)("cp-1", "127.0.0.1", [], **arguments)
        return found

    @property
    def epoch(self) -> str | None:
        return self.path.read_text().strip() if self.path.exists() else None

    def _step(self, name: str) -> Callable[..., dict[str, Any]]:
        def step(
            etcd: object, files: object, wanted: DesiredMember, clock: Clock, *_: object
        ) -> dict[str, Any]:
            self.steps.append(name)
            if self.overtaken:
                fence.check_fencing_epoch(str(self.path), 7)
            wanted.admit()
            return self.changes

        return step


@pytest.fixture(scope="module")
def module() -> Any:
    return extension.load("states", "metalk8s_expand_etcd")


@pytest.fixture
def host(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(module, tmp_path / "expand-epoch", monkeypatch)


@pytest.mark.parametrize("state", STATES)
class TestFence:
    @pytest.mark.parametrize("test", [False, True])
    def test_older_run_is_refused_before_any_query(
        self, host: Host, state: str, test: bool
    ) -> None:
        host.path.write_text("7\n")
        found = host.apply(state, test, epoch=6)
        assert (found["result"], found["changes"], host.steps) == (False, {}, [])
        assert "this job has the epoch 6" in found["comment"]

    def test_run_that_loses_the_lock_meanwhile_is_refused(self, host: Host, state: str) -> None:
        host.overtaken = True
        found = host.apply(state, epoch=6)
        assert (found["result"], host.steps, host.epoch) == (False, [STATES[state]], "7")
        assert "this job has the epoch 6, but a job with the epoch 7" in found["comment"]

    def test_epoch_of_newer_run_is_shown_once(self, host: Host, state: str) -> None:
        raised = {"epoch": {"old": None, "new": 7}}
        found = host.apply(state, test=True, epoch=7)
        assert (found["result"], found["changes"], host.epoch) == (None, raised, None)
        assert host.apply(state, epoch=7)["changes"] == raised
        again = host.apply(state, epoch=7)
        assert (again["result"], again["changes"], again["comment"]) == (
            True,
            {},
            "Nothing to change.",
        )
        assert host.apply(state, test=True, epoch=7)["result"] is True

    def test_manual_job_stores_no_epoch(self, host: Host, state: str) -> None:
        assert host.apply(state)["changes"] == {}
        assert host.epoch is None
        host.path.write_text("7\n")
        assert host.apply(state)["result"] is True
        assert host.epoch == "7"

    def test_changes_of_member_are_shown_with_epoch(self, host: Host, state: str) -> None:
        host.changes = {"added": "cp-1"}
        assert host.apply(state, test=True, epoch=7)["changes"] == {
            "epoch": {"old": None, "new": 7}, "changes": ["added"],
        }  # fmt: skip
        assert host.apply(state, epoch=7)["changes"] == {
            "epoch": {"old": None, "new": 7},
            "added": "cp-1",
        }
        assert host.apply(state, epoch=7)["changes"] == {"added": "cp-1"}
