"""A bootstrap host of MetalK8s on this machine: Salt's real master and minion, with real paths.

The host has its own namespaces of mounts, processes and network, and an overlay over the machine's
files. This file is also the program that runs in it: by the names ``crictl`` and ``kubectl`` it
answers as MetalK8s's ``crictl`` and ``kubectl`` do, and without one it is the kubelet, which starts
the master again when it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

VERSION, NEXT = "134.0.0", "134.1.0"
STATE = Path("/run/kubelet-of-test")
CONFIGURATION = """
interface: 127.0.0.1
auto_accept: true
timeout: 20
worker_threads: 3
no_host_keys: true
log_level: error
"""
LIMIT_S = 120
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


class BootstrapHost:
    """A running bootstrap host. Paths are those of the host."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def path(self, path: str) -> Path:
        """Return the path by which this process sees a file of the host."""
        return Path(f"/proc/{self._pid}/root{path}")

    def run(self, *argv: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a program on the host."""
        return subprocess.run(
            [*self._enter(), *argv],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=ENVIRONMENT,
        )

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start a program on the host."""
        return subprocess.Popen(
            [*self._enter(), *argv], text=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT
        )

    def salt_run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a runner function in the master's container."""
        container = self.run("crictl", "ps", "--quiet").stdout.strip()
        return self.run("crictl", "exec", container, "salt-run", "--log-level=quiet", *arguments)

    def _enter(self) -> list[str]:
        target = f"--target={self._pid}"
        return ["nsenter", target, "--mount", "--pid", "--net", "--root", "env", "--chdir=/"]


@contextlib.contextmanager
def started(tree: Path, old: Path | None = None) -> Iterator[BootstrapHost]:
    """Start a host whose saltenv ``metalk8s-134.0.0`` serves a copy of ``tree``.

    ``old`` is the Python that stands for the platform-python of Rocky 8.
    """
    command = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"]
    process = subprocess.Popen(
        [*command, sys.executable, __file__, "host", str(tree), str(old or "")],
        text=True,
        # The host ends with this process: its end closes the pipe.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        yield BootstrapHost(int(children.split()[0]))
    finally:
        process.kill()
        process.wait(30)


def _prepare(tree: Path, old: str) -> None:
    """Lay the overlay over the machine's files, with what MetalK8s has on its bootstrap host."""
    _call("mount", "--make-rprivate", "/")
    _call("mount", "-t", "tmpfs", "none", "/mnt")
    for name in ("upper", "work", "root"):
        Path("/mnt", name).mkdir()
    _call("mount", "-t", "overlay", "none", "/mnt/root",
          "-o", "lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work")  # fmt: skip
    root = Path("/mnt/root")
    for name in ("proc", "dev", "sys"):
        _call("mount", "--rbind", f"/{name}", str(root / name))
    for name in ("etc/salt", "var/cache/salt", "var/run/salt", "etc/metalk8s", "srv/scality"):
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir(parents=True)
    for version in (VERSION, NEXT):
        shutil.copytree(tree, root / f"srv/scality/metalk8s-{version}/salt")
        (root / f"srv/scality/metalk8s-{version}/pillar").mkdir()
    for name in ("etc/salt/master.d", "etc/kubernetes/manifests"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "etc/metalk8s/bootstrap.yaml").write_text("kind: BootstrapConfiguration\n")
    (root / "etc/kubernetes/manifests/salt-master.yaml").write_text(
        f"metadata:\n  labels:\n    metalk8s.scality.com/version: '{VERSION}'\n"
    )
    (root / "etc/salt/master.d/99-metalk8s.conf").write_text(CONFIGURATION)
    (root / "etc/salt/master.d/99-metalk8s-roots.conf").write_text(roots(VERSION))
    (root / "etc/salt/minion").write_text("master: 127.0.0.1\nid: boot\nlog_level: error\n")
    program = Path(__file__).read_text()
    for name in ("crictl", "kubectl"):
        place = root / "usr/local/bin" / name
        place.unlink(missing_ok=True)
        place.write_text(f"#!{sys.executable} -IS\n{program}")
        place.chmod(0o755)
    if old:
        place = root / "usr/libexec/platform-python"
        place.parent.mkdir(exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(old)
    _call("ip", "link", "set", "lo", "up")
    os.chroot(root)
    os.chdir("/")
    STATE.mkdir(parents=True, exist_ok=True)


def roots(*versions: str) -> str:
    """Return MetalK8s's 99-metalk8s-roots.conf for the archives of these versions."""
    trees = {f"metalk8s-{version}": f"/srv/scality/metalk8s-{version}" for version in versions}
    return json.dumps(
        {
            "file_roots": {name: [f"{path}/salt"] for name, path in trees.items()},
            "pillar_roots": {name: [f"{path}/pillar"] for name, path in trees.items()},
        }
    )


def _kubelet() -> None:
    """Start the master, and a new one whenever it has ended; also a minion."""
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    number = 0
    minion = None
    print("ready", flush=True)
    while True:
        number += 1
        master = _salt("salt-master")
        (STATE / "pid").write_text(str(master.pid))
        (STATE / "container").write_text(f"c{number}")
        minion = minion or _salt("salt-minion")
        master.wait()
        (STATE / "container").unlink(missing_ok=True)
        # What ran in the container ends with it.
        for path in STATE.glob("exec-*"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(path.name.removeprefix("exec-")), signal.SIGKILL)
            path.unlink()


def _salt(name: str) -> subprocess.Popen[bytes]:
    program = Path(sys.executable).parent / name
    return subprocess.Popen([program], env=_environment(), stdin=subprocess.DEVNULL)


def _environment() -> dict[str, str]:
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": "/root"}


def _crictl(argv: list[str]) -> int:
    container = STATE / "container"
    here = container.read_text() if container.exists() else ""
    if argv[0] == "ps":
        if here:
            print(here)
        return 0
    if argv[0] == "exec":
        if argv[1] != here:
            print(f"crictl: container {argv[1]} is not running", file=sys.stderr)
            return 1
        (STATE / f"exec-{os.getpid()}").touch()
        os.execve(Path(sys.executable).parent / argv[2], argv[2:], _environment())
    if argv[0] == "stop":
        if argv[-1] != here:
            return 1
        os.kill(int((STATE / "pid").read_text()), signal.SIGTERM)
        deadline = time.monotonic() + LIMIT_S
        while container.exists() and container.read_text() == here:
            if time.monotonic() > deadline:
                return 1
            time.sleep(0.1)
        return 0
    return 2


def _call(*argv: str) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def _main() -> int:
    name = Path(sys.argv[0]).name
    if name == "crictl":
        return _crictl(sys.argv[1:])
    if name == "kubectl":
        print("node/boot" if f"={VERSION}" in " ".join(sys.argv) else "")
        return 0
    _prepare(Path(sys.argv[2]), sys.argv[3])
    _kubelet()
    return 0


if __name__ == "__main__":
    sys.exit(_main())
