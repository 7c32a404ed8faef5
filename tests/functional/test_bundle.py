"""Install the archive on a bootstrap host with Salt's real master and minion.

The host has no API server, so ``status`` reports that, and the installer's exit code is 1.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundle import build
from tests import old_python
from tests.functional import bootstrap_host, metalk8s_tree
from tests.functional.bootstrap_host import NEXT, VERSION, BootstrapHost

ROOT = Path(__file__).resolve().parents[2]
INSTALL = f"/root/metalk8s-expand-{build.version(ROOT)}/install"
BASE = "/etc/salt/metalk8s-expand"
CONFIGURATION = "/etc/salt/master.d/zz-metalk8s-expand.conf"
RUNNER = "/var/cache/salt/master/extmods/runners/metalk8s_expand.py"
MINION = "/var/cache/salt/minion/extmods/modules/metalk8s_expand_host.py"
CHANGES = ("writing", "syncing", "restarting")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for namespaces")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootstrapHost]:
    """Start a host on which the archive is laid out, and nothing of it installed."""
    base = tmp_path_factory.mktemp("bundle")
    metalk8s_tree.make(base / "tree")
    build.main([str(base)])
    [archive] = base.glob("*.tar.gz")
    with bootstrap_host.started(base / "tree", old_python.python_3_6()) as started:
        shutil.copy(archive, started.path("/root/archive.tar.gz"))
        started.run("tar", "xf", "/root/archive.tar.gz", "-C", "/root")
        yield started


def install(host: BootstrapHost, *arguments: str) -> str:
    """Run the installer to its end, and return its output."""
    done = host.run(INSTALL, *arguments, timeout=900)
    if not arguments:
        assert "status ended with 4" in done.stderr, done.stdout + done.stderr
    assert done.returncode == (0 if arguments else 1), done.stdout + done.stderr
    return done.stdout


def roots(host: BootstrapHost) -> dict[str, list[str]]:
    """Return the directories of each saltenv, as Salt reads them."""
    found: dict[str, list[str]] = json.loads(
        host.salt_run("--out=json", "config.get", "file_roots").stdout
    )
    return found


def test_install_gives_runner_to_master_and_modules_to_minion(host: BootstrapHost) -> None:
    before = roots(host)
    assert "would restart the Salt master" in install(host, "--check")
    assert roots(host) == before
    out = install(host)
    assert "restarting the Salt master" in out
    [theirs, ours] = roots(host)[f"metalk8s-{VERSION}"]
    assert [theirs] == before[f"metalk8s-{VERSION}"]
    assert ours.startswith(f"{BASE}/{build.version(ROOT)}-")
    trees = json.loads(host.salt_run("--out=json", "metalk8s_expand.trees").stdout)
    assert trees["library"] == "/var/cache/salt/master/extmods/utils/metalk8s_expand"
    assert json.loads(host.salt_run("--out=json", "metalk8s_saltutil.whose").stdout) == "theirs"
    assert host.path(MINION).exists()


def test_second_run_changes_nothing(host: BootstrapHost) -> None:
    before = host.run("crictl", "ps").stdout
    out = install(host)
    assert "nothing to do" in out
    assert not any(word in out for word in CHANGES)
    assert host.run("crictl", "ps").stdout == before


@pytest.mark.full
def test_restart_is_refused_while_salt_run_works(host: BootstrapHost) -> None:
    added = host.path("/etc/salt/master.d/99-metalk8s-roots.conf")
    added.write_text(bootstrap_host.roots(VERSION, NEXT))
    container = host.run("crictl", "ps").stdout.strip()
    listener = host.start("crictl", "exec", container, "salt-run", "state.event")
    try:
        deadline = time.monotonic() + 60
        while "state.event" not in host.run("ps", "-ef").stdout and time.monotonic() < deadline:
            time.sleep(0.2)
        done = host.run(INSTALL)
        assert (done.returncode, done.stdout) == (9, "")
        assert "salt-run state.event" in done.stderr
    finally:
        listener.kill()
        listener.wait(30)
        host.run("pkill", "-f", "state.event")


@pytest.mark.full
def test_new_saltenv_and_killed_installer_are_completed(host: BootstrapHost) -> None:
    installer = host.start(INSTALL)
    deadline = time.monotonic() + 300
    # The file is written, and the master is not restarted yet or is on its way.
    while NEXT not in host.path(CONFIGURATION).read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    host.run("pkill", "-KILL", "-f", INSTALL)
    installer.wait(30)
    install(host)
    found = roots(host)
    assert len(found[f"metalk8s-{VERSION}"]) == len(found[f"metalk8s-{NEXT}"]) == 2
    assert host.path(RUNNER).exists()
    assert "nothing to do" in install(host)


@pytest.mark.full
def test_sync_of_base_is_repaired(host: BootstrapHost) -> None:
    """The mistake that the documentation warns of removes all that base does not have."""
    host.salt_run("saltutil.sync_all")
    assert not host.path(RUNNER).exists()
    assert "restarting" not in install(host)
    assert host.path(RUNNER).exists()


def test_uninstall_leaves_modules_of_metalk8s_alone(host: BootstrapHost) -> None:
    host.path(f"{BASE}/pillar/metalk8s_expand.sls").write_text("metalk8s_expand: {nodes: {}}\n")
    out = install(host, "--uninstall")
    assert f"left: {BASE}/pillar/metalk8s_expand.sls was changed by another hand" in out
    left = [path for path in host.path(BASE).rglob("*") if path.is_file()]
    assert left == [host.path(f"{BASE}/pillar/metalk8s_expand.sls")]
    assert not host.path(CONFIGURATION).exists()
    assert not host.path(RUNNER).exists()
    assert not host.path(MINION).exists()
    assert json.loads(host.salt_run("--out=json", "metalk8s_saltutil.whose").stdout) == "theirs"
    assert roots(host)[f"metalk8s-{VERSION}"] == [f"/srv/scality/metalk8s-{VERSION}/salt"]
    assert "nothing to do" in install(host, "--uninstall")
