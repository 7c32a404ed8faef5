"""Tests that a script runs on the Python that a host has, with every shell and every Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metalk8s_expand.clients.ssh import remote_script
from tests.unit.metalk8s_expand.conftest import Sshd

SCRIPT = "import sys; print('script', list(sys.version_info[:2]), sys.argv[1:])"
OLD = "#!/bin/sh\nexit 1\n"


def interpreters() -> list[str]:
    """Return the Pythons beside the one that runs this, as version managers lay them out."""
    beside = [str(path) for path in sorted(Path(sys.base_prefix).parent.glob("3.*/bin/python3"))]
    return [sys.executable, *beside]


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def recorder(name: str) -> str:
    """Return a Python that is new enough and prints its name instead of running a script."""
    return f'#!/bin/sh\ncase "$2" in *version_info*) exit 0;; esac\necho {name} "$@"\n'


@pytest.mark.parametrize(
    ("ordinary", "platform", "selected"),
    [
        (recorder("ordinary"), recorder("platform"), "ordinary"),
        (recorder("ordinary"), None, "ordinary"),
        (OLD, recorder("platform"), "platform"),
        (None, recorder("platform"), "platform"),
    ],
)
def test_python_is_the_one_of_the_platform_when_python3_is_missing_or_older(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ordinary: str | None,
    platform: str | None,
    selected: str,
) -> None:
    monkeypatch.setattr(remote_script, "PLATFORM_PYTHON", str(tmp_path / "platform-python"))
    (tmp_path / "bin").mkdir()
    if ordinary:
        executable(tmp_path / "bin" / "python3", ordinary)
    if platform:
        executable(tmp_path / "platform-python", platform)
    done = subprocess.run(
        ["/bin/sh", "-c", remote_script.shell_script(sudo=False), "sh", '{"a": "b c"}'],
        capture_output=True,
        text=True,
        env={"PATH": str(tmp_path / "bin")},
        timeout=30,
        check=True,
    )
    assert done.stdout == f'{selected} -BIS - {{"a": "b c"}}\n'


def test_sudo_runs_python_only(tmp_path: Path) -> None:
    """As in salt-ssh, so that sudoers may permit Python and nothing else."""
    executable(tmp_path / "sudo", '#!/bin/sh\necho "sudo $@"\n')
    done = subprocess.run(
        ["/bin/sh", "-c", remote_script.shell_script(sudo=True), "sh", "argument"],
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:{os.defpath}"},
        timeout=30,
        check=True,
    )
    assert done.stdout == "sudo -n -- python3 -BIS - argument\n"


@pytest.mark.parametrize("sudo", [False, True])
def test_every_login_shell_passes_the_line_on(sudo: bool) -> None:
    assert not set("'!\n\\") & set(remote_script.shell_script(sudo))


@pytest.mark.parametrize("python", interpreters())
def test_script_runs_over_ssh_on_every_python(sshd: Sshd, tmp_path: Path, python: str) -> None:
    (tmp_path / "python3").symlink_to(python)
    sshd.force(f'PATH={tmp_path}:$PATH; export PATH; eval "$SSH_ORIGINAL_COMMAND"')
    answer = remote_script.run_script(sshd.target(), SCRIPT, '{"a": 1}', 20)
    version = subprocess.run(
        [python, "-c", "import sys; print(list(sys.version_info[:2]))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert (answer.returncode, answer.stdout) == (0, f"script {version} ['{{\"a\": 1}}']\n")
