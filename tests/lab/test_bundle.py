"""Install the archive of ``make bundle`` on a master that has nothing of this project.

The lab's own installation is put aside and returns at the end. The tests need a bootstrap node.
They change no other host.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundle import build
from tests.lab.hosts import EXEC, SALTENV, Done, get, on, until

ROOT = Path(__file__).resolve().parents[2]
VERSION = build.version(ROOT)
INSTALL = f"/root/metalk8s-expand-{VERSION}/install"
THEIRS = f"/srv/scality/{SALTENV}/salt"
BASE = "/etc/salt/metalk8s-expand"
CONFIGURATION = "/etc/salt/master.d/zz-metalk8s-expand.conf"
ASIDE = "/root/aside"
SYNC = ("saltutil.sync_all", f"saltenv={SALTENV}")
# What the lab has put where ./install puts the same. The declaration stays: it is the operator's.
OWN = ("salt", "minions", "pillar/top.sls")

pytestmark = pytest.mark.skipif(
    os.environ.get("LAB_INSTALL", "synced") != "synced",
    reason="the wheel and the archive are two ways to install",
)


def inside(*command: str, check: bool = True) -> Done:
    """Run a command in the master's container with the documented command line."""
    return on("bootstrap", *EXEC, *command, timeout=300, check=check)


def restart_and_sync() -> None:
    """Let the master and its minion have what the configuration now gives them."""
    on("bootstrap", "salt-master-container", "restart", timeout=150)
    on("bootstrap", "salt-master-container", "wait", timeout=150)
    inside("salt-run", "fileserver.clear_file_list_cache", f"saltenv={SALTENV}")
    inside("salt-run", *SYNC)
    until(
        "the minion",
        lambda: (
            on("bootstrap", "salt", "--timeout=5", "bootstrap", "test.ping", check=False).returncode
            == 0
        ),
    )
    on("bootstrap", "salt", "bootstrap", *SYNC, timeout=300)


def put(archive: Path) -> None:
    """Lay out an archive below /root of the bootstrap host, as an operator does."""
    text = base64.b64encode(archive.read_bytes()).decode()
    on("bootstrap", "sh", "-ec", "base64 -d | tar xz -C /root", stdin=text)


@pytest.fixture(scope="module", autouse=True)
def _bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Put the lab's installation aside, so that the master has MetalK8s's stand-in alone."""
    moved = " ".join(OWN)
    # The external pillar stands for that of MetalK8s, so it stays, in MetalK8s's tree.
    script = f"""
        rm -rf {ASIDE}; mkdir -p {ASIDE}/pillar; cp -a {BASE}/salt/_pillar {THEIRS}/
        for name in {moved}; do test ! -e {BASE}/$name || mv {BASE}/$name {ASIDE}/$name; done
        mv {CONFIGURATION} {ASIDE}/
        echo 'runtime-endpoint: unix:///run/containerd/containerd.sock' > /etc/crictl.yaml
    """
    on("bootstrap", "sh", "-ec", script)
    dist = tmp_path_factory.mktemp("dist")
    build.main([str(dist)])
    [archive] = dist.glob("*.tar.gz")
    put(archive)
    try:
        restart_and_sync()
        yield
    finally:
        on("bootstrap", INSTALL, "--uninstall", "--overwrite", timeout=900, check=False)
        script = f"""
            for name in {moved}; do
                test ! -e {ASIDE}/$name || {{ rm -rf {BASE}/$name; mv {ASIDE}/$name {BASE}/$name; }}
            done
            mv {ASIDE}/{Path(CONFIGURATION).name} {CONFIGURATION}; rm -rf {THEIRS}/_pillar
        """
        on("bootstrap", "sh", "-ec", script)
        restart_and_sync()


def install(*arguments: str, code: int = 0) -> str:
    """Run the installer on the bootstrap host; return what it prints."""
    done = on("bootstrap", INSTALL, *arguments, timeout=900, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def container() -> str:
    """Return the ID of the master's container, as the API reports it."""
    statuses = get("--namespace=kube-system", "pod", "salt-master-bootstrap")["status"]
    [found] = [
        one["containerID"] for one in statuses["containerStatuses"] if one["name"] == "salt-master"
    ]
    return str(found)


def test_bare_master_has_no_runner() -> None:
    done = inside("salt-run", "metalk8s_expand.status", check=False)
    assert "is not available" in done.stdout + done.stderr


def test_check_changes_nothing() -> None:
    before = container()
    out = install("--check")
    assert f"would write {CONFIGURATION}" in out
    assert container() == before
    assert on("bootstrap", "test", "-e", CONFIGURATION, check=False).returncode != 0


def test_install_ends_with_status_of_declared_nodes() -> None:
    out = install()
    assert "restarting the Salt master" in out
    status = out.partition("$ salt-run metalk8s_expand.status\n")[2]
    # The declaration was there before, and the top file of ./install assigns it to the master.
    assert "bootstrap" in status
    assert "worker-1" in status
    assert "Kubeconfig: " in status
    roots = json.loads(inside("salt-run", "--out=json", "config.get", "file_roots").stdout)
    assert [path.partition(VERSION)[0] for path in roots[SALTENV]] == [THEIRS, f"{BASE}/"]
    found = on("bootstrap", "salt", "--out=json", "bootstrap", "metalk8s_expand_host.probe")
    assert json.loads(found.stdout)["bootstrap"]["hostname"]


def test_second_install_changes_nothing() -> None:
    before = container()
    out = install()
    assert "nothing to do" in out
    assert "restarting" not in out
    assert container() == before


def test_every_command_of_the_installation_works() -> None:
    plan = json.loads(inside("salt-run", "--out=json", "metalk8s_expand.plan").stdout)
    assert plan["digest"]
    assert json.loads(inside("salt-run", "--out=json", "metalk8s_expand.trees").stdout)["served"]


def test_installer_killed_after_restart_is_completed(tmp_path: Path) -> None:
    """Upgrade to another content, and kill the installer as soon as its file is in place."""
    changed = build.files(ROOT)
    changed["salt/metalk8s_expand/upgrade.sls"] = b"{}\n"
    path = tmp_path / "upgrade.tar.gz"
    path.write_bytes(build.archive(ROOT, changed))
    before = on("bootstrap", "cat", CONFIGURATION).stdout
    put(path)
    script = f"""
        {INSTALL} >/dev/null 2>&1 & installer=$!
        for i in $(seq 3000); do
            grep -qF '{before.splitlines()[-4].strip()}' {CONFIGURATION} || break; sleep 0.1
        done
        kill -KILL $installer
    """
    on("bootstrap", "sh", "-c", script, timeout=400)
    assert "nothing to do" not in install()
    assert "nothing to do" in install()
    after = on("bootstrap", "cat", CONFIGURATION).stdout
    assert after != before
    trees = on("bootstrap", "sh", "-c", f"ls -d {BASE}/{VERSION}-*").stdout.split()
    assert len(trees) == 1
    assert trees[0] in after
    on("bootstrap", "test", "-e", f"{trees[0]}/salt/metalk8s_expand/upgrade.sls")


def test_uninstall_leaves_declaration_and_nothing_of_its_own() -> None:
    out = install("--uninstall")
    assert "metalk8s-expand is uninstalled" in out
    left = on("bootstrap", "find", BASE, "-type", "f").stdout.split()
    assert f"{BASE}/pillar/metalk8s_expand.sls" in left
    assert not [path for path in left if VERSION in path]
    done = inside("salt-run", "metalk8s_expand.status", check=False)
    assert "is not available" in done.stdout + done.stderr
    done = on("bootstrap", "salt", "bootstrap", "metalk8s_expand_host.probe", check=False)
    assert "is not available" in done.stdout
    assert "nothing to do" in install("--uninstall")
