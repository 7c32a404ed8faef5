"""Test the installer on a fake bootstrap host, killed at every point, and its place and errors."""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import old_python
from tests.fakes.salt_container import PLUGINS, VERSION, FakeSaltContainer

INSTALL = Path(__file__).resolve().parents[3] / "bundle" / "install.py"
OLD = old_python.python_3_6()
BASE = "/etc/salt/metalk8s-expand"
CONFIGURATION = "/etc/salt/master.d/zz-metalk8s-expand.conf"
DECLARATION = f"{BASE}/pillar/metalk8s_expand.sls"
FILES = {
    "VERSION": "0.1.0\n",
    "pillar/metalk8s_expand.sls": "metalk8s_expand: {}\n",
    "salt/_runners/metalk8s_expand.py": "runner = 1\n",
    "salt/_utils/metalk8s_expand/__init__.py": "library = 1\n",
    "salt/_utils/metalk8s_expand/errors.py": "",
    "salt/metalk8s_expand/expand.sls": "{}\n",
}


class Killed(BaseException):
    """The installer is killed. No handler of its own sees it."""


def lay_out(directory: Path, files: dict[str, str]) -> Any:
    """Lay out an archive of these files and return its installer as a module."""
    content = {**files, "install": INSTALL.read_text()}
    for name, text in content.items():
        place = directory / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    sums = [f"{digest(content[name])}  {name}\n" for name in sorted(content)]
    (directory / "SHA256SUMS").write_text("".join(sums))
    loader = importlib.machinery.SourceFileLoader(
        f"install_{directory.name}", str(directory / "install")
    )
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(autouse=True)
def _programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a crictl on PATH, which the installer looks for; the fake answers instead of it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/crictl").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    # The disk of the machine is not under test, and waiting for it is most of the time.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def host(tmp_path: Path) -> FakeSaltContainer:
    return FakeSaltContainer(tmp_path / "host")


@pytest.fixture
def archive(tmp_path: Path) -> Any:
    return lay_out(tmp_path / "archive", FILES)


@pytest.fixture
def newer(tmp_path: Path) -> Any:
    files = {**FILES, "VERSION": "0.2.0\n", "salt/_utils/metalk8s_expand/errors.py": "newer = 1\n"}
    return lay_out(tmp_path / "newer", files)


def run(archive: Any, host: FakeSaltContainer, *arguments: str) -> int:
    """Run the installer on the host. Returns its exit code."""
    archive.Host.run = lambda _, argv, timeout_s: host.run(argv, timeout_s)
    host.calls.clear()
    code: int = archive.main(["--root", str(host.root), *arguments])
    return code


def state(host: FakeSaltContainer) -> dict[str, str]:
    """Return the files that an installation concerns, without the record's history.

    A killed run may leave one that it has not finished. No program reads it, and the next change of
    that file removes it.
    """
    files = host.files("/etc/salt", "/var/cache/salt")
    files.pop(f"{BASE}/installed.json", None)
    return {path: text for path, text in files.items() if not path.endswith(".unfinished")}


def roots(host: FakeSaltContainer, saltenv: str = f"metalk8s-{VERSION}") -> list[str]:
    """Return the directories of a saltenv that the running master uses."""
    found: list[str] = host.started_with["file_roots"][saltenv]
    return found


def test_install_adds_tree_after_that_of_metalk8s(host: FakeSaltContainer, archive: Any) -> None:
    assert run(archive, host) == 0
    theirs, ours = roots(host)
    assert theirs == f"/srv/scality/metalk8s-{VERSION}/salt"
    assert host.path(f"{ours}/_runners/metalk8s_expand.py").read_text() == "runner = 1\n"
    assert host.files(PLUGINS) == {
        f"{PLUGINS}/runners/metalk8s_expand.py": "runner = 1\n",
        f"{PLUGINS}/runners/theirs.py": VERSION,
        f"{PLUGINS}/utils/metalk8s_expand/__init__.py": "library = 1\n",
        f"{PLUGINS}/utils/metalk8s_expand/errors.py": "",
    }
    sync = f"saltenv=metalk8s-{VERSION}"
    assert host.calls == ["stop", f"sync {sync}", f"minions boot {sync}", "status"]


def test_install_assigns_declaration_to_master_alone(host: FakeSaltContainer, archive: Any) -> None:
    run(archive, host)
    assert host.started_with["pillar_roots"] == {"base": [f"{BASE}/pillar"]}
    top = host.path(f"{BASE}/pillar/top.sls").read_text()
    assert top == 'base:\n  "boot_master":\n    - metalk8s_expand\n'
    assert host.path(DECLARATION).stat().st_mode & 0o077 == 0


def test_second_run_changes_nothing(
    host: FakeSaltContainer, archive: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run(archive, host)
    before = host.files("/etc/salt", "/var/cache/salt")
    capsys.readouterr()
    assert run(archive, host) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert host.calls == ["status"]
    assert host.files("/etc/salt", "/var/cache/salt") == before


def test_check_changes_nothing(
    host: FakeSaltContainer, archive: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(host)
    assert run(archive, host, "--check") == 0
    assert state(host) == before
    assert host.calls == []
    out = capsys.readouterr().out
    assert f"would write {CONFIGURATION}" in out
    assert "would restart the Salt master" in out


def test_upgrade_replaces_tree(host: FakeSaltContainer, archive: Any, newer: Any) -> None:
    run(archive, host)
    [_, old] = roots(host)
    host.write(DECLARATION, "metalk8s_expand: {nodes: {w-1: {}}}\n")
    assert run(newer, host) == 0
    [_, new] = roots(host)
    assert not host.path(old).parent.exists()
    assert new.startswith(f"{BASE}/0.2.0-")
    assert "w-1" in host.path(DECLARATION).read_text()
    assert host.path(f"{PLUGINS}/utils/metalk8s_expand/errors.py").read_text() == "newer = 1\n"


def test_same_command_adds_new_saltenv(host: FakeSaltContainer, archive: Any) -> None:
    run(archive, host)
    host.archives(VERSION, "134.1.0")
    host.nodes["134.1.0"] = ["w-1"]
    assert run(archive, host) == 0
    assert len(roots(host, "metalk8s-134.1.0")) == 2
    assert "minions w-1 saltenv=metalk8s-134.1.0" in host.calls


def test_saltenv_of_removed_archive_disappears(host: FakeSaltContainer, archive: Any) -> None:
    host.archives("134.0.1", VERSION)
    run(archive, host)
    host.archives(VERSION)
    assert run(archive, host) == 0
    assert list(host.started_with["file_roots"]) == [f"metalk8s-{VERSION}"]


def test_saltenv_of_older_metalk8s_stays_as_it_is(host: FakeSaltContainer, archive: Any) -> None:
    host.archives("129.0.4", VERSION)
    run(archive, host)
    assert roots(host, "metalk8s-129.0.4") == ["/srv/scality/metalk8s-129.0.4/salt"]


def test_sync_of_metalk8s_that_removed_plugins_is_repaired(
    host: FakeSaltContainer, archive: Any
) -> None:
    run(archive, host)
    shutil.rmtree(host.path(f"{PLUGINS}/utils/metalk8s_expand"))
    assert run(archive, host) == 0
    assert host.path(f"{PLUGINS}/utils/metalk8s_expand/errors.py").exists()
    assert "stop" not in host.calls


def test_uninstall_removes_what_was_installed(host: FakeSaltContainer, archive: Any) -> None:
    before = host.files("/etc/salt")
    run(archive, host)
    assert run(archive, host, "--uninstall") == 0
    assert host.files("/etc/salt") == before
    assert not host.path(BASE).exists()
    assert host.files(PLUGINS) == {f"{PLUGINS}/runners/theirs.py": VERSION}
    assert run(archive, host, "--uninstall") == 0
    assert host.calls == []


def test_check_of_uninstall_changes_nothing(
    host: FakeSaltContainer, archive: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run(archive, host)
    before = state(host)
    capsys.readouterr()
    assert run(archive, host, "--uninstall", "--check") == 0
    assert state(host) == before
    assert host.calls == []
    assert capsys.readouterr().out.count("would remove") == 4


def test_uninstall_leaves_and_names_what_operator_changed(
    host: FakeSaltContainer, archive: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run(archive, host)
    ours = roots(host)[1]
    kept = {
        DECLARATION: "changed",
        f"{ours}/_runners/metalk8s_expand.py": "changed",
        f"{BASE}/key": "new",
    }
    for path, text in kept.items():
        host.write(path, text)
    capsys.readouterr()
    assert run(archive, host, "--uninstall") == 0
    out = capsys.readouterr().out
    assert host.files(BASE) == kept
    assert all(f"left: {path} was changed" in out for path in list(kept)[:2])
    assert f"left: {BASE} has files" in out


def test_uninstall_works_from_installed_tree(host: FakeSaltContainer, archive: Any) -> None:
    run(archive, host)
    installed = host.path(roots(host)[1]).parent
    assert os.access(installed / "install", os.X_OK)
    archive.__file__ = str(installed / "install")
    assert run(archive, host) == 0
    assert host.calls == ["status"]


@pytest.mark.parametrize("path", [CONFIGURATION, "runner"])
def test_file_of_operator_is_not_replaced(
    host: FakeSaltContainer, archive: Any, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    run(archive, host)
    path = f"{roots(host)[1]}/_runners/metalk8s_expand.py" if path == "runner" else path
    host.write(path, "file_roots: {}\n")
    before = state(host)
    assert run(archive, host) == 5
    assert path in capsys.readouterr().err
    assert state(host) == before
    assert run(archive, host, "--overwrite") == 0
    assert host.path(path).read_text() != "file_roots: {}\n"
    [copy] = host.path(f"{BASE}/saved").iterdir()
    assert copy.read_text() == "file_roots: {}\n"


def test_configuration_that_an_operator_wrote_by_hand_is_not_replaced(
    host: FakeSaltContainer, archive: Any
) -> None:
    text = f"file_roots: {{metalk8s-{VERSION}: [{BASE}/salt]}}\n"
    host.write(CONFIGURATION, text)
    before = state(host)
    assert run(archive, host) == 5
    assert state(host) == before
    assert run(archive, host, "--overwrite") == 0
    assert f"{BASE}/salt" not in roots(host)
    assert [copy.read_text() for copy in host.path(f"{BASE}/saved").iterdir()] == [text]


def test_tree_that_another_file_names_is_refused(
    host: FakeSaltContainer, archive: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    host.write("/etc/salt/master.d/my.conf", f"file_roots: {{metalk8s-{VERSION}: [{BASE}/salt]}}\n")
    assert run(archive, host) == 5
    assert f"{BASE}/salt of metalk8s-{VERSION}" in capsys.readouterr().err


def test_configuration_without_effect_is_withdrawn(
    host: FakeSaltContainer, archive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = host.configuration()
    monkeypatch.setattr(host, "configuration", lambda: before)
    assert run(archive, host) == 5
    assert not host.path(CONFIGURATION).exists()
    assert "stop" not in host.calls


def break_place(host: FakeSaltContainer, name: str) -> None:
    if name == "worker":
        host.path("/etc/metalk8s/bootstrap.yaml").unlink()
        host.path("/etc/kubernetes/manifests/salt-master.yaml").unlink()
    elif name == "stopped":
        host.number = 0
    elif name == "old":
        manifest = "metalk8s.scality.com/version: 129.0.4\n"
        host.write("/etc/kubernetes/manifests/salt-master.yaml", manifest)
        host.versions = "  Salt: 3002.9\n  Python: 3.6.8 (default)\n"
    elif name == "archive":
        host.archives("129.0.4")
    elif name == "wheel":
        host.answers["metalk8s_expand.trees"] = {"library": "/opt/saltstack"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("worker", ["/etc/metalk8s/bootstrap.yaml", "/etc/kubernetes/manifests/salt-master.yaml"]),
        ("stopped", ["expected one running container salt-master, found 0"]),
        ("old", ["MetalK8s 129.0.4", "Salt 3002.9", "Python 3.6.8"]),
        ("archive", ["metalk8s-134 or newer, only metalk8s-129.0.4"]),
        ("wheel", ["pip uninstall metalk8s-expand"]),
    ],
)
def test_wrong_place_is_refused_with_all_reasons(
    host: FakeSaltContainer,
    archive: Any,
    capsys: pytest.CaptureFixture[str],
    name: str,
    words: list[str],
) -> None:
    break_place(host, name)
    before = state(host)
    assert run(archive, host) == 3
    err = capsys.readouterr().err
    assert [word for word in words if word not in err] == []
    assert state(host) == before


def test_host_without_crictl_is_refused(
    host: FakeSaltContainer, archive: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin/crictl").unlink()
    assert run(archive, host) == 3
    assert "crictl" in capsys.readouterr().err


def test_damaged_archive_is_refused(
    host: FakeSaltContainer, archive: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "archive/salt/_runners/metalk8s_expand.py").write_text("half")
    assert run(archive, host) == 3
    assert "damaged: salt/_runners/metalk8s_expand.py" in capsys.readouterr().err


def test_record_that_is_damaged_is_refused(host: FakeSaltContainer, archive: Any) -> None:
    run(archive, host)
    host.write(f"{BASE}/installed.json", "{")
    assert run(archive, host) == 5
    assert run(archive, host, "--uninstall") == 5


def test_lost_record_is_written_again(host: FakeSaltContainer, archive: Any) -> None:
    run(archive, host)
    host.path(f"{BASE}/installed.json").unlink()
    assert run(archive, host) == 0
    assert "stop" not in host.calls
    run(archive, host, "--uninstall")
    # What the operator may have written is not known to be of this command.
    assert set(host.files(BASE)) == {DECLARATION, f"{BASE}/pillar/top.sls"}


@pytest.mark.parametrize(
    ("work", "words"),
    [
        ("process", "process 7: /usr/bin/salt-run state.orchestrate a"),
        ("run", "a run of metalk8s_expand"),
        ("job", "job 2026: state.highstate"),
    ],
)
def test_restart_that_would_end_work_is_refused(
    host: FakeSaltContainer,
    archive: Any,
    newer: Any,
    capsys: pytest.CaptureFixture[str],
    work: str,
    words: str,
) -> None:
    run(archive, host)
    if work == "process":
        host.write("/proc/7/cmdline", "/usr/bin/salt-run\0state.orchestrate\0a\0")
    elif work == "run":
        host.answers["metalk8s_expand.status"] = {"now": {"run": "r1"}}
    else:
        host.answers["jobs.active"] = {"2026": {"Function": "state.highstate"}}
    before = state(host)
    assert run(newer, host) == 9
    assert words in capsys.readouterr().err
    assert state(host) == before


def test_readiness_probe_and_clients_are_no_work(host: FakeSaltContainer, archive: Any) -> None:
    host.write("/proc/7/cmdline", "/usr/bin/salt-run\0event.send\0test\0")
    host.write("/proc/8/cmdline", "/usr/bin/crictl\0exec\0c1\0salt-run\0state.event\0")
    host.write("/proc/9/cmdline", "")
    assert run(archive, host) == 0


def test_master_that_does_not_return_ends_with_deadline(
    host: FakeSaltContainer, archive: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    host.starts = False
    assert run(archive, host, "--timeout", "1") == 7
    assert "has not answered within 1 s" in capsys.readouterr().err
    host.starts = True
    host.restart()
    assert run(archive, host) == 0
    # The container has been started after the file was written.
    assert "stop" not in host.calls


def test_silent_minion_is_named(
    host: FakeSaltContainer, archive: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    host.nodes[VERSION] = ["boot", "w-1"]
    host.silent = {"w-1"}
    assert run(archive, host) == 0
    assert (
        f"salt --list w-1 saltutil.sync_all saltenv=metalk8s-{VERSION}" in capsys.readouterr().out
    )


def test_minion_that_connects_later_is_synced(
    host: FakeSaltContainer, archive: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The restart of the master has cut its connection."""
    host.nodes[VERSION] = ["boot", "w-1"]
    host.slow = {"w-1": 2}
    assert run(archive, host) == 0
    assert "no sync on" not in capsys.readouterr().out
    jobs = [call for call in host.calls if call.startswith("minions ")]
    assert [call.split()[1] for call in jobs] == ["boot,w-1", "w-1", "w-1"]


def test_status_that_fails_is_an_error(host: FakeSaltContainer, archive: Any) -> None:
    archive.Host.run = lambda _, argv, timeout_s: (
        (4, "", "the API does not answer")
        if argv[-1].endswith(".status")
        else host.run(argv, timeout_s)
    )
    assert archive.main(["--root", str(host.root)]) == 1


def test_second_installer_at_same_time_is_refused(host: FakeSaltContainer, archive: Any) -> None:
    with archive.lock(archive.Host(str(host.root))):
        assert run(archive, host) == 9


def test_control_characters_of_programs_are_visible(archive: Any) -> None:
    assert archive.visible(b"a\x1b[2Jb\xff\n") == "a\\x1b[2Jb\\xff\n"


class Kill:
    """Kill the installer at its nth effect: a change of a file, or a call of a program."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, host: FakeSaltContainer) -> None:
        self.left = 10**6
        self.host = host
        for name in ("rename", "unlink", "rmdir", "mkdir", "chmod"):
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def at(self, number: int) -> None:
        self.left = number
        self.host.effect = self.count

    def off(self) -> None:
        self.left = 10**6

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if str(args[0]).startswith(str(self.host.path("/etc"))):
                self.count()
            return function(*args, **kwargs)

        return counted


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch, host: FakeSaltContainer) -> Iterator[Kill]:
    yield Kill(monkeypatch, host)


def _assert_master_is_sound(host: FakeSaltContainer) -> None:
    """Check that a master that started now would have MetalK8s's tree, and complete trees only."""
    for name, directories in host.configuration()["file_roots"].items():
        assert directories[0] == f"/srv/scality/{name}/salt"
        for directory in directories[1:]:
            assert host.path(f"{directory}/_runners/metalk8s_expand.py").exists()
            assert host.path(f"{directory}/../SHA256SUMS").exists()


@pytest.mark.parametrize("kind", ["install", "upgrade", "saltenv", "uninstall"])
def test_run_killed_at_any_point_is_completed_by_next(
    tmp_path: Path, host: FakeSaltContainer, archive: Any, newer: Any, kill: Kill, kind: str
) -> None:
    arguments = ["--uninstall"] if kind == "uninstall" else []
    if kind != "install":
        run(archive, host)
    if kind == "saltenv":
        host.archives(VERSION, "134.1.0")
    program = newer if kind == "upgrade" else archive
    start = tmp_path / "start"
    shutil.copytree(host.root, start)
    loaded, number = host.started_with, host.number
    assert run(program, host, *arguments) == 0
    wanted, wanted_roots = state(host), host.started_with["file_roots"]
    points = 0
    repeated: list[Any] = []
    while True:
        shutil.rmtree(host.root)
        shutil.copytree(start, host.root)
        host.started_with, host.number = loaded, number
        points += 1
        kill.at(points)
        try:
            run(program, host, *arguments)
        except Killed:
            kill.off()
        else:
            break
        _assert_master_is_sound(host)
        assert run(program, host, *arguments) == 0, points
        assert state(host) == wanted, points
        assert host.started_with["file_roots"] == wanted_roots, points
        # The installer depends on the host alone, so one repetition on each final host is enough.
        final = host.files("/"), host.started_with, bool(host.number)
        if final not in repeated:
            repeated.append(final)
            run(program, host, *arguments)
            assert set(host.calls) <= {"status"}, points
    assert points > 25


def test_script_has_syntax_of_python_3_6() -> None:
    ast.parse(INSTALL.read_text(), feature_version=(3, 6))


def test_script_uses_no_newer_interface() -> None:
    newer = (
        r"capture_output|text=|missing_ok|dirs_exist_ok|removeprefix|removesuffix|dataclass"
        r"|fromisoformat|from __future__|isascii|math\.prod|time_ns|functools\.cache|nullcontext"
        r"|shlex\.join|TypedDict|Literal|Final|Protocol|zoneinfo|tomllib|graphlib|ExitStack\(\)\.enter"
    )
    assert re.findall(newer, INSTALL.read_text()) == []


@pytest.mark.skipif(OLD is None, reason="this machine has no Python 3.6")
def test_script_runs_on_python_3_6(tmp_path: Path, host: FakeSaltContainer) -> None:
    lay_out(tmp_path / "laid", FILES)
    done = subprocess.run(
        [str(OLD), "-I", "-B", str(tmp_path / "laid/install"), "--root", str(host.root)],
        capture_output=True,
        timeout=60,
        check=False,
        env={"PATH": str(tmp_path / "bin"), "LC_ALL": "C"},
    )
    # The fake crictl is empty: there is no container.
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"found 0" in done.stderr
    assert b"Traceback" not in done.stderr


def test_stub_finds_python(tmp_path: Path, host: FakeSaltContainer) -> None:
    lay_out(tmp_path / "laid", FILES)
    done = subprocess.run(
        ["/bin/sh", str(tmp_path / "laid/install"), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert "--uninstall" in done.stdout


def test_record_names_every_file_with_its_digest(host: FakeSaltContainer, archive: Any) -> None:
    run(archive, host)
    record = json.loads(host.path(f"{BASE}/installed.json").read_text())
    for path, text in host.files(BASE).items():
        if not path.endswith("installed.json"):
            assert record["files"][path] == [digest(text)], path
    assert (record["restart"], record["minions"]) == ("", False)
