"""Test the archive: its content, and that the same files give the same bytes."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from bundle import build

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def archive() -> bytes:
    return build.archive(ROOT, build.files(ROOT))


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        content = {}
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            content[member.name.partition("/")[2]] = file.read()
        return content


def test_archive_has_same_bytes_for_same_files(archive: bytes) -> None:
    assert build.archive(ROOT, build.files(ROOT)) == archive


def test_archive_fixes_times_owners_and_modes(archive: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        found = {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in tar if m.name[-8:] != "/install"}
        assert found == {(0, 0, 0, "root", 0o644)}
        top = f"metalk8s-expand-{build.version(ROOT)}"
        assert tar.getmember(f"{top}/install").mode == 0o755


def test_archive_lists_digest_of_every_file(archive: bytes) -> None:
    content = members(archive)
    sums = content.pop("SHA256SUMS").decode()
    listed = {
        name: digest for digest, _, name in (line.partition("  ") for line in sums.splitlines())
    }
    assert listed == {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}


def test_archive_has_no_name_of_metalk8s(archive: bytes) -> None:
    names = [name for name in members(archive) if name.startswith("salt/")]
    assert "salt/_roster/kubernetes_nodes.py" not in names
    assert {name.split("/")[1] for name in names} == set(build.TREES)
    assert all("metalk8s_expand" in name for name in names)


def test_archive_has_whole_library(archive: bytes) -> None:
    library = ROOT / "salt/_utils"
    wanted = {f"salt/_utils/{path.relative_to(library)}" for path in library.rglob("*.py")}
    assert {name for name in members(archive) if name.startswith("salt/_utils/")} == wanted


def test_command_writes_archive_and_checksum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], archive: bytes
) -> None:
    assert build.main([str(tmp_path / "dist")]) == 0
    [path] = (tmp_path / "dist").glob("*.tar.gz")
    assert path.read_bytes() == archive
    line = f"{hashlib.sha256(archive).hexdigest()}  {path.name}\n"
    assert path.with_name(f"{path.name}.sha256").read_text() == line
    assert capsys.readouterr().out == f"{path}\n{line}"
