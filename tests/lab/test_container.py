"""Run Salt's master as MetalK8s does: in a static Pod with a read-only root.

Operators enter it with ``kubectl exec``.

The tests need a bootstrap node. They change no other host.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests import extension
from tests.lab.hosts import (
    ENVIRONMENT,
    EXEC,
    LAB,
    SALTENV,
    get,
    is_true,
    kill_master,
    on,
    runner,
    until,
)

POD = ("--namespace=kube-system", "pod", "salt-master-bootstrap")
EXTMODS = "/var/cache/salt/master/extmods"
PLUGIN = f"{EXTMODS}/runners/metalk8s_expand.py"
WHEEL = os.environ.get("LAB_INSTALL") == "wheel"
synced = pytest.mark.skipif(
    WHEEL, reason="nothing of ours is synced to a master that has the wheel"
)


def inside(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command in the container with the documented command line."""
    return on("bootstrap", *EXEC, *command, timeout=300, check=check)


def await_master() -> None:
    on("bootstrap", "salt-master-container", "wait", timeout=150)
    until(
        "the minion",
        lambda: (
            on("bootstrap", "salt", "--timeout=5", "bootstrap", "test.ping", check=False).returncode
            == 0
        ),
    )


def state() -> dict[str, Any]:
    """Return the files and keys that a restart must keep."""
    listed = "cd /var/cache/salt/master && find extmods metalk8s_expand -type f ! -name '*.pyc' | sort | xargs -r sha256sum"
    files = on("bootstrap", "sh", "-c", f"{listed} 2>/dev/null").stdout
    keys = json.loads(on("bootstrap", "salt-key", "--out=json", "--list=all").stdout)
    return {
        "files": files,
        "keys": keys,
        "master": on("bootstrap", "sha256sum", "/etc/salt/pki/master/master.pub").stdout,
    }


def started() -> str:
    [status] = [
        one for one in get(*POD)["status"]["containerStatuses"] if one["name"] == "salt-master"
    ]
    return str(status.get("state", {}).get("running", {}).get("startedAt", "")) + str(
        status["containerID"]
    )


def test_pod_has_the_shape_of_the_metalk8s_master() -> None:
    pod = get(*POD)
    assert (pod["spec"]["hostNetwork"], pod["spec"]["shareProcessNamespace"]) == (True, True)
    assert pod["metadata"]["annotations"]["kubernetes.io/config.source"] == "file"
    assert is_true(pod, "Ready")
    mounts = {
        container["name"]: {
            item["mountPath"]: item.get("readOnly", False)
            for item in container["volumeMounts"]
            if "serviceaccount" not in item["mountPath"]
        }
        for container in pod["spec"]["containers"]
    }
    assert mounts == {
        "salt-master": {
            "/etc/salt": False,
            "/var/cache/salt": False,
            "/var/run/salt": False,
            f"/srv/scality/{SALTENV}/salt": True,
            f"/srv/scality/{SALTENV}/pillar": True,
            "/etc/metalk8s": True,
            "/etc/kubernetes/pki": True,
        },
        "salt-api": {"/etc/salt": True, "/var/run/salt": False, "/etc/kubernetes/pki": True},
    }
    assert (
        on("bootstrap", "systemctl", "is-active", "salt-master", check=False).stdout.strip()
        == "inactive"
    )


def test_mounts_of_host_are_read_only_where_metalk8s_has_them_so() -> None:
    for path in (
        f"/srv/scality/{SALTENV}/salt/x",
        f"/srv/scality/{SALTENV}/pillar/x",
        "/etc/kubernetes/pki/x",
        "/etc/metalk8s/x",
    ):
        done = inside("sh", "-c", f"echo x > {path}", check=False)
        assert done.returncode != 0
        assert "Read-only file system" in done.stderr, path
    inside(
        "sh",
        "-ec",
        "for p in /etc/salt /var/cache/salt /var/run/salt; do echo x > $p/probe; rm $p/probe; done",
    )


def test_configuration_is_split_as_metalk8s_does() -> None:
    """MetalK8s writes two files, and the operator's own comes after them."""
    found = on("bootstrap", "ls", "/etc/salt/master.d").stdout.split()
    assert found == [
        "10-lab.conf",
        "99-metalk8s-roots.conf",
        "99-metalk8s.conf",
        "zz-metalk8s-expand.conf",
    ]
    assert on("bootstrap", "test", "-e", "/etc/salt/master", check=False).returncode != 0
    assert inside("test", "-e", "/etc/kubernetes/admin.conf", check=False).returncode != 0


def test_salt_api_answers() -> None:
    asked = "curl --silent --cacert /etc/kubernetes/pki/ca.crt https://10.200.0.10:4507/"
    assert "runner" in on("bootstrap", *asked.split()).stdout


def test_kubectl_exec_returns_exit_code_of_runner() -> None:
    plan = inside("salt-run", "--out=json", "metalk8s_expand.plan")
    assert json.loads(plan.stdout)["digest"]
    refused = inside("salt-run", "--out=json", "metalk8s_expand.add_node", "worker-11", check=False)
    assert refused.returncode == 2
    assert "worker-11" in json.loads(refused.stdout)["error"]["text"]


def test_commands_of_host_run_in_container() -> None:
    """The commands have the namespaces, input, output and exit code of the container."""
    pid = on("bootstrap", "salt-master-container", "pid").stdout.strip()
    spaces = [
        on("bootstrap", "readlink", f"/proc/{pid}/ns/{kind}").stdout for kind in ("pid", "mnt")
    ]
    asked = "import os; print(os.readlink('/proc/self/ns/pid')); print(os.readlink('/proc/self/ns/mnt'))"
    seen = on(
        "bootstrap", "salt-run", "--out=json", "salt.cmd", "cmd.run", f'python3 -c "{asked}"'
    ).stdout
    assert all(space.strip() in seen for space in spaces)
    assert (
        on("bootstrap", "salt-run", "metalk8s_expand.add_node", "worker-11", check=False).returncode
        == 2
    )
    assert (
        inside("salt-key", "--out=json", "--list=all").stdout
        == on("bootstrap", "salt-key", "--out=json", "--list=all").stdout
    )


@pytest.mark.parametrize("name", ["KILL", "TERM", "INT"])
def test_killed_command_leaves_no_process(name: str) -> None:
    """A signal to the process group on the host also ends the processes in the container."""
    mark = f"s_time=300.{time.time_ns()}"
    script = f"setsid --wait salt-run --out=quiet test.sleep {mark}"

    def gone() -> bool:
        """Return whether the command has ended; repeat SIGINT while it runs.

        Python loses a SIGINT that arrives during some imports.
        """
        if (there := bool(found(mark))) and name == "INT":
            on("bootstrap", *kill, check=False)
        return not there

    with subprocess.Popen(
        [LAB, "exec", "bootstrap", "--", "sh", "-c", script],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            until("the runner", lambda: bool(found(mark)), 60)
            group = on("bootstrap", "ps", "-o", "pgid=", "-p", found(mark)[0]).stdout.strip()
            kill = ["kill", "-s", name, "--", f"-{group}"]
            on("bootstrap", *kill)
            until("its end", gone, 30)
        finally:
            process.kill()


def found(mark: str) -> list[str]:
    """Return the processes in the container with this mark, by their PIDs on the host."""
    script = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline | grep -q \"^/opt.*[s]alt-run.*$1\" && echo ${p#/proc/}; done; true"
    return on("bootstrap", "sh", "-c", f"exec 2>/dev/null; {script}", "sh", mark).stdout.split()


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_restart_keeps_files_and_keys(how: str) -> None:
    before, begun = state(), started()
    if how == "killed":
        kill_master()
    else:
        on("bootstrap", "salt-master-container", "restart", timeout=150)
    until("another container", lambda: started() not in ("", begun), 120)
    await_master()
    assert state() == before
    assert runner("plan")[0] == 0


@synced
def test_synced_plugins_survive_syncs_of_metalk8s() -> None:
    """Sync the saltenv to the master and to its minions, with ``clean_dynamic_modules``."""
    before = state()["files"]
    for words in (["salt-run"], ["salt", "bootstrap"]):
        inside(*words, "saltutil.sync_all", f"saltenv={SALTENV}")
    assert state()["files"] == before
    assert json.loads(inside("salt-run", "--out=json", "metalk8s_expand.plan").stdout)["digest"]
    assert "metalk8s_expand_etcd" in inside("salt", "bootstrap", "sys.list_state_modules").stdout


SITE, CONFIGURATION = "/var/cache/salt/site", "/var/cache/salt/wheel"
# In an image with the wheel, nothing is synced, and file_roots has no files of the extension.
UNSYNCED = f"""
extension_modules: {CONFIGURATION}/extmods
file_roots: {{base: [{CONFIGURATION}], {SALTENV}: [{CONFIGURATION}]}}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Unpack the wheel where the container can read it, and remove it at the end."""
    made = extension.wheel(tmp_path_factory.mktemp("wheel"))
    unpack = f"base64 --decode > /root/x.whl && python3 -m zipfile -e /root/x.whl {SITE} && rm /root/x.whl"
    on(
        "bootstrap",
        "sh",
        "-ec",
        f"rm -rf {SITE}; {unpack}",
        stdin=base64.b64encode(made.read_bytes()).decode(),
    )
    try:
        yield
    finally:
        on("bootstrap", "rm", "-rf", SITE, CONFIGURATION)


@synced
def test_wheel_beside_synced_plugins_is_refused(wheel: None) -> None:
    words = ("salt-run", "--log-level=warning", "metalk8s_expand.plan")
    done = inside("env", f"PYTHONPATH={SITE}", *words, check=False)
    said = done.stdout + done.stderr
    assert "is there twice" in said, said
    assert "pip uninstall metalk8s-expand, or remove the synced files" in said


@synced
def test_master_works_with_wheel_alone(wheel: None) -> None:
    """The entry point of the wheel suffices, with MetalK8s's configuration and nothing synced.

    The trees are those of the package.
    """
    script = (
        f"mkdir -p {CONFIGURATION}/master.d && cp -a /etc/salt/master.d/99-metalk8s.conf {CONFIGURATION}/master.d"
        f" && cat > {CONFIGURATION}/master"
    )
    on("bootstrap", "sh", "-ec", script, stdin=UNSYNCED)
    words = ("env", f"PYTHONPATH={SITE}", "salt-run", f"--config-dir={CONFIGURATION}", "--out=json")
    trees = json.loads(inside(*words, "metalk8s_expand.trees").stdout)
    assert SITE in json.dumps(trees)
    assert inside(*words, "metalk8s_expand.add_node", "worker-11", check=False).returncode == 2


def test_runner_continues_after_exec_client_is_killed() -> None:
    """Kill the client of ``kubectl exec``, as the loss of a terminal does."""
    mark = f"s_time=12.{time.time_ns()}"
    words = [LAB, "exec", "bootstrap", "--", *EXEC, "salt-run", "--out=quiet", "test.sleep", mark]
    with subprocess.Popen(
        words,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        until("the runner", lambda: bool(alive(mark)), 60)
        os.killpg(process.pid, signal.SIGKILL)
    time.sleep(3)
    assert alive(mark), "it goes on"
    until("its end", lambda: not alive(mark), 60)


def alive(mark: str) -> list[str]:
    """Return the processes of this command in the container."""
    return inside("pgrep", "--full", f"[s]alt-run .*{mark}", check=False).stdout.split()
