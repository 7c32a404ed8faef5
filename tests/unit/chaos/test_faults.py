"""Test the queries to the cluster that a fault needs."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from chaos import faults, lab_hosts
from chaos.lab_hosts import ChaosError


def status(own: str, leader: str) -> str:
    return json.dumps(
        {"header": {"member_id": own, "cluster_id": "9"}, "leader": leader, "version": "3.6.5"}
    )


def answering(monkeypatch: pytest.MonkeyPatch, answers: dict[str, str]) -> list[tuple[str, ...]]:
    asked = []

    def on(host: str, *command: str, **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        text = answers.get(host)
        return subprocess.CompletedProcess(
            command, 7 if text is None else 0, text or "", "" if text else "curl: (7) refused"
        )

    monkeypatch.setattr(lab_hosts, "on", on)
    return asked


def test_leader_is_the_member_that_reports_its_own_id(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, {"bootstrap": status("1", "2"), "cp-1": status("2", "2")})
    assert faults.etcd_leader(("cp-2", "bootstrap", "cp-1")) == "cp-1"


def test_error_without_a_leader_contains_each_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(
        monkeypatch, {"bootstrap": json.dumps({"header": {"member_id": "1"}}), "cp-1": "not JSON"}
    )
    with pytest.raises(ChaosError) as error:
        faults.etcd_leader(("cp-2", "bootstrap", "cp-1"))
    for text in ("cp-2, bootstrap, cp-1", "curl: (7) refused", "not JSON"):
        assert text in str(error.value)


def test_curl_options_have_no_equals_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, {"bootstrap": status("1", "1")})
    faults.etcd_leader(("bootstrap",))
    assert not [word for word in asked[0] if "=" in word], (
        "curl knows --option value, not --option=value"
    )
