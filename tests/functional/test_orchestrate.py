"""Run the SLS of the extension and an operator's SLS in real orchestrations.

The tests check changes, comments and the exit code of salt-run.
"""

from __future__ import annotations

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.runner import node
from tests.functional.fake_master import Master, drifted

ROOT = Path(__file__).resolve().parents[2]

OURS = "metalk8s_expand.expand"


class Orchestrating(Master):
    """A master whose operator runs orchestrations."""

    def orchestrate(self, sls: str, asked: Any = None, test: bool = False) -> Outcome:
        """Run ``salt-run state.orchestrate`` as an operator does."""
        words = ["state.orchestrate", sls, f"test={test}"]
        words += (
            [f"pillar={json.dumps({'metalk8s_expand_run': asked})}"] if asked is not None else []
        )
        done = subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            cwd=self.base,
            env=self.environment,
        )
        return Outcome(done)


class Outcome:
    """The exit code and the states in their order."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.stderr = done.returncode, done.stderr
        answer = json.loads(done.stdout[done.stdout.index("{") :])
        [self.states] = answer["data"].values()
        assert isinstance(self.states, dict), answer
        self.ran = sorted(self.states.values(), key=lambda state: int(state["__run_num__"]))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Outcome, str]]:
    """Return the result of each orchestration, and the version of w-1 after it."""
    cases: dict[str, tuple[str, Any, bool]] = {
        "seen": (OURS, {"nodes": "w-*", "max_parallel": 2}, True),
        "dry": (OURS, {"nodes": "w-*", "max_parallel": 2, "dry_run": True}, False),
        "done": (OURS, {"nodes": "w-*", "profiles": ["worker"]}, False),
        "refused": (OURS, None, False),
        "foreseen": (OURS, None, True),
        "mistyped": (OURS, {"profile": "worker"}, False),
        "own": ("site.grow", None, False),
        "own seen": ("site.grow", None, True),
    }

    def ran(title: str) -> tuple[Outcome, str]:
        master = Orchestrating(
            tmp_path_factory.mktemp("master"), drifted("w-1"), node("w-2"), node("i-1")
        )
        master.serve("site.grow", documented("site/grow.sls").replace("worker-", "w-"))
        found = master.orchestrate(*cases[title])
        return found, master.label("w-1")

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(cases, pool.map(ran, cases), strict=True))


def documented(file: str) -> str:
    """Return the SLS of this name in the documentation."""
    page = (ROOT / "docs" / "guides" / "expand.rst").read_text()
    found = re.search(rf"# /srv/[a-z/]*{re.escape(file)}\n\n?((?:   .*\n|\n)+)", page)
    assert found is not None
    return "\n".join(line[3:] for line in found[1].splitlines()) + "\n"


@pytest.mark.slow
class TestOurs:
    @pytest.mark.parametrize("title", ["seen", "dry"])
    def test_dry_run_reports_changes(self, outcomes: Any, title: str) -> None:
        found, version = outcomes[title]
        [state] = found.ran
        assert (found.code, state["result"], state["changes"]) == (
            0,
            None,
            {"w-1": ["register"]},
        ), state
        assert "The run itself would start" in state["comment"]
        assert "1 unchanged" in state["comment"]
        assert version == "1.0"

    def test_run_reports_changes(self, outcomes: Any) -> None:
        found, version = outcomes["done"]
        [state] = found.ran
        assert (found.code, state["result"], state["changes"]) == (
            0,
            True,
            {"w-1": ["register"]},
        ), state
        assert "succeeded" in state["comment"] and "w-2: nothing to change" in state["comment"]
        assert version == "2.0"

    @pytest.mark.parametrize("title", ["refused", "foreseen"])
    def test_refused_run_fails_with_reasons(self, outcomes: Any, title: str) -> None:
        found, version = outcomes[title]
        [state] = found.ran
        assert (found.code, state["result"], state["changes"]) == (1, False, {})
        assert "not every host can be reached" in state["comment"] and "far-1" in state["comment"]
        assert version == "1.0"

    def test_unknown_argument_fails_with_suggestion(self, outcomes: Any) -> None:
        found, version = outcomes["mistyped"]
        [state] = found.ran
        assert (found.code, state["result"], version) == (1, False, "1.0")
        assert (
            "profile: is an unknown argument (found 'profile'); did you mean profiles?"
            in state["comment"]
        )

    def test_progress_is_printed_outside_of_document(self, outcomes: Any) -> None:
        assert "checking it" in outcomes["done"][0].stderr


@pytest.mark.slow
class TestDocumented:
    """An SLS of an operator, with other states before and after."""

    def test_run_reports_changes(self, outcomes: Any) -> None:
        found, version = outcomes["own"]
        assert found.code == 0, found.ran
        assert [(state["__id__"], state["result"], state["changes"]) for state in found.ran[:2]] == [
            ("Add w-1", True, {"w-1": ["register"]}), ("Add w-2", True, {}),
        ]  # fmt: skip
        last = found.ran[-1]
        assert (last["result"], last["changes"]["return"]["healthy"]) == (True, True), last
        assert version == "2.0"

    def test_dry_run_reports_changes(self, outcomes: Any) -> None:
        found, version = outcomes["own seen"]
        assert (found.code, [state["result"] for state in found.ran], version) == (
            0,
            [None, True, None],
            "1.0",
        )
