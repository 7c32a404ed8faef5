"""The fence in a real Salt job: in a job of an older run, states that require it do not run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.domain.salt import orchestration_result
from tests import extension

# Like the roles of a node, which get the epoch from the pillar of the orchestration.
SLS = """
Refuse a job of an older run:
  metalk8s_expand_fence.admitted:
    - epoch: {{ pillar.get("orchestrate", {}).get("epoch") | json }}
    - path: PATH

Change the host:
  test.succeed_with_changes:
    - require:
      - metalk8s_expand_fence: Refuse a job of an older run
"""

Apply = Callable[..., dict[str, Any]]


@pytest.fixture
def apply(tmp_path: Path) -> Apply:
    """Return a function that runs ``salt-call state.apply`` and returns the states by ID."""
    extension.lay_out(tmp_path / "ext", "states", "utils")
    (tmp_path / "states").mkdir()
    (tmp_path / "states" / "change.sls").write_text(
        SLS.replace("PATH", str(tmp_path / "expand-epoch"))
    )
    config = {"root_dir": str(tmp_path), "extension_modules": str(tmp_path / "ext"), "file_client": "local", "id": "m",
              "file_roots": {"base": [str(tmp_path / "states")]}, "log_level": "quiet", "log_level_logfile": "quiet"}  # fmt: skip
    (tmp_path / "minion").write_text(json.dumps(config))

    def run(pillar: dict[str, Any], test: bool = False) -> dict[str, Any]:
        program = str(Path(sys.executable).with_name("salt-call"))
        words = ["state.apply", "change", f"pillar={json.dumps(pillar)}", f"test={test}"]
        command = [program, "-c", str(tmp_path), "--local", "--out=json", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        found = json.loads(done.stdout)["local"]
        assert isinstance(found, dict), found
        return {state["__id__"]: state for state in found.values()}

    return run


def results(found: dict[str, Any]) -> list[bool | None]:
    return [found["Refuse a job of an older run"]["result"], found["Change the host"]["result"]]


def test_fence_refuses_older_job_and_admits_manual_job(apply: Apply, tmp_path: Path) -> None:
    newer, older = {"orchestrate": {"epoch": 7}}, {"orchestrate": {"node_name": "cp-1", "epoch": 6}}
    assert results(apply(newer, test=True)) == [None, None]
    assert not (tmp_path / "expand-epoch").exists()

    first = apply(newer)
    assert results(first) == [True, True]
    assert first["Refuse a job of an older run"]["changes"] == {"epoch": {"old": None, "new": 7}}

    refused = apply(older)
    assert results(refused) == [False, False]
    assert "this job has the epoch 6" in refused["Refuse a job of an older run"]["comment"]
    assert refused["Change the host"]["comment"].startswith(orchestration_result.NOT_RUN)

    assert results(apply({})) == [True, True]
    assert (tmp_path / "expand-epoch").read_text() == "7\n"
