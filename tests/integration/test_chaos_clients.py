"""The clients of ``make chaos`` against a real etcd and a real API server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from chaos import https, invariants, linearizability
from tests.integration.apiserver import ApiServer
from tests.integration.etcd_host import Host, Site

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def keys(site: Site, tmp_path: Path) -> Path:
    """Copy the credentials as a run copies them from the bootstrap host."""
    copied(tmp_path / "keys" / "etcd", site.pki / "ca.crt", site.pki / "client")
    return tmp_path / "keys"


def copied(place: Path, authority: Path, client: Path) -> None:
    place.mkdir(parents=True)
    sources = (authority, client.with_suffix(".crt"), client.with_suffix(".key"))
    for name, source in zip(https.FILES, sources, strict=True):
        shutil.copy(source, place / name)


def members(what: str, keys: Path, *words: str) -> str:
    argv = [sys.executable, "-m", "chaos.etcd_state", what, f"--keys={keys}", *words]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def beside(module: str, *words: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", f"chaos.{module}", *words]
    process = subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# This test comes first: the API server of the next test uses the same addresses until the end of
# the file.
def test_collect_returns_history_of_each_member(trio: list[Host], keys: Path) -> None:
    """Each member reports its own history, hash, member list and cluster ID.

    A compacted history has a floor.
    """
    trio = trio[:3]
    for number in range(6):
        trio[0].put(f"/registry/configmaps/chaos/key-{number % 2}", f"v{number}")
    places = [f"{host.name}={host.address}" for host in trio]
    names = [host.name for host in trio]
    gathered = json.loads(members("collect", keys, "--start=1", *places))
    assert invariants.etcd_problems(gathered, names) == []
    assert [len(item["events"]) for item in gathered["members"]] == [6, 6, 6]
    assert linearizability.problems([], invariants.member_histories(gathered)) == []
    third = gathered["members"][0]["events"][2]["revision"]
    assert trio[0].ctl("compact", str(third)).returncode == 0
    gathered = json.loads(members("collect", keys, "--start=1", *places))
    assert invariants.etcd_problems(gathered, names) == []
    assert [(item["floor"], len(item["events"])) for item in gathered["members"]] == [
        (third, 3)
    ] * 3


def test_workload_and_watch_detect_lost_write(
    server: ApiServer, keys: Path, tmp_path: Path
) -> None:
    """Write for 4 s: the histories contain every acknowledged write.

    The check reports a loss if one event is removed from the history.
    """
    copied(keys / "kubernetes", server.root / "pki/ca.crt", server.root / "pki/admin")
    place = f"one={urlsplit(server.url).hostname}"
    start = int(members("revision", keys, place))
    watch = beside(
        "etcd_state",
        "watch",
        f"--keys={keys}",
        f"--log={tmp_path / 'seen'}",
        f"--start={start}",
        place,
    )
    write = beside("workload", f"--keys={keys}", f"--log={tmp_path / 'operations'}", place)
    time.sleep(4)
    for process in (write, watch):
        process.communicate(timeout=60)
    operations = [linearizability.operation(item) for item in lines(tmp_path / "operations")]
    seen = [(item["member"], linearizability.event(item)) for item in lines(tmp_path / "seen")]
    gathered = json.loads(members("collect", keys, f"--start={start}", place))
    held = invariants.member_histories(gathered)
    assert len(linearizability.acknowledged(operations)) > 20
    assert linearizability.problems(operations, held, seen) == []
    assert {event for _, event in seen} == set(held[0].events)
    assert gathered["problems"] == []
    held = [
        linearizability.MemberHistory(held[0].name, held[0].floor, held[0].end, held[0].events[:-1])
    ]
    assert any("LOST" in line for line in linearizability.problems(operations, held, seen))
