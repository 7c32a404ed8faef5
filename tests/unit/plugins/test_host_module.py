"""Test the execution module on a minion: the functions that an operator calls return the facts of the script."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from metalk8s_expand.domain.preflight import findings
from metalk8s_expand.remote import host_facts
from tests import extension
from tests.unit.metalk8s_expand.conftest import free_port

LOCAL = "127.0.0.1"


@pytest.fixture(scope="module")
def module() -> Any:
    return extension.load("modules", "metalk8s_expand_host")


def test_module_loads(module: ModuleType) -> None:
    assert module.__virtual__() == "metalk8s_expand_host"


def test_probe_without_request_returns_facts_of_every_host(
    module: ModuleType, tmp_path: Path
) -> None:
    found = module.probe({"sources": {"/etc/resolv.conf": "/dev/null"}})
    before_listening = {"ports", "listeners"}
    assert set(found) == {
        *host_facts.QUICK,
        *host_facts.SLOW,
        *before_listening,
        "elapsed",
        "time",
    }
    assert set(found["modules"]) == set(findings.QUESTIONS["modules"])
    assert {"packages", "services"} <= set(findings.QUESTIONS)
    assert set(found["directories"]) == set(findings.QUESTIONS["directories"])
    assert (found["connections"], found["listen"], found["fsync"], found["route"]) == (
        {},
        None,
        None,
        None,
    )
    json.dumps(found)


def test_a_request(module: ModuleType) -> None:
    port = free_port()
    found = module.probe({"connect": [[LOCAL, port]], "sources": {"/etc/resolv.conf": "/dev/null"}})
    assert found["connections"] == {f"{LOCAL}:{port}": "connection refused"}


def test_connections(module: ModuleType) -> None:
    closed = free_port()
    with socket.create_server((LOCAL, 0)) as server:
        port = server.getsockname()[1]
        assert module.connect([[LOCAL, port], [LOCAL, str(port)], [LOCAL, closed]], window=0) == {
            f"{LOCAL}:{port}": "", f"{LOCAL}:{closed}": "connection refused",
        }  # fmt: skip


def test_window_is_limited(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_facts, "LONGEST_WINDOW", 0.5)
    started = time.monotonic()
    assert set(module.connect([[LOCAL, free_port()]], window=3600).values()) == {
        "connection refused"
    }
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("targets", [[[LOCAL]], [[LOCAL, "ssh"]], [5], "10.0.0.1:22"])
def test_invalid_targets_are_refused(module: ModuleType, targets: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        module.connect(targets)


def test_nobody(module: ModuleType) -> None:
    assert module.connect([]) == {}


def test_every_function_is_documented(module: ModuleType) -> None:
    assert all("CLI Example" in function.__doc__ for function in (module.probe, module.connect))


@pytest.mark.parametrize(
    "pillar",
    [
        {},
        {"metalk8s": {}},
        {"metalk8s": {"node": {"address": LOCAL}, "certificates": {"x": "/nowhere/x"}}},
    ],
)
def test_certificates_by_the_nodes_own_pillar(module: ModuleType, pillar: dict[str, Any]) -> None:
    module.__pillar__ = pillar  # type: ignore[attr-defined]
    found = module.certificates()
    assert ("x" in found) == bool(pillar.get("metalk8s"))
    json.dumps(found)


def test_logs_return_parts_without_secrets(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = {"part": "minion", "source": "x", "cut": False, "problem": None}
    asked = []

    def logs(request: dict[str, Any]) -> list[dict[str, Any]]:
        asked.append(request)
        return [{**part, "lines": ["password: x", "up"]}]

    monkeypatch.setattr(module.read_logs, "logs", logs)
    monkeypatch.setattr(module, "__opts__", {"id": "w-1"}, raising=False)
    assert module.logs(lines=2) == [{**part, "lines": ["password: [left out]", "up"]}]
    assert asked == [{"lines": 2, "node": "w-1"}]
