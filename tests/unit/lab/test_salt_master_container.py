"""Test how Salt's commands on the bootstrap host find the Salt master's container."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from metalk8s_lab import bootstrap, settings
from metalk8s_lab.errors import LabError
from metalk8s_lab.lab import Lab

FILES = Path(bootstrap.FILES)


@pytest.fixture
def program():
    spec = importlib.util.spec_from_file_location(
        "salt_master_container", FILES / "salt_master_container.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def process(tmp_path):
    def made(pid, command, parent, space, name="x"):
        place = tmp_path / str(pid)
        (place / "ns").mkdir(parents=True)
        (place / "cmdline").write_bytes(command.encode())
        (place / "comm").write_text(f"{name}\n")
        (place / "status").write_text(f"Name:\t{name}\nPid:\t{pid}\nPPid:\t{parent}\n")
        (place / "ns/pid").symlink_to(f"pid:[{space}]")

    made("self", "python3", 1, 1)
    made(50, "containerd-shim", 1, 1, "containerd-shim")
    return made


def test_container_returns_pid_of_the_masters_first_process(program, process, tmp_path):
    process(7, "vi salt-master.yaml", 1, 1)
    process(60, "/pause", 50, 2)
    process(62, "salt-master MWorker", 61, 2)
    assert program.container(tmp_path) is None
    process(61, "/opt/salt/bin/python3 /opt/salt/bin/salt-master MainProcess", 50, 2)
    assert program.container(tmp_path) == 61


def test_missing_container_is_reported_after_the_timeout(program, monkeypatch, capsys):
    monkeypatch.setattr(program, "PATIENCE_S", 0.1)
    with pytest.raises(program.NotThereError, match=r"after 0\.1 s"):
        program.awaited(lambda: None, 0.1)
    assert program.main(["/usr/local/sbin/salt-master-container", "stop"]) == 125
    assert "pid|wait|restart" in capsys.readouterr().err


@pytest.mark.parametrize("unified", [False, True])
def test_control_groups_are_found_in_both_cgroup_versions(program, tmp_path, monkeypatch, unified):
    monkeypatch.setattr(program, "CGROUPS", tmp_path)
    places = (
        ["kubepods/a"]
        if unified
        else ["systemd/kubepods/a", "cpu/kubepods/a", "unified/kubepods/a"]
    )
    for place in places:
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "cgroup.procs").write_text("")
    lines = (
        ["0::/kubepods/a"]
        if unified
        else [
            "9:name=systemd:/kubepods/a",
            "1:cpu:/kubepods/a",
            "2:pids:/kubepods/a",
            "0::/kubepods/a",
        ]
    )
    found = [group for line in lines if (group := program._group(line))]
    assert found == [tmp_path / place / "cgroup.procs" for place in places]


def test_restart_writes_a_new_pod_manifest(program, tmp_path, monkeypatch):
    manifest = tmp_path / "salt-master.yaml"
    monkeypatch.setattr(program, "PREPARED", FILES / "salt-master.yaml")
    monkeypatch.setattr(program, "MANIFEST", manifest)
    answers = iter([7, 7, None, 8])
    monkeypatch.setattr(program, "container", lambda: 7)
    monkeypatch.setattr(program, "answering", lambda: next(answers))
    monkeypatch.setattr(program.time, "sleep", lambda seconds: None)
    program.restart()
    found = manifest.read_text()
    assert "restarted: 'never'" not in found
    assert [path.name for path in tmp_path.iterdir()] == ["salt-master.yaml"]
    assert manifest.stat().st_mode & 0o777 == 0o600


def test_program_imports_only_the_standard_library():
    assert (FILES / "salt_master_container.py").read_text().startswith("#!/usr/bin/python3 -IS\n")
    assert (
        "metalk8s_lab"
        not in sys.modules["metalk8s_lab.bootstrap"]
        .FILES.joinpath("salt_master_container.py")
        .read_text()
    )


def serving(install, version="3006.28"):
    chosen = settings.Settings(Path("/s"), Path("/c"), version, None, install)
    return json.loads(bootstrap.extension(Lab(chosen)))


def test_extension_is_served_after_the_tree_of_metalk8s():
    assert serving("synced") == {
        "file_roots": {
            bootstrap.SALTENV: ["/etc/salt/metalk8s-expand/salt"],
        },
        "pillar_roots": {"base": ["/etc/salt/metalk8s-expand/pillar"]},
        "peer": {".*": ["metalk8s_expand_ca.sign"]},
    }


@pytest.mark.parametrize(("version", "python"), [("3006.28", "3.11"), ("3008.3", "3.13")])
def test_master_with_wheel_serves_only_what_minions_need(version, python):
    package = f"/opt/salt/lib/python{python}/site-packages/metalk8s_expand"
    assert serving("wheel", version)["file_roots"][bootstrap.SALTENV] == [
        bootstrap.MINIONS_TREE,
        f"{package}/srv/beside",
    ]


def test_unknown_install_mode_is_refused(monkeypatch):
    monkeypatch.setenv("LAB_INSTALL", "both")
    with pytest.raises(LabError, match="write synced or wheel"):
        settings.from_environment()
    monkeypatch.delenv("LAB_INSTALL")
    assert settings.from_environment().install == "synced"


def test_unknown_tree_is_refused(monkeypatch):
    monkeypatch.setenv("LAB_TREE", "129")
    with pytest.raises(LabError, match="write own or 134"):
        settings.from_environment()
