"""Run a host: a systemd-nspawn container with systemd, its own network interface and cgroups."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from metalk8s_lab.command import run, succeeds
from metalk8s_lab.errors import LabError
from metalk8s_lab.hosts import cgroups, disk, identity, network
from metalk8s_lab.settings import Settings
from metalk8s_lab.topology import BRIDGE, Host

_POWER_OFF = signal.SIGRTMIN + 4  # asks systemd to power off without D-Bus
_STOP_SECONDS = 30.0
_START_SECONDS = 60.0
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/opt/salt/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LANG": "C.UTF-8",
}
_ADMIN_CONFIG = "/etc/kubernetes/admin.conf"
# The shell joins the control groups of the first arguments, then executes the command after them.
_JOIN = (
    'count=$1; shift; while [ "$count" -gt 0 ]; do echo $$ >"$1"; shift; count=$((count-1)); done;'
    ' exec "$@"'
)


def leader(name: str) -> int | None:
    """Return the process ID of the host's PID 1, or None if the host does not run."""
    for pid in cgroups.members(name):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        if fields["NSpid"].split()[1:] == ["1"] and not fields["State"].startswith(("Z", "X")):
            return pid
    return None


def make_blank(settings: Settings, host: Host, system: Path) -> None:
    """Give a stopped host a fresh disk; it keeps its name, address, keys and machine ID."""
    disk.unmount_root(settings, host.name)
    disk.forget(settings, disk.host_dir(settings, host.name))
    identity.install(settings, host, disk.mount_root(settings, host.name, system))


def launch(settings: Settings, host: Host, system: Path, binds: Sequence[str] = ()) -> None:
    """Start the boot of the host unless it runs already; ``await_ready`` waits for its end."""
    if leader(host.name):
        return
    clean_up(settings, host.name)
    if not disk.host_dir(settings, host.name).is_dir():
        make_blank(settings, host, system)
    root = disk.mount_root(settings, host.name, system)
    procs = [str(file) for file in cgroups.create(host.name)]
    settings.logs.mkdir(parents=True, exist_ok=True)
    with (settings.logs / f"{host.name}.log").open("ab") as log:
        subprocess.Popen(
            [
                "/bin/sh",
                "-c",
                _JOIN,
                "join",
                str(len(procs)),
                *procs,
                *_nspawn(settings, host, root, binds),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


def _nspawn(settings: Settings, host: Host, root: Path, binds: Sequence[str]) -> list[str]:
    data = disk.host_dir(settings, host.name) / "data"
    options = [
        "--quiet",
        f"--directory={root}",
        f"--machine={host.name}",
        "--boot",
        "--register=no",
        "--keep-unit",
        "--console=read-only",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        f"--network-bridge={BRIDGE}",
        "--capability=all",
        "--system-call-filter=@keyring bpf @mount",
        *(f"--bind={data / name}:{target}" for name, target in disk.DATA.items()),
        *(f"--bind-ro={bind}" for bind in binds),
    ]
    return [*network.ENTER, "systemd-nspawn", *options]


def await_ready(settings: Settings, host: Host) -> None:
    """Wait until sshd answers at the host's address; raise ``LabError`` after 60 seconds."""
    deadline = time.monotonic() + _START_SECONDS
    probe = f"exec 3<>/dev/tcp/{host.address}/22 && read -r -t 2 line <&3 && [[ $line == SSH-* ]]"
    while not (
        leader(host.name) and succeeds([*network.ENTER, "timeout", "5", "bash", "-c", probe])
    ):
        if time.monotonic() > deadline:
            log = settings.logs / f"{host.name}.log"
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            what = (
                f"{host.name}: sshd does not answer at {host.address} after {_START_SECONDS:.0f} s"
            )
            raise LabError(f"{what}; see {log}, which ends:\n{tail}")
        time.sleep(0.1)


def exec_argv(name: str, argv: Sequence[str]) -> list[str]:
    """Return the command line that runs a command in a running host in the environment of root.

    The command gets SIGTERM when the caller dies, so that a killed ``exec`` leaves no process
    behind. Raise ``LabError`` if the host does not run.
    """
    pid = leader(name)
    if pid is None:
        raise LabError(f"{name} does not run; start it: ./lab/lab start {name}")
    environment = {**_ENVIRONMENT, "TERM": os.environ.get("TERM", "dumb"), "HOSTNAME": name}
    if Path(f"/proc/{pid}/root{_ADMIN_CONFIG}").exists():
        environment["KUBECONFIG"] = _ADMIN_CONFIG
    enter = [
        "nsenter",
        f"--target={pid}",
        "--mount",
        "--uts",
        "--ipc",
        "--net",
        "--pid",
        "--cgroup",
        "--root",
    ]
    variables = [f"{key}={value}" for key, value in environment.items()]
    command = [
        *enter,
        "--",
        "env",
        "-i",
        "--chdir=/root",
        *variables,
        "setpriv",
        "--pdeathsig",
        "TERM",
        "--",
        *argv,
    ]
    procs = (
        []
        if cgroups.is_unified()
        else [str(group / "cgroup.procs") for group in cgroups.find(name)]
    )
    return ["/bin/sh", "-c", _JOIN, "join", str(len(procs)), *procs, *command]


def execute(
    name: str,
    argv: Sequence[str],
    *,
    input: str | None = None,
    timeout: float = 60,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a host to its end.

    Raise ``LabError`` with the command and its output if it fails and ``check`` is true.
    """
    done = run(exec_argv(name, argv), input=input, timeout=timeout, check=False)
    if check and done.returncode != 0:
        output = (done.stdout + done.stderr).strip()[-3000:]
        raise LabError(f"{name}: {shlex.join(argv)}: exit code {done.returncode}\n{output}")
    return done


def stop(settings: Settings, name: str) -> bool:
    """Power off the host; kill it after 30 seconds. Return whether it powered off by itself."""
    pid, clean = leader(name), True
    if pid is not None:
        _signal(pid, _POWER_OFF)
        clean = _gone(name, _STOP_SECONDS)
    clean_up(settings, name)
    return clean


def kill(settings: Settings, name: str) -> None:
    """Crash the host: its processes are killed without notice."""
    pid = leader(name)
    if pid is None:
        raise LabError(f"{name} does not run")
    _signal(pid, signal.SIGKILL)
    _gone(name, 10)
    clean_up(settings, name)


def clean_up(settings: Settings, name: str) -> None:
    """Remove the processes, interface, mounts and control groups of a host; its disk stays."""
    deadline = time.monotonic() + 20
    while pids := cgroups.members(name):
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        cgroups.thaw(name)
        if time.monotonic() > deadline:
            raise LabError(f"{name}: these processes cannot be killed: {sorted(pids)}")
        time.sleep(0.05)
    network.unplug(name)
    disk.unmount_root(settings, name)
    cgroups.remove(name)


def _gone(name: str, seconds: float) -> bool:
    """Return whether all the host's processes, also its supervisor, end within ``seconds``."""
    deadline = time.monotonic() + seconds
    while cgroups.members(name):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
