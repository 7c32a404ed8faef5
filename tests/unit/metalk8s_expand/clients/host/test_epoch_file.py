"""Tests of the file with a host's newest epoch."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from metalk8s_expand.clients.host import epoch_file
from metalk8s_expand.clients.host.epoch_file import EpochFile
from metalk8s_expand.errors import ConflictError, DeployError


def test_epoch_file_is_atomic_and_for_root_only(tmp_path: Path) -> None:
    file = EpochFile(str(tmp_path / "etc" / "epoch"))
    assert file.read() is None
    with file.locked():
        file.write(7)
        file.write(8)
    assert file.read() == 8
    assert file.path.read_text() == "8\n"
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(file.path.parent) == ["epoch"], "nothing else is left"


def test_interrupted_write_keeps_epoch_file_usable(tmp_path: Path) -> None:
    left = tmp_path / ".epoch.new"
    left.write_text("99999999999")
    left.chmod(0o644)
    file = EpochFile(str(tmp_path / "epoch"))
    file.write(3)
    assert file.read() == 3
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert not left.exists()


@pytest.mark.parametrize("text", ["", "7x", "-1", "1.5", "²", "\x00"])
def test_invalid_epoch_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "epoch").write_text(text)
    with pytest.raises(ConflictError, match="which is not an epoch") as error:
        EpochFile(str(tmp_path / "epoch")).read()
    assert "remove" in str(error.value.hint)


def test_lock_excludes_other_process_and_times_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch_file, "LOCK_TIMEOUT_S", 0.01)
    monkeypatch.setattr(epoch_file, "LOCK_INTERVAL_S", 0.001)
    file = EpochFile(str(tmp_path / "epoch"))
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(DeployError, match="unlock the epoch of this host"), file.locked():
        raise AssertionError("somebody else is at it")
    os.close(other)
    with file.locked():
        file.write(1)


def test_file_system_error_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DeployError, match="cannot be stored"),
        EpochFile(str(tmp_path / "file" / "epoch")).locked(),
    ):
        raise AssertionError("there is no such directory")
