"""The report of a run is JSON for programs and one readable page for people."""

from __future__ import annotations

import json

from metalk8s_expand.domain.reports import run
from metalk8s_expand.domain.reports.run import NodeReport, Report, StepResult
from metalk8s_expand.domain.reports.terminal.document import text_of
from metalk8s_expand.errors import DeployError

ERROR = DeployError(
    "state etcd failed", node="cp-1", hint="mend it", job="2024", log="/var/log/salt/master"
).as_dict()
FULL = Report(
    "r1",
    (
        NodeReport(
            "cp-1",
            (StepResult("register", 1.0, 0.25, True), StepResult("deploy", 1.3, 61.04, False, "d")),
            False,
            ERROR,
        ),
        NodeReport("worker-1", skipped="cp-1 failed"),
        NodeReport("worker-2"),
        NodeReport("worker-3", ok=False, error={"message": "no answer"}),
    ),
    0.0,
    62.345678,
    False,
    8,
    ("etcd has two members",),
    {"path": "/s/etcd-1-r1.db", "bytes": 4096, "member": "cp-2", "copied_to": "/mnt/etcd-1-r1.db"},
)


def test_report_text_has_failures_steps_and_notes() -> None:
    data = json.loads(json.dumps({**FULL.as_dict(), "command": "salt-run metalk8s_expand.expand"}))
    assert text_of(run.render_report(data)).splitlines() == [
        "run r1 FAILED after 62.3 s: 4 nodes, 2 failed, 1 skipped, 1 done",
        "",
        "Failures:",
        "  cp-1: state etcd failed",
        "    do next: mend it",
        "    job: 2024",
        "    log: /var/log/salt/master",
        "  worker-3: no answer",
        "",
        "Continue with: salt-run metalk8s_expand.expand",
        "",
        "node      step      result                seconds",
        "cp-1      register  ok                    0.2",
        "          deploy    FAILED                61.0",
        "worker-3  -         FAILED",
        "worker-1  -         skipped: cp-1 failed",
        "worker-2  -         ok",
        "",
        "etcd snapshot: /s/etcd-1-r1.db (4096 bytes, of cp-2), copied to",
        "  /mnt/etcd-1-r1.db",
        "",
        "Notes:",
        "- etcd has two members",
    ]


def test_report_text_of_success_is_one_line() -> None:
    assert (
        text_of(run.render_report(Report("r", (), 0.0, 1.0, True).as_dict()))
        == "run r succeeded after 1.0 s"
    )


def test_report_as_dict_has_every_key() -> None:
    found = FULL.as_dict()
    assert set(found) == {"id", "ok", "retcode", "started", "elapsed", "nodes", "notes", "snapshot"}
    assert found["nodes"][0]["steps"][1] == {
        "name": "deploy",
        "started": 1.3,
        "elapsed": 61.04,
        "ok": False,
        "detail": "d",
    }
