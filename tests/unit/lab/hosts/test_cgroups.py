"""The control groups of a host, in directories that stand for the hierarchies of a machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from metalk8s_lab.hosts import cgroups

HYBRID = "2:cpu:/\n1:name=systemd:/\n0::/caller\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of the hierarchies of a hybrid machine."""
    for name in ("cpu", "systemd", "unified/caller"):
        (tmp_path / "groups" / name).mkdir(parents=True)
    (tmp_path / "own").write_text(HYBRID)
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path / "groups")
    monkeypatch.setattr(cgroups, "_OWN", tmp_path / "own")
    return tmp_path / "groups"


def test_host_has_a_group_in_every_hierarchy(machine: Path) -> None:
    files = cgroups.create("cp-1")
    name = f"{cgroups._PREFIX}cp-1"
    groups = ["cpu", "systemd", "unified/caller"]
    assert files == [machine / group / name / "cgroup.procs" for group in groups]
    assert sorted(cgroups.find("cp-1")) == sorted(file.parent for file in files)


def test_host_on_machine_with_v2_only_has_one_group(machine: Path) -> None:
    (machine / "cgroup.controllers").touch()
    (machine / "caller").mkdir()
    cgroups._OWN.write_text("0::/caller\n")
    assert cgroups.create("cp-1") == [machine / f"caller/{cgroups._PREFIX}cp-1/cgroup.procs"]


@pytest.mark.parametrize(
    ("name", "frozen", "thawed"),
    [("freezer.state", "FROZEN", "THAWED"), ("cgroup.freeze", "1", "0")],
)
def test_groups_of_host_are_thawed(machine: Path, name: str, frozen: str, thawed: str) -> None:
    groups = [file.parent for file in cgroups.create("cp-1") + cgroups.create("cp-2")]
    for group in groups:
        (group / "kubepods").mkdir()
        (group / "kubepods" / name).write_text(frozen)
    cgroups.thaw("cp-1")
    found = {group.name: (group / "kubepods" / name).read_text() for group in groups}
    assert list(found.values()) == [thawed, frozen]
