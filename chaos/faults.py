"""Make and heal each fault.

A fault is a generator: the code before its ``yield`` makes the fault, and the code after it heals
the fault, also after an error. No part of a fault outlives the run. The faults in ``PREPARED`` need
a preparation before the expansion begins.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chaos import cases, https, lab_hosts, network_faults
from chaos.cases import ADDRESSES, Case
from chaos.event_log import Board
from chaos.processes import Runner
from chaos.trigger import RUNNER, member

DISK_SIZE = "1G"
ETCD_DIRECTORY = "/var/lib/etcd"
# Longer than the duration of a lease, and than an expansion that waits for the lease needs.
TAKE_OVER_S = 600.0


@dataclass
class Scene:
    """The context of a fault: the case, the event log, and the expansions of the run."""

    case: Case
    board: Board
    evidence: Path
    runners: list[Runner] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    # The cases whose fault was made.
    came: list[Case] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)

    @property
    def main(self) -> Runner:
        """The expansion that gets the fault."""
        return [runner for runner in self.runners if runner.source == RUNNER][-1]

    def expand(self, *arguments: str, source: str = "") -> Runner:
        """Start another expansion."""
        number = len(self.runners) + 1
        runner = Runner(
            self.board, self.evidence, number, source or f"{RUNNER}{number}", *arguments
        )
        self.runners.append(runner)
        return runner

    def note(self, text: str) -> None:
        self.notes.append(f"{time.monotonic() - self.since:.0f} s: {text}")
        self.board.add("harness", text)


Fault = Callable[[Scene], Iterator[None]]


def made(scene: Scene) -> AbstractContextManager[None]:
    """Return the fault of the current case as a context manager."""
    return contextmanager(FAULTS[scene.case.kind])(scene)


def _hold(scene: Scene) -> None:
    time.sleep(scene.case.hold)


def runner_killed(scene: Scene) -> Iterator[None]:
    """Kill the runner and its process group; its orchestration continues."""
    scene.main.kill()
    yield


def run_killed(scene: Scene) -> Iterator[None]:
    """Kill the runner and all processes that it forked; jobs on minions continue."""
    scene.main.kill(jobs=True)
    yield


def master_killed(scene: Scene) -> Iterator[None]:
    """Kill PID 1 of the Salt master's container, and with it all runners.

    The kubelet starts the container again.
    """
    for runner in scene.runners:
        runner.killed = True
    lab_hosts.shell(lab_hosts.BOOTSTRAP, 'kill -9 "$(salt-master-container pid)"', timeout=120)
    try:
        yield
    finally:
        lab_hosts.until("the Salt master", lab_hosts.master_problem, 180)


def host_crashed(scene: Scene) -> Iterator[None]:
    """Crash a host and start it again after ``hold`` seconds."""
    target = scene.case.target
    if target == lab_hosts.BOOTSTRAP:
        for runner in scene.runners:
            runner.killed = True
    lab_hosts.crash(target)
    try:
        _hold(scene)
        yield
    finally:
        lab_hosts.start(target)


def disk_blanked(scene: Scene) -> Iterator[None]:
    """Crash a host, delete etcd's data from its disk, and start it again."""
    target = scene.case.target
    lab_hosts.crash(target)
    try:
        _hold(scene)
        directory = lab_hosts.data_directory(target)
        names = sorted(path.name for path in directory.iterdir())
        for path in directory.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        scene.note(f"wiped {directory}: {', '.join(names) or 'nothing was there'}")
        yield
    finally:
        lab_hosts.start(target)


def disk_full(scene: Scene) -> Iterator[None]:
    """Fill the small file system of etcd's data to the last block."""
    target = scene.case.target
    filler = f"{ETCD_DIRECTORY}/chaos-filler"
    # Allocate nearly all free space four times without a write, then write the rest by blocks.
    script = (
        f"for i in 1 2 3 4; do free=$(df --output=avail -B1 {ETCD_DIRECTORY} | tail -1); "
        f'fallocate -l "$((free - free / 64))" {filler}.$i; done 2>/dev/null; '
        f"dd if=/dev/zero of={filler}.5 bs=4k 2>/dev/null; df -B1 {ETCD_DIRECTORY} | tail -1"
    )
    scene.note("full: " + lab_hosts.shell(target, script, timeout=120, check=False).strip())
    try:
        _hold(scene)
        yield
    finally:
        lab_hosts.shell(target, f"rm -f {filler}.*", check=False)


@contextmanager
def small_disk(scene: Scene) -> Iterator[None]:
    """Mount a separate file system for the newcomer's etcd, on a loop device of this machine.

    The mount disappears with the host's other mounts.
    """
    target = scene.case.target
    image = lab_hosts.SETTINGS.state / "chaos-etcd.img"
    image.unlink(missing_ok=True)
    _run("truncate", "--size", DISK_SIZE, str(image))
    # No reserved blocks (-m 0): etcd runs as root and could use them.
    _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
    device = _run("losetup", "--find", "--show", str(image)).strip()
    kind = Path(device).stat().st_rdev
    number = f"{os.major(kind)} {os.minor(kind)}"
    script = (
        f"set -e; rm -f /dev/chaos-etcd; mknod -m 600 /dev/chaos-etcd b {number}; mkdir -p"
        f" {ETCD_DIRECTORY}; mount -t ext4 /dev/chaos-etcd {ETCD_DIRECTORY}; rmdir"
        f" {ETCD_DIRECTORY}/lost+found; chmod 700 {ETCD_DIRECTORY}"
    )
    try:
        lab_hosts.shell(target, script)
        yield
    finally:
        # The device is in use until the host's disk is restored. The kernel then detaches it.
        subprocess.run(
            ["losetup", "--detach", device], capture_output=True, timeout=30, check=False
        )


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise lab_hosts.ChaosError(
            f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def cut(scene: Scene, rules: list[str]) -> Iterator[None]:
    """Apply rules on the bridge for ``hold`` seconds."""
    lab_hosts.outside("nft -f -", network_faults.table(rules))
    try:
        _hold(scene)
        yield
    finally:
        mend()


def mend() -> None:
    """Remove all rules of the harness, also those of an earlier run."""
    lab_hosts.outside("nft -f -", network_faults.REMOVE, check=False)


def one_way(scene: Scene) -> Iterator[None]:
    """Drop all packets from one host to another, but not in the other direction."""
    pair = ADDRESSES[scene.case.target], ADDRESSES[scene.case.options["other"]]
    yield from cut(scene, network_faults.one_way(*pair))


def peers_only(scene: Scene) -> Iterator[None]:
    """Drop the peer traffic between the etcd of a host and the other members."""
    others = [ADDRESSES[name] for name in scene.case.voters if name != scene.case.target]
    yield from cut(scene, network_faults.peers_only(ADDRESSES[scene.case.target], others))


def reply_lost(scene: Scene) -> Iterator[None]:
    """Drop the reply to the newcomer's promotion after etcd has done the promotion.

    ``slow_replies`` has delayed the reply until now.
    """
    rules = network_faults.table(network_faults.no_replies(ADDRESSES[scene.case.target]))
    link = network_faults.interface(scene.case.target)
    held = lab_hosts.outside(
        f"nft -f - && {{ {network_faults.drop_held(link)} 2>&1 && echo dropped; true; }}", rules
    )
    scene.note(f"what was held up: {held.strip()}")
    try:
        _hold(scene)
        yield
    finally:
        mend()


@contextmanager
def slow_replies(scene: Scene) -> Iterator[None]:
    """Delay etcd's replies to the newcomer.

    The delay begins when its member has been added, so that the steps before are not slow.
    """
    link = network_faults.interface(scene.case.target)
    before = scene.board

    def when_started() -> None:
        since = time.monotonic()
        if before.wait(member(scene.case.target, "learner"), since, 600, over.is_set):
            lab_hosts.outside(network_faults.slow_replies(link), check=False)

    over = threading.Event()
    thread = threading.Thread(target=when_started, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)
        lab_hosts.outside(network_faults.drop_held(link), check=False)


def leader_frozen(scene: Scene) -> Iterator[None]:
    """Stop the leader's process with SIGSTOP, which leaves its connections open."""
    leader = etcd_leader(scene.case.voters)
    script = 'for p in $(pgrep -x etcd); do kill -s "$1" "$p"; done'
    lab_hosts.shell(leader, script, "STOP")
    scene.note(f"the leader {leader} is frozen")
    try:
        _hold(scene)
        yield
    finally:
        lab_hosts.shell(leader, script, "CONT", check=False)


def etcd_leader(members: tuple[str, ...]) -> str:
    """Return the member that reports itself as leader; raise ``ChaosError`` if none does."""
    ca, cert, key = https.CREDENTIALS["etcd"]
    words = [
        "curl",
        "--silent",
        "--show-error",
        "--max-time",
        "5",
        "--cacert",
        ca,
        "--cert",
        cert,
        "--key",
        key,
    ]
    answers = {}
    for name in members:
        done = lab_hosts.on(
            name,
            *words,
            "--data",
            "{}",
            "https://127.0.0.1:2379/v3/maintenance/status",
            check=False,
        )
        try:
            found = json.loads(done.stdout)
            if found["header"]["member_id"] == found["leader"]:
                return name
        except (ValueError, KeyError):
            pass
        answers[name] = done.stdout.strip() or done.stderr.strip()
    raise lab_hosts.ChaosError(f"nobody of {', '.join(members)} says that it leads: {answers}")


def api_killed(scene: Scene) -> Iterator[None]:
    """Kill an API server.

    Its kubelet must start it again without help of the harness.
    """
    script = 'p=$(pgrep -x kube-apiserver) && kill -9 $p; echo "killed: ${p:-none was running}"'
    scene.note(
        f"{scene.case.target}: {lab_hosts.shell(scene.case.target, script, check=False).strip()}"
    )
    _hold(scene)
    yield


def runner_frozen(scene: Scene) -> Iterator[None]:
    """Stop the runner for longer than its lease.

    A second expansion acquires the lock. The first runner wakes after that and must not continue.
    """
    scene.main.signal("STOP")
    try:
        second = scene.expand("wait_s=120")
        if not second.wait(TAKE_OVER_S):
            second.kill()
            scene.problems.append(f"the second expansion had not ended after {TAKE_OVER_S:.0f} s")
        yield
    finally:
        scene.main.signal("CONT")


def two_at_once(scene: Scene) -> Iterator[None]:
    """Start a second expansion, which is refused or waits."""
    wait = scene.case.options["wait_s"]
    second = scene.expand(*([f"wait_s={wait}"] if wait else []))
    yield
    if not second.wait(TAKE_OVER_S):
        second.kill()
        scene.problems.append(f"the second expansion had not ended after {TAKE_OVER_S:.0f} s")


FAULTS: dict[str, Fault] = {
    cases.RUNNER_KILLED: runner_killed,
    cases.RUN_KILLED: run_killed,
    cases.MASTER_KILLED: master_killed,
    cases.NEWCOMER_CRASHED: host_crashed,
    cases.MEMBER_CRASHED: host_crashed,
    cases.BOOTSTRAP_CRASHED: host_crashed,
    cases.ONE_WAY: one_way,
    cases.PEERS_ONLY: peers_only,
    cases.FULL_DISK: disk_full,
    cases.BLANK_DISK: disk_blanked,
    cases.LEADER_FROZEN: leader_frozen,
    cases.RUNNER_FROZEN: runner_frozen,
    cases.REPLY_LOST: reply_lost,
    cases.API_KILLED: api_killed,
    cases.TWO_AT_ONCE: two_at_once,
}
PREPARED: dict[str, Callable[[Scene], AbstractContextManager[None]]] = {
    cases.FULL_DISK: small_disk,
    cases.REPLY_LOST: slow_replies,
}
