"""Tests of the files that orchestrations with salt-ssh need on the master."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalk8s_expand.clients.salt.orchestrations import ensure_roster_file


def test_missing_roster_file_is_created_empty(tmp_path: Path) -> None:
    for _ in range(2):
        ensure_roster_file({"config_dir": str(tmp_path), "roster_file": None})
        assert (tmp_path / "roster").read_text() == "{}\n"


@pytest.mark.parametrize("name", ["roster", "own"])
def test_roster_file_of_operator_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("host: 10.0.0.1\n")
    ensure_roster_file({"config_dir": str(tmp_path), "roster_file": str(tmp_path / name)})
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "host: 10.0.0.1\n"


def test_directory_that_is_not_writable_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ensure_roster_file({"config_dir": str(tmp_path / "absent")})
    assert "salt-ssh may need it: No such file or directory" in caplog.text
