"""Test the lock with a real API server.

The tests cover concurrent processes, frozen and killed holders, and an API that stops responding.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.kubernetes.lease import Leases, claim
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.domain.runs.lease_rules import NAME, NAMESPACE
from metalk8s_expand.errors import LockedError
from metalk8s_expand.minion import fence
from metalk8s_expand.runs import lock
from metalk8s_expand.runs.lock import Lock, acquire
from tests.integration.apiserver import ApiServer
from tests.integration.daemons import eventually

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("lock_worker.py")
CROWD = 20
SHORT = 2


@pytest.fixture
def kube(server: ApiServer) -> Iterator[Kube]:
    """Return an administrator's client; the Lease does not exist before the test."""
    found = Kube.from_kubeconfig(str(server.admin))
    path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{NAME}"
    eventually("the namespace is there", lambda: found.get(f"/api/v1/namespaces/{NAMESPACE}"), 30)
    found.request("DELETE", path)
    yield found
    found.request("DELETE", path)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the file in which the processes record their actions."""
    path = tmp_path / "log"
    path.write_text("")
    return path


def start(
    server: ApiServer, log: Path, mode: str, duration: int = SHORT, **options: Any
) -> subprocess.Popen[bytes]:
    given = {
        "kubeconfig": str(server.admin),
        "mode": mode,
        "log": str(log),
        "duration": duration,
        **options,
    }
    given["epoch_file"] = str(log.parent / "etc" / "expand-epoch")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "salt" / "_utils")}
    return subprocess.Popen(
        [sys.executable, str(WORKER), json.dumps(given)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


class Worker:
    """A process that holds the lock and executes commands."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.epoch = int(self.answer()["epoch"])

    def tell(self, command: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        assert select.select([self.process.stdout], [], [], 30)[0], "the worker says nothing"
        return dict(json.loads(self.process.stdout.readline()))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def is_stopped(self) -> bool:
        return (
            Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        )


@pytest.fixture
def worker(server: ApiServer, kube: Kube, log: Path) -> Iterator[Worker]:
    """Start a worker that holds the lock."""
    process = start(server, log, "run")
    try:
        yield Worker(process)
    finally:
        process.kill()
        process.communicate()


def take(kube: Kube, wait_s: float = 0.0, duration: int = SHORT) -> Lock:
    """Acquire the lock as another run."""
    return acquire(
        Leases(kube), claim("run-2", "the test"), wait_s, clock=Clock(), duration=duration
    )


def gather(process: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
    """Return the result of each process of the crowd."""
    try:
        output, _ = process.communicate(timeout=50)
    finally:
        process.kill()
    assert process.returncode == 0
    return [json.loads(line) for line in output.decode().splitlines()]


def test_twenty_concurrent_processes_yield_single_holder(
    server: ApiServer, kube: Kube, log: Path
) -> None:
    answers = gather(start(server, log, "crowd", 20, count=CROWD, wait_s=0, told=CROWD - 1))
    told = [answer for answer in answers if "retcode" in answer]
    [holder] = [answer for answer in answers if "epoch" in answer]
    assert [answer["retcode"] for answer in told] == [LockedError.retcode] * (CROWD - 1)
    assert all(f"turn of {holder['pid']} (run crowd of " in answer["message"] for answer in told)
    assert all(f" on {os.uname().nodename}, " in answer["message"] for answer in told)


def test_twenty_waiting_processes_hold_lock_one_after_another(
    server: ApiServer, kube: Kube, log: Path
) -> None:
    answers = gather(start(server, log, "crowd", 20, count=CROWD, wait_s=40, told=0))
    lines = [line.split() for line in log.read_text().splitlines()]
    assert [line[0] for line in lines] == ["enter", "leave"] * CROWD
    assert [line[1:] for line in lines[::2]] == [line[1:] for line in lines[1::2]], (
        "who entered left, before the next came"
    )
    epochs = [int(line[2]) for line in lines[::2]]
    assert epochs == list(range(epochs[0], epochs[0] + CROWD))
    assert sorted(answer["epoch"] for answer in answers) == epochs


def test_lock_of_live_holder_is_not_taken_over(worker: Worker, kube: Kube) -> None:
    with pytest.raises(
        LockedError,
        match=rf"after 4 s of waiting: a worker \(run run-1 of .*_{worker.process.pid}_",
    ):
        take(kube, wait_s=2 * SHORT)
    worker.tell("change")
    assert worker.answer()["changed"]
    worker.tell("release")
    worker.answer()
    assert take(kube).epoch == worker.epoch + 1


def test_lock_of_holder_killed_on_this_host_is_taken_over_immediately(
    server: ApiServer, kube: Kube, log: Path
) -> None:
    process = start(server, log, "run", 600)
    found = Worker(process)
    with pytest.raises(LockedError):
        take(kube)
    found.signal(signal.SIGSTOP)
    with pytest.raises(LockedError):
        take(kube)
    found.signal(signal.SIGKILL)
    process.wait(10)
    with take(kube) as held:
        assert held.epoch == found.epoch + 1


@pytest.fixture
def distant(server: ApiServer, kube: Kube, log: Path) -> Iterator[Worker]:
    """Start a worker that claims to run on another host."""
    process = start(server, log, "run", elsewhere=True)
    try:
        yield Worker(process)
    finally:
        process.kill()
        process.communicate()


def test_lock_of_holder_killed_on_other_host_is_taken_over_after_expiry(
    distant: Worker, kube: Kube
) -> None:
    worker = distant
    worker.signal(signal.SIGKILL)
    worker.process.wait(10)
    killed = time.monotonic()
    with pytest.raises(LockedError):
        take(kube)
    with take(kube, wait_s=30) as held:
        assert SHORT < time.monotonic() - killed < SHORT + 10
        assert held.epoch == worker.epoch + 1
        held.check()


def test_frozen_holder_detects_lost_lock_before_next_change(
    worker: Worker, kube: Kube, log: Path
) -> None:
    worker.tell("change")
    assert worker.answer()["changed"]
    worker.signal(signal.SIGSTOP)
    with take(kube, wait_s=30) as held:
        assert held.epoch == worker.epoch + 1
        before = log.read_text()
        worker.signal(signal.SIGCONT)
        worker.tell("change")
        answer = worker.answer()
        assert (answer["type"], answer["retcode"]) == ("LockLostError", 9)
        assert "this run has lost the lock, so it stops before its next change" in answer["message"]
        assert log.read_text() == before
        held.check()


def test_process_frozen_between_check_and_change_is_refused_by_host(
    worker: Worker, kube: Kube, log: Path
) -> None:
    """The Lease alone would admit the change."""
    worker.tell("freeze and change")
    eventually("the worker is stopped", worker.is_stopped, 20)
    with take(kube, wait_s=30) as held:
        path = log.parent / "etc" / "expand-epoch"
        fence.check_fencing_epoch(str(path), held.epoch)
        worker.signal(signal.SIGCONT)
        answer = worker.answer()
        assert (answer["type"], answer["retcode"]) == ("LockLostError", 9)
        assert (
            f"the epoch {worker.epoch}, but a job with the epoch {held.epoch} has already run"
            in answer["message"]
        )
        assert log.read_text() == ""
        assert path.read_text() == f"{held.epoch}\n"


def test_holder_tolerates_frozen_api_until_lease_expires(server: ApiServer, kube: Kube) -> None:
    duration = 3
    impatient = Kube.from_kubeconfig(str(server.admin), timeout=0.3)
    with acquire(
        Leases(impatient), claim("run-2", "the test"), clock=Clock(), duration=duration
    ) as held:
        end = time.monotonic() + 1.2
        with Frozen(server):
            while time.monotonic() < end:
                held.tick()
                held.check()
                time.sleep(0.1)
        eventually("it is renewed again", lambda: held.tick() or age(kube) < 1, 2)
        held.check()
        with Frozen(server):
            time.sleep(duration)
            started = time.monotonic()
            with pytest.raises(LockedError, match="it was not renewed for"):
                held.check()
            assert time.monotonic() - started < 0.1, "its own clock tells, the API need not"


class Frozen:
    """A stopped API server, which neither answers nor closes its connections."""

    def __init__(self, server: ApiServer) -> None:
        self._pid = server._daemon._process.pid

    def __enter__(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGCONT)


def age(kube: Kube) -> float:
    """Return the seconds since the last renewal that the API server stores."""
    from datetime import datetime, timezone

    stored = Leases(kube).get() or {}
    renewed = datetime.strptime(stored["spec"]["renewTime"], "%Y-%m-%dT%H:%M:%S.%fZ")
    return time.time() - renewed.replace(tzinfo=timezone.utc).timestamp()


def test_lease_shown_by_kubectl_keeps_foreign_annotation(server: ApiServer, kube: Kube) -> None:
    lease = ["--namespace", NAMESPACE, "lease", NAME]
    with take(kube, duration=60) as held:
        shown = server.kubectl("get", *lease, "--output=json")
        found = json.loads(shown.stdout)
        notes = {
            key.partition("/")[2]: value for key, value in found["metadata"]["annotations"].items()
        }
        assert (notes["run"], notes["doing"], notes["host"]) == (
            "run-2",
            "the test",
            os.uname().nodename,
        )
        assert found["spec"]["holderIdentity"] in server.kubectl("get", *lease).stdout
        assert held.epoch == found["spec"]["leaseTransitions"]
        noted = server.kubectl("annotate", *lease, "example.com/note=kept")
        assert noted.returncode == 0, noted.stderr
        time.sleep(lock.FRESH_S)
        held.check()
    after = json.loads(server.kubectl("get", *lease, "--output=json").stdout)
    assert "holderIdentity" not in after["spec"]
    assert after["metadata"]["annotations"] == {"example.com/note": "kept"}


def test_deleted_lease_is_lost_and_next_holder_gets_higher_epoch(
    server: ApiServer, kube: Kube
) -> None:
    with take(kube, duration=60) as held:
        time.sleep(lock.FRESH_S)
        deleted = server.kubectl("delete", "--namespace", NAMESPACE, "lease", NAME)
        assert deleted.returncode == 0, deleted.stderr
        with pytest.raises(LockedError, match="another client deleted the Lease"):
            held.check()
        assert Leases(kube).get() is None, "it is not made again behind the operator's back"
        with take(kube) as second:
            assert second.epoch > held.epoch
            held.release()
            second.check()


def test_lock_works_with_documented_rights_alone(server: ApiServer, kube: Kube) -> None:
    """Acquire and renew the lock with the documented role alone."""
    kube.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "lock"}})
    roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
    group = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    rules = [
        {**group, "verbs": ["create"]},
        {**group, "resourceNames": [NAME], "verbs": ["get", "update"]},
    ]
    kube.create(f"{roles}/roles", {"metadata": {"name": "lock"}, "rules": rules})
    binding = {
        "metadata": {"name": "lock"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "lock"},
        "subjects": [{"kind": "ServiceAccount", "name": "lock", "namespace": NAMESPACE}],
    }
    kube.create(f"{roles}/rolebindings", binding)
    token = kube.create(
        f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/lock/token",
        {"spec": {"expirationSeconds": 600}},
    )
    narrow = Kube.from_kubeconfig(
        str(server.kubeconfig("lock", {"token": token["status"]["token"]}))
    )
    with take(narrow, duration=60) as held:
        time.sleep(lock.FRESH_S)
        held.check()
    take(narrow).release()
