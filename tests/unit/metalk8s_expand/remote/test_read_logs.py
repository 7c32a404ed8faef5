"""Test the script that reads logs: on every installed Python, with files of a directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.ssh import remote_script
from metalk8s_expand.remote import host_facts, read_logs
from tests.old_python import python_3_6

SOURCE = Path(read_logs.__file__).read_text(encoding="utf-8")
HASH = "0123456789abcdef0123456789abcdef"


def interpreters() -> list[str]:
    """The Python that runs this, and the oldest that a host may have."""
    oldest = python_3_6()
    return [sys.executable, *([str(oldest)] if oldest else [])]


def request(place: Path, **more: Any) -> dict[str, Any]:
    sources = {read_logs.MINION_LOG: str(place / "minion"), read_logs.POD_LOGS: str(place / "pods")}
    return {**read_logs.DEFAULTS, "node": "cp-1", "sources": sources, **more}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("python", interpreters())
def test_script_runs_on_every_python(python: str, tmp_path: Path) -> None:
    write(tmp_path / "minion", "one\ntwo\n")
    command = [python, *remote_script.OPTIONS, json.dumps(request(tmp_path, lines=1))]
    done = subprocess.run(
        command, input=SOURCE, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    document = host_facts.answer(done.stdout, read_logs.MARK)
    minion, kubelet, containerd, pods = document["parts"]
    assert (minion["lines"], minion["cut"], minion["problem"]) == (["two"], True, None)
    assert [item["part"] for item in (kubelet, containerd, pods)] == ["kubelet", "containerd", "static Pods"]  # fmt: skip


def test_newest_log_of_each_container_of_static_pods(tmp_path: Path) -> None:
    pods = tmp_path / "pods"
    write(pods / f"kube-system_etcd-cp-1_{HASH}" / "etcd" / "9.log", "old\n")
    write(pods / f"kube-system_etcd-cp-1_{HASH}" / "etcd" / "10.log", "new\n")
    write(pods / f"kube-system_etcd-cp-2_{HASH}" / "etcd" / "0.log", "other node\n")
    write(
        pods / "default_web-cp-1_1b4e28ba-2fa1-11d2-883f-0016d3cca427" / "web" / "0.log", "user\n"
    )
    [part] = read_logs.static_pods(request(tmp_path))
    assert (part["part"], part["lines"]) == ("etcd-cp-1/etcd", ["new"])


def test_only_end_of_large_file_is_read(tmp_path: Path) -> None:
    write(tmp_path / "minion", "".join(f"line {n}\n" for n in range(100000)))
    [part] = read_logs.minion(request(tmp_path, bytes=100))
    assert part["lines"][-1] == "line 99999"
    assert sum(map(len, part["lines"])) <= 100
    assert all(line.startswith("line ") for line in part["lines"])
    assert part["cut"]


@pytest.mark.parametrize(("text", "problem"), [(None, "No such file or directory"), ("", "the file is empty")])  # fmt: skip
def test_file_without_lines_has_problem(tmp_path: Path, text: str | None, problem: str) -> None:
    if text is not None:
        write(tmp_path / "minion", text)
    [part] = read_logs.minion(request(tmp_path))
    assert (part["lines"], part["problem"]) == ([], problem)


def journalctl(place: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    write(place / "bin" / "journalctl", f"#!/bin/sh\n{script}\n")
    (place / "bin" / "journalctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place / 'bin'}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("script", "lines", "problem"),
    [
        ('echo "-- Journal begins"; echo "x kubelet: up"', ["x kubelet: up"], None),
        ('echo "-- No entries --"', [], "the journal has no entry of this unit"),
        ("echo refused >&2; exit 1", [], "refused"),
    ],
)
def test_journal_of_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, lines: list[str], problem: str
) -> None:
    journalctl(tmp_path, monkeypatch, script)
    [part] = read_logs.unit("kubelet", request(tmp_path))
    assert (part["lines"], part["problem"]) == (lines, problem)


def test_host_without_journalctl_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    [part] = read_logs.unit("kubelet", request(tmp_path))
    assert part["problem"] == "this host has no journalctl"


def test_log_that_hangs_delays_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "minion", "up\n")
    journalctl(tmp_path, monkeypatch, "exec sleep 5")
    monkeypatch.setattr(read_logs, "static_pods", lambda request: time.sleep(5))
    started = time.monotonic()
    parts = read_logs.logs(request(tmp_path, seconds=2))
    assert time.monotonic() - started < 4
    assert [part["part"] for part in parts] == ["minion", "kubelet", "containerd", "static Pods"]
    assert parts[0]["lines"] == ["up"]
    assert parts[1]["problem"] in ("journalctl did not end in time", "it was not read in time")
    assert parts[3]["problem"] == "it was not read in time"
    assert sys.dont_write_bytecode
