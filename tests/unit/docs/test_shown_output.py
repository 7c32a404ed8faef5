"""The outputs that the pages show are those that the renderers print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from docs.book.source import ROOT
from metalk8s_expand.domain.reports import run
from metalk8s_expand.domain.reports.removal import render_removal_plan
from metalk8s_expand.domain.reports.run import NodeReport, Report, StepResult
from metalk8s_expand.domain.reports.terminal.document import text_of
from metalk8s_expand.domain.reports.terminal.overview import render_overview
from metalk8s_expand.errors import DeployError

NAMES = ("cp-1", "cp-2", "infra-1", "worker-1")
UNCHANGED = Report(
    "20261122195023",
    (),
    0.0,
    0.5,
    True,
    notes=tuple(f"{name}: nothing to change" for name in NAMES),
)
ERROR = DeployError(
    "metalk8s.orchestrate.deploy_node failed",
    node="cp-2",
    problems=[
        "state 'Let cp-2 join the cluster': on cp-2: state 'Start etcd' failed: no space left on device"
    ],
    hint="fix the first of these problems and run the same command again; the whole result: salt-run"
    " jobs.lookup_jid 20261123015443123456",
    log="salt-run metalk8s_expand.logs cp-2; /var/log/salt/master on the master",
)
FAILED = Report(
    "20261123015400",
    (
        NodeReport(
            "cp-1",
            (StepResult("register", 1.0, 0.3, True), StepResult("deploy", 1.3, 41.2, True), StepResult("verify", 42.5, 0.3, True)),
        ),
        NodeReport(
            "cp-2",
            (StepResult("register", 1.0, 0.25, True), StepResult("deploy", 43.0, 61.04, False)),
            False,
            ERROR.as_dict(),
            None,
            ("its etcd learner cp-2 (8e9e05c52164694d, https://10.200.0.12:2380) was removed",),
            "NodeStatusUnknown; cordoned by us, so it takes no Pods",
        ),
    ),
    0.0,
    104.0,
    False,
    8,
)  # fmt: skip
REMOVAL: dict[str, Any] = {
    "node": "cp-1",
    "digest": "5d0c2f4e9a17",
    "refused": [],
    "guard": {
        "agrees": True,
        "etcd": {
            "before": {"voters": 5, "healthy": 4, "needed": 3, "failures": 1},
            "after": {"voters": 4, "healthy": 3, "needed": 3, "failures": 0},
        },
    },
    "steps": [{"name": "guard", "reason": "the cluster must keep working without the node"}],
}


OVERVIEW: dict[str, Any] = {
    "nodes": {
        "total": 5,
        "ready": 5,
        "roles": {
            "bootstrap": {"total": 1, "ready": 1},
            "master": {"total": 3, "ready": 3},
            "etcd": {"total": 3, "ready": 3},
            "infra": {"total": 2, "ready": 2},
            "node": {"total": 1, "ready": 1},
        },
    },
    "etcd": {
        "members": [],
        "voters": 3,
        "healthy": 3,
        "needed": 2,
        "failures": 1,
        "leader": "bootstrap",
        "db_size": 25_480_000,
        "alarms": [],
        "problems": [],
        "unknown": None,
    },
    "api_servers": {
        "total": 3, "answering": ["bootstrap", "cp-1", "cp-2"], "missing": [], "unknown": None,
    },
    "dns": {"ready": 2, "wanted": 2, "nodes": ["bootstrap", "infra-1"], "unknown": None},
    "proxies_behind": ["worker-1"],
    "lock": {"held": False, "unknown": None},
}  # fmt: skip


def report(finished: Report) -> str:
    return text_of(
        run.render_report({**finished.as_dict(), "command": "salt-run metalk8s_expand.expand"})
    )


@pytest.mark.parametrize(
    ("page", "first", "shown"),
    [
        ("guides/expand", "run 20261122195023 succeeded", report(UNCHANGED)),
        ("guides/follow", "run 20261123015400 FAILED", report(FAILED)),
        ("guides/check", "cluster      state", text_of([render_overview(OVERVIEW)])),
        ("guides/remove", "Removal of cp-1", text_of(render_removal_plan(REMOVAL))),
    ],
)
def test_page_shows_what_is_printed(page: str, first: str, shown: str) -> None:
    text = (ROOT / "docs" / f"{page}.rst").read_text(encoding="utf-8")
    assert block(text.splitlines(), first) == shown.rstrip().splitlines()


def block(lines: Sequence[str], first: str) -> list[str]:
    """Return the code block of a page that starts with this text."""
    [start] = [number for number, line in enumerate(lines) if line.strip().startswith(first)]
    indent = len(lines[start]) - len(lines[start].lstrip())
    held = []
    for line in lines[start:]:
        if line.strip() and len(line) - len(line.lstrip()) < indent:
            break
        held.append(line[indent:])
    return "\n".join(held).rstrip().splitlines()
