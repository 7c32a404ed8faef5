"""Save and restore etcd with real members, during writes, by the commands of docs/guides/restore.rst."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.etcd import bolt_file, snapshot_stream
from metalk8s_expand.clients.etcd.api import Etcd
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.cluster import etcd_snapshot
from metalk8s_expand.domain.etcd import snapshot_policy as rules
from metalk8s_expand.domain.etcd.snapshot_policy import SnapshotSettings
from metalk8s_expand.errors import ConflictError, ExpandError, PreflightError, UnreachableError
from tests.documented import steps
from tests.integration.apiserver import ApiServer
from tests.integration.daemons import eventually
from tests.integration.etcd_host import Host, is_up, voters

RUN = "20261123020000"


@pytest.fixture
def settings(tmp_path: Path) -> SnapshotSettings:
    return SnapshotSettings(directory=str(tmp_path / "var" / "snapshots"), timeout_s=60)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on another file system."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        if os.stat(path).st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is no second file system to copy to")
        yield Path(path)


def client(*hosts: Host) -> Etcd:
    return hosts[0].etcd(hosts[1:], own=True)


def take(etcd: Etcd, settings: SnapshotSettings, run: str) -> etcd_snapshot.Snapshot:
    return etcd_snapshot.take(etcd, settings, run, Clock())


def etcdutl(host: Host, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [str(host.site.programs["etcdutl"]), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def fill(host: Host, count: int) -> None:
    """Write ``count`` keys in transactions of 100, and one large value.

    The store then has branch pages and long values.
    """
    for start in range(0, count, 100):
        puts = "\n".join(
            f"put key-{number:06} value-{number}"
            for number in range(start, min(start + 100, count))
        )
        paths = host.site.credentials()
        tls = [f"--cacert={paths.ca}", f"--cert={paths.cert}", f"--key={paths.key}"]
        argv = [
            str(host.site.programs["etcdctl"]),
            f"--endpoints=https://{host.address}:2379",
            *tls,
            "txn",
        ]
        subprocess.run(
            argv, input=f"\n{puts}\n\n\n", text=True, capture_output=True, check=True, timeout=30
        )
    host.put("large", "x" * 100_000)


class Writer:
    """Writes numbered keys one after another, and counts the acknowledged writes."""

    def __init__(self, host: Host) -> None:
        self.host, self.acknowledged = host, 0

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        end = threading.Event()
        thread = threading.Thread(target=self._write, args=(end,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            end.set()
            thread.join(30)

    def _write(self, end: threading.Event) -> None:
        while not end.is_set():
            if self.host.ctl("put", f"written-{self.acknowledged + 1:05}", "yes").returncode == 0:
                self.acknowledged += 1


def restore(host: Host, path: str) -> None:
    """Run the documented command with the names of this host."""
    commands = (command.text for command in steps("guides/restore.rst")[3])
    lines = next(text for text in commands if text.startswith("etcdutl snapshot restore"))
    known = {
        "$snapshot": path,
        "$name": host.name,
        "$address": host.address,
        "$token": "restored",
        "/var/lib/etcd/restored": str(host.files.data / "restored"),
    }
    for word, value in known.items():
        assert word in lines, word
        lines = lines.replace(word, value)
    words = [word.strip('"') for word in lines.split()]
    done = etcdutl(host, *words[1:])
    assert done.returncode == 0, done.stderr
    shutil.move(host.files.data / "restored" / "member", host.files.data / "member")


# Snapshots


def test_snapshot_during_writes_has_all_earlier_acknowledged_writes(
    trio: list[Host], settings: SnapshotSettings
) -> None:
    a, b, c = trio[:3]
    fill(a, 3000)
    with Writer(a).writing() as writer:
        eventually("some writes", lambda: writer.acknowledged >= 5)
        before, acknowledged = a.revision(), writer.acknowledged
        taken = take(client(a, b, c), settings, RUN)
        eventually("more writes", lambda: writer.acknowledged >= acknowledged + 5)
    assert before <= taken.revision < a.revision()
    path = Path(taken.path)
    assert path.parent == Path(settings.directory)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == [path.name]
    assert taken.size == path.stat().st_size
    leader = next(host for host in (a, b, c) if host.leads())
    assert taken.member in {host.name for host in (a, b, c)} - {leader.name}
    status = json.loads(etcdutl(a, "snapshot", "status", taken.path, "-w", "json").stdout)
    assert taken.revision == status["revision"]


def test_snapshot_of_empty_and_small_store_has_current_revision(
    single: list[Host], settings: SnapshotSettings
) -> None:
    a = single[0]
    assert take(client(a), settings, "1").revision == a.revision()
    a.put("one", "1")
    taken = take(client(a), settings, "2")
    assert (taken.member, taken.revision) == (a.name, a.revision())
    assert a.ctl("del", "one").returncode == 0
    assert take(client(a), settings, "3").revision == a.revision()


def test_second_call_of_run_returns_existing_snapshot(
    single: list[Host], settings: SnapshotSettings
) -> None:
    a = single[0]
    first = take(client(a), settings, RUN)
    a.put("later", "yes")
    inode = os.stat(first.path).st_ino
    second = take(client(a), settings, RUN)
    assert (second.path, second.sha256, second.member) == (first.path, first.sha256, "")
    assert os.stat(first.path).st_ino == inode
    spoil(Path(first.path), 5000)
    third = take(client(a), settings, RUN)
    assert third.revision > first.revision, "one that is not sound is taken anew"


def test_newest_snapshots_and_foreign_files_are_kept(single: list[Host], tmp_path: Path) -> None:
    a = single[0]
    settings = SnapshotSettings(directory=str(tmp_path / "s"), keep=2)
    (tmp_path / "s").mkdir(mode=0o700)
    foreign = ["etcd.db", "etcd-0000000000000001-20261101000000.db", "notes"]
    for name in foreign:
        (tmp_path / "s" / name).write_text("not ours")
    killed = rules.partial(rules.snapshot_name(a.members()[0].cluster_id or 0, "1"))
    (tmp_path / "s" / killed).write_text("of a killed run")
    paths = [Path(take(client(a), settings, f"2026112302000{number}").path) for number in range(4)]
    assert sorted(os.listdir(tmp_path / "s")) == sorted([*foreign, paths[2].name, paths[3].name])


def test_snapshot_copy_is_verified_at_target(
    single: list[Host], settings: SnapshotSettings, elsewhere: Path
) -> None:
    a = single[0]
    copied = SnapshotSettings(directory=settings.directory, copy_to=str(elsewhere))
    taken = take(client(a), copied, RUN)
    assert taken.copied_to == str(elsewhere / Path(taken.path).name)
    assert bolt_file.verify_snapshot(Path(taken.copied_to)).sha256 == taken.sha256
    assert stat.S_IMODE(os.stat(taken.copied_to).st_mode) == 0o600
    spoil(Path(taken.copied_to), 5000)
    assert take(client(a), copied, RUN).copied_to == taken.copied_to
    assert bolt_file.verify_snapshot(Path(taken.copied_to)).sha256 == taken.sha256, (
        "a spoilt copy is made again"
    )


def test_missing_mount_for_copy_is_refused(
    single: list[Host], settings: SnapshotSettings, tmp_path: Path
) -> None:
    (tmp_path / "mount").mkdir()
    for path, words in (
        (tmp_path / "mount", "same file system"),
        (tmp_path / "absent", "No such file"),
    ):
        with pytest.raises(PreflightError, match=words):
            take(
                client(single[0]),
                SnapshotSettings(directory=settings.directory, copy_to=str(path)),
                RUN,
            )
    assert not (tmp_path / "absent").exists()


def test_snapshot_without_free_space_is_refused(
    single: list[Host], settings: SnapshotSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "SPARE_BYTES", 1 << 60)
    with pytest.raises(PreflightError, match="free, but the snapshot of etcd needs"):
        take(client(single[0]), settings, RUN)
    assert os.listdir(settings.directory) == []


def test_world_writable_directory_is_refused(single: list[Host], tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(PreflightError, match="is writable by other users"):
        take(client(single[0]), SnapshotSettings(directory=str(tmp_path / "open")), RUN)


# Damaged snapshots


def spoil(path: Path, place: int) -> None:
    """Flip one bit of the file."""
    with path.open("r+b") as stream:
        stream.seek(place)
        byte = stream.read(1)[0]
        stream.seek(place)
        stream.write(bytes([byte ^ 1]))


def test_altered_and_missing_bytes_are_detected(
    single: list[Host], settings: SnapshotSettings
) -> None:
    fill(single[0], 200)
    path = Path(take(client(single[0]), settings, RUN).path)
    sound = path.read_bytes()
    for place in (0, 20, 4096 + 20, 10_000, len(sound) // 2, len(sound) - 33, len(sound) - 1):
        spoil(path, place)
        with pytest.raises(ConflictError, match="is not a valid snapshot"):
            bolt_file.verify_snapshot(path)
        path.write_bytes(sound)
    for length in (0, 31, 32, 512 + 32, len(sound) - 1, len(sound) - 32, len(sound) - 4096):
        path.write_bytes(sound[:length])
        with pytest.raises(ConflictError, match="is not a valid snapshot"):
            bolt_file.verify_snapshot(path)


@pytest.mark.parametrize("kind", ["altered", "cut off", "without its hash"])
def test_damaged_stream_leaves_no_file(
    kind: str, single: list[Host], settings: SnapshotSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = snapshot_stream.pieces

    def bad(*words: Any) -> Iterator[bytes]:
        found = list(plain(*words))
        if kind == "altered":
            found[0] = found[0][:6000] + bytes([found[0][6000] ^ 1]) + found[0][6001:]
        kept = {"without its hash": found[:-1], "cut off": found[:1]}
        yield from kept.get(kind, found)

    monkeypatch.setattr(snapshot_stream, "pieces", bad)
    with pytest.raises(
        UnreachableError, match="no etcd member delivers a valid snapshot"
    ) as caught:
        take(client(single[0]), settings, RUN)
    assert "is not a valid snapshot of etcd" in str(caught.value)
    assert os.listdir(settings.directory) == []


def test_snapshot_is_taken_from_next_voter_after_failure(
    trio: list[Host], settings: SnapshotSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, asked = snapshot_stream.pieces, []

    def once_bad(etcd: Etcd, url: str, *words: Any) -> Iterator[bytes]:
        asked.append(url)
        if len(asked) == 1:
            yield b"half of it"
            raise UnreachableError("it breaks off")
        yield from plain(etcd, url, *words)

    monkeypatch.setattr(snapshot_stream, "pieces", once_bad)
    taken = take(client(*trio[:3]), settings, RUN)
    assert len(set(asked)) == 2
    assert os.listdir(settings.directory) == [Path(taken.path).name]


def test_snapshot_skips_voter_that_is_down_and_fails_without_majority(
    trio: list[Host], settings: SnapshotSettings
) -> None:
    a, b, c = trio[:3]
    b.power_off()
    eventually("a leader", is_up(a, [a, c]))
    assert take(client(a, b, c), settings, RUN).member in (a.name, c.name)
    c.power_off()
    with pytest.raises(ExpandError):
        take(client(a, b, c), settings, "another")
    assert len(os.listdir(settings.directory)) == 1


# Restore


def test_cluster_is_restored_on_empty_disks(trio: list[Host], settings: SnapshotSettings) -> None:
    a, b, c = members = trio[:3]
    fill(a, 500)
    a.put("before", "snapshot")
    taken = take(client(*members), settings, RUN)
    a.put("after", "snapshot")
    lost, old_cluster = a.revision(), a.members()[0].cluster_id
    for host in members:
        host.manifest.unlink()
        host.power_off()
        host.wipe()
        host.files.data.mkdir(mode=0o700)
    restore(a, taken.path)
    for host in members:
        host.power_on()
    a.write_manifest()
    eventually("the restored member leads alone", is_up(a, [a]))
    assert a.members()[0].cluster_id != old_cluster, (
        "no old member takes the new cluster for its own"
    )
    assert a.get("before") == "snapshot"
    assert a.get("after") == ""
    assert a.ctl("get", "--prefix", "key-", "--keys-only").stdout.count("key-") == 500
    assert a.revision() > lost, "no client sees the time go back"
    watch = a.ctl("watch", "before", f"--rev={lost}")
    assert "compacted" in watch.stdout + watch.stderr, (
        "one that has seen what is lost is told to list again"
    )
    for host in (b, c):
        assert {"added", "promoted", "sealed"} <= set(host.deploy(members))
    assert voters(a) == [host.name for host in members]
    assert c.get("before") == "snapshot"
    assert len({hash_of(host, a.revision()) for host in members}) == 1
    assert [host.deploy(members) for host in members] == [{}, {}, {}]
    again = take(client(*members), settings, "20261123030000")
    assert again.revision == a.revision()


def test_watch_from_lost_revision_must_list_again(
    single: list[Host], settings: SnapshotSettings, tmp_path: Path
) -> None:
    a = single[0]
    (tmp_path / "api").mkdir()
    server = ApiServer(a, tmp_path / "api").wait()
    configmaps = "/api/v1/namespaces/default/configmaps"
    try:
        ask(server, "create", "configmap", "before")
        ask(server, "create", "secret", "generic", "before", "--from-literal=a=b")
        taken = take(client(a), settings, RUN)
        for number in range(50):
            ask(server, "create", "configmap", f"after-{number}")
        seen = json.loads(ask(server, "get", "--raw", configmaps))["metadata"]["resourceVersion"]
        server.stop()
        a.manifest.unlink()
        a.power_off()
        a.wipe()
        a.files.data.mkdir(mode=0o700)
        restore(a, taken.path)
        a.power_on()
        a.write_manifest()
        eventually("the restored member leads", is_up(a, [a]))
        server.start()
        server.wait()
        listed = json.loads(ask(server, "get", "--raw", configmaps))
        assert "before" in [item["metadata"]["name"] for item in listed["items"]]
        assert not [
            item for item in listed["items"] if item["metadata"]["name"].startswith("after")
        ]
        assert int(listed["metadata"]["resourceVersion"]) > int(seen)
        watched = ask(
            server, "get", "--raw", f"{configmaps}?watch=1&resourceVersion={seen}&timeoutSeconds=5"
        )
        assert '"code":410' in watched
        assert ask(server, "get", "secret", "before", "--output=jsonpath={.data.a}") == "Yg=="
        ask(server, "create", "configmap", "after-0")
    finally:
        server.stop()


def ask(server: ApiServer, *words: str) -> str:
    """Return the output of kubectl."""
    done = server.kubectl(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def hash_of(host: Host, revision: int) -> int:
    """Return the hash of the store up to a revision, from the member of this host."""
    eventually("it has that revision", lambda: host.revision() >= revision)
    found = json.loads(host.ctl("endpoint", "hashkv", f"--rev={revision}", "-w", "json").stdout)
    return int(found[0]["HashKV"]["hash"])
