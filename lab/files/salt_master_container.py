#!/usr/bin/python3 -IS
"""Salt's commands on the bootstrap host, run where Salt's master runs: inside of its container.

Called by the name of a command of Salt it becomes that command, as ``kubectl exec`` would, but as a
child of the caller: with its input, output, process group and exit code. ``salt-master-container
pid`` prints the master's process, ``… wait`` waits for its answer, ``… restart`` lets the kubelet
make a new container.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
PREPARED = Path("/etc/kubernetes/static-pods/salt-master.yaml")
MANIFEST = Path("/etc/kubernetes/manifests/salt-master.yaml")
MARK = re.compile(r"(?<=metalk8s-lab/restarted: ')[^']*")
PROGRAMS = "/opt/salt/bin"
ENVIRONMENT = {
    "PATH": f"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:{PROGRAMS}",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
PORTS = (4505, 4506)
# A kubelet that was busy, or waits before it starts a container that has ended again and again.
PATIENCE_S = 90
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
PR_SET_PDEATHSIG = 1
FAILED = 125


class NotThereError(Exception):
    """The container is not there, or does not answer."""


def main(argv: Sequence[str]) -> int:
    """What the name that it was called by stands for."""
    name = os.path.basename(argv[0])
    try:
        if name != "salt-master-container":
            return enter(awaited(container), [f"{PROGRAMS}/{name}", *argv[1:]])
        if argv[1:] == ["pid"]:
            print(awaited(container))
        elif argv[1:] == ["wait"]:
            awaited(answering)
        elif argv[1:] == ["restart"]:
            restart()
        else:
            raise NotThereError("usage: salt-master-container pid|wait|restart")
    except NotThereError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return FAILED
    return 0


def awaited(look: Callable[[], int | None], patience: float = PATIENCE_S) -> int:
    """What is looked for, as soon as it is there."""
    deadline = time.monotonic() + patience
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise NotThereError(
                f"no salt-master that answers after {patience} s: kubectl -n kube-system get pods"
            )
        time.sleep(0.2)


def container(proc: Path = PROC) -> int | None:
    """The container's first process: a master in another namespace of processes, started by
    containerd's shim.
    """
    own = _link(proc / "self/ns/pid")
    for path in proc.glob("[0-9]*/cmdline"):
        if b"salt-master" in _read(path) and _link(path.parent / "ns/pid") not in ("", own):
            parent = re.search(rb"^PPid:\t(\d+)", _read(path.parent / "status"), re.MULTILINE)
            if parent and _read(proc / parent[1].decode() / "comm").startswith(b"containerd-shim"):
                return int(path.parent.name)
    return None


def answering() -> int | None:
    """The same, when minions and commands can reach it."""
    found = container()
    for port in PORTS:
        address = _address()
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            if found and probe.connect_ex((address, port)):
                return None
    return found


def _address() -> str:
    found = re.search(
        r"^interface: *(\S+)", Path("/etc/salt/master.d/99-metalk8s.conf").read_text(), re.MULTILINE
    )
    return found[1] if found else "127.0.0.1"


def restart() -> None:
    """The prepared Pod, anew: what differs is another one to the kubelet, which ends the old one
    and knows of no back-off.
    """
    before = container()
    fresh = MANIFEST.with_name(f".{MANIFEST.name}")
    fresh.write_text(MARK.sub(str(time.time_ns()), PREPARED.read_text()))
    fresh.chmod(0o600)
    fresh.rename(MANIFEST)
    awaited(lambda: found if (found := answering()) != before else None)


def enter(pid: int, command: Sequence[str]) -> int:
    """Run the command in the container and become what became of it."""
    kinds = ("ipc", "uts", "pid", "mnt")
    spaces = {
        kind: os.open(PROC / str(pid) / "ns" / kind, os.O_RDONLY | os.O_CLOEXEC) for kind in kinds
    }
    groups = [
        group
        for line in _read(PROC / str(pid) / "cgroup").decode().splitlines()
        if (group := _group(line))
    ]
    signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, signal.SIGCHLD})
    os.setns(spaces["pid"], os.CLONE_NEWPID)
    child = os.fork()
    if child:
        return _attend(child)
    try:
        # First: whoever kills the parent is to hit the command as well.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        for group in groups:
            # "0" is whoever writes it.
            group.write_text("0")
        for kind in ("ipc", "uts", "mnt"):
            os.setns(spaces[kind])
        os.chdir("/")
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(command[0], list(command), {**os.environ, **ENVIRONMENT})
    except OSError as error:
        print(f"{command[0]}: {error}", file=sys.stderr)
    os._exit(FAILED)


def _attend(child: int) -> int:
    """Wait for the command. Its process group gets signals by itself; what is sent to this process
    alone is passed on.
    """
    while True:
        heard = signal.sigwaitinfo({*FORWARDED, signal.SIGCHLD})
        if heard.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return _as_itself(status)
        # The death of a parent outside of this host's namespace.
        elif heard.si_code == 0 and heard.si_pid == 0:
            os.kill(child, heard.si_signo)


def _as_itself(status: int) -> int:
    """The exit code; after a signal the death by the same one."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    return os.waitstatus_to_exitcode(status)


def _group(line: str) -> Path | None:
    """The file through which a process joins a control group of ``/proc/PID/cgroup``."""
    _, controllers, path = line.split(":", 2)
    if controllers:
        place = CGROUPS / controllers.removeprefix("name=")
    else:
        place = CGROUPS / "unified" if (CGROUPS / "unified").is_dir() else CGROUPS
    group = place / path.lstrip("/") / "cgroup.procs"
    return group if group.exists() else None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv))
