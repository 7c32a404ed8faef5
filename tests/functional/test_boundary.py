"""Test Salt's result for each outcome of a runner, with and without the boundary.

The rows are those of the table in docs/explanations/architecture.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import extension

RUNNER = """
from metalk8s_expand.boundary import runner_boundary
from metalk8s_expand.errors import QuorumError

boundary = runner_boundary(lambda: __context__, lambda: __opts__)

def raw_ok(): return {"x": 1}
def raw_raises(): raise ValueError("v")
def raw_type_error(): raise TypeError("t")
def raw_returned(): return {"retcode": 3}
def raw_context():
    __context__["retcode"] = 3
    return {}
def raw_both():
    __context__["retcode"] = 3
    return {"retcode": 3}

@boundary
def ok(): return {"x": 1}
@boundary
def raises(): raise ValueError("v")
@boundary
def type_error(): raise TypeError("t")
@boundary
def returned(): return {"retcode": 3}
@boundary
def expand_error(): raise QuorumError("q", node="n")
@boundary
def missing_argument(name): return {}
"""

# The exit code of salt-run (a set if Salt versions differ), the result of the state in an
# orchestration
ROWS: dict[str, tuple[set[int], bool]] = {
    "raw_ok": ({0}, True),
    "raw_raises": ({0, 1}, False),
    "raw_type_error": ({0}, True),
    "raw_returned": ({3}, True),
    "raw_context": ({0}, False),
    "raw_both": ({3}, False),
    "ok": ({0}, True),
    "raises": ({1}, False),
    "type_error": ({1}, False),
    "returned": ({3}, False),
    "expand_error": ({6}, False),
    "missing_argument": ({2}, False),
}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def salt_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function that calls salt-run with a separate configuration and ``outcomes``."""
    base = tmp_path_factory.mktemp("master")
    extension.lay_out(base / "ext", "utils")
    (base / "ext" / "runners").mkdir()
    (base / "ext" / "runners" / "outcomes.py").write_text(RUNNER)
    (base / "states").mkdir()
    # A master creates this directory when it starts; no master runs here.
    (base / "var" / "cache" / "salt" / "master" / "proc").mkdir(parents=True)
    states = {f"row_{name}": {"salt.runner": [{"name": f"outcomes.{name}"}]} for name in ROWS}
    (base / "states" / "rows.sls").write_text(json.dumps(states))
    config = {"root_dir": str(base), "extension_modules": str(base / "ext"), "file_roots": {"base": [str(base / "states")]},
              "log_level": "quiet", "log_level_logfile": "quiet"}  # fmt: skip
    (base / "master").write_text(json.dumps(config))
    program = str(Path(sys.executable).with_name("salt-run"))

    def run(*arguments: str, output: str = "json") -> subprocess.CompletedProcess[str]:
        command = [program, "-c", str(base), f"--out={output}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    return run


@pytest.fixture(scope="module")
def runs(salt_run: Run) -> dict[str, subprocess.CompletedProcess[str]]:
    with ThreadPoolExecutor(4) as pool:
        return dict(
            zip(ROWS, pool.map(lambda name: salt_run(f"outcomes.{name}"), ROWS), strict=True)
        )


@pytest.fixture(scope="module")
def orchestrated(salt_run: Run) -> dict[str, Any]:
    found = salt_run("state.orchestrate", "rows")
    states = next(iter(json.loads(found.stdout)["data"].values()))
    return {state["__id__"].removeprefix("row_"): state["result"] for state in states.values()}


@pytest.mark.parametrize("name", ROWS)
def test_salt_run_returns_exit_code_of_outcome(
    runs: dict[str, subprocess.CompletedProcess[str]], name: str
) -> None:
    assert runs[name].returncode in ROWS[name][0], runs[name].stdout + runs[name].stderr


@pytest.mark.parametrize("name", ROWS)
def test_orchestration_state_has_result_of_outcome(orchestrated: dict[str, Any], name: str) -> None:
    assert orchestrated[name] is ROWS[name][1]


def test_error_is_one_json_document(runs: dict[str, subprocess.CompletedProcess[str]]) -> None:
    found = json.loads(runs["expand_error"].stdout)
    assert found["error"]["node"] == "n"
    assert found["error"]["type"] == "QuorumError"


@pytest.mark.parametrize("output", ["json", "nested"])
def test_error_is_printed_once_and_logged_to_file(
    salt_run: Run, tmp_path: Path, output: str
) -> None:
    log = tmp_path / "log"
    levels = ("--log-level=warning", "--log-file-level=warning", f"--log-file={log}")
    found = salt_run("outcomes.expand_error", *levels, output=output)
    assert (found.returncode, found.stderr) == (6, "")
    assert "node n: q" in found.stdout
    assert "expand_error: node n: q" in log.read_text()
    assert "unclosed" not in log.read_text()


def test_defect_shows_its_traceback(salt_run: Run) -> None:
    found = salt_run("outcomes.raises", "--log-level=warning")
    assert "Traceback" in found.stderr
    assert "unclosed" not in found.stderr


def test_unknown_argument_is_named(salt_run: Run) -> None:
    found = salt_run("outcomes.missing_argument", "n", "profile=worker", "nome=x")
    assert found.returncode == 2, found.stdout + found.stderr
    problems = json.loads(found.stdout)["error"]["problems"]
    assert [(problem["path"], problem["remedy"]) for problem in problems] == [
        ("profile", "known: name"), ("nome", "did you mean name? known: name"),
    ]  # fmt: skip
