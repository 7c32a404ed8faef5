"""Text from hosts, the API, jobs and files reaches no terminal with its control characters."""

from __future__ import annotations

import pytest

from metalk8s_expand.clients.kubernetes import api as kube_api
from metalk8s_expand.domain.preflight.findings import Finding
from metalk8s_expand.domain.salt import orchestration_result
from metalk8s_expand.errors import DeployError, UnreachableError, visible
from metalk8s_expand.preflight.ssh import check_ssh
from metalk8s_expand.runs.progress import Progress
from tests.fakes.clock import FakeClock
from tests.unit.metalk8s_expand.conftest import Sshd

HOSTILE = "a\x1b[2J\x1b]0;owned\x07b\nc\u202ed"
SHOWN = r"a\x1b[2J\x1b]0;owned\x07b\nc\u202ed"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (HOSTILE, SHOWN),
        ("plain text, Wörter, 節点 and …", "plain text, Wörter, 節点 and …"),
        ("\t\r\x85\u2028", r"\t\r\x85\u2028"),
        (7, "7"),
    ],
)
def test_control_characters_become_escapes(text: object, shown: str) -> None:
    assert visible(text) == shown


def test_error_shows_message_and_problems_as_escapes() -> None:
    error = DeployError(HOSTILE, problems=[HOSTILE])
    assert (error.message, error.problems) == (SHOWN, (SHOWN,))
    assert str(error).splitlines() == [SHOWN, f"  - {SHOWN}"]
    assert error.as_dict()["message"] == SHOWN


def test_progress_prints_and_records_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress({"__cli": "salt-run"}, FakeClock())
    recorded: list[str] = []
    progress.listener = recorded.append
    progress("w-1", "deploy", HOSTILE)
    assert capsys.readouterr().err.splitlines() == recorded
    assert recorded[0].endswith(f"deploy: {SHOWN}")


def test_return_of_job_is_shown_as_escapes() -> None:
    state = {"result": False, "__id__": "Run", "__run_num__": 1, "comment": "a\x1b[2Jb"}
    [problem] = orchestration_result.problems({"data": {"m": {"a_|-Run_|-b_|-c": state}}})
    assert r"a\x1b[2Jb" in problem


def test_fact_of_host_is_shown_as_escapes() -> None:
    finding = Finding("w-1", "os", HOSTILE, "Rocky 8", "install it")
    assert (finding.found, finding.as_dict()["found"]) == (SHOWN, SHOWN)


def test_answer_of_api_is_shown_as_escapes() -> None:
    assert kube_api._reason(b'{"message": "a\\u001b[2Jb"}') == r"a\x1b[2Jb"
    assert kube_api._reason(b"a\x1b[2Jb") == r"a\x1b[2Jb"


def test_login_shell_of_host_is_shown_as_escapes(sshd: Sshd) -> None:
    sshd.force(r"printf '\033[2J\033]0;owned\007' >&2; exit 1")
    error = check_ssh([sshd.target()], 10.0)["w-1"]
    assert isinstance(error, UnreachableError)
    assert r"\x1b[2J\x1b]0;owned\x07" in str(error)
    assert "\x1b" not in str(error)
