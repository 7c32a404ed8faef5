"""Test the script below a directory that replaces /, with a store on loopback and fake programs."""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import re
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.ssh import remote_script
from metalk8s_expand.remote import host_facts, install_minion
from tests import old_python
from tests.fakes.artifact_store import ArtifactStore, Entry, tar_of

SOURCE = Path(install_minion.__file__).read_text(encoding="utf-8")
OLD = old_python.python_3_6()
CONSTANTS = ("CACHE", "KEYS", "PYTHON", "EXTENSION_MODULES", "MODULES_MARKER", "MASTER_KEY")
SALT = {"opt/salt/bin/python3": Entry("#!/bin/sh\n", 0o755), "opt/salt/lib/x.py": "x"}
# Salt's Python, which makes the key of the minion: GENERATE and the directory are its arguments.
MAKES_KEY = """#!/bin/sh
echo "secret $$" > $3/minion.pem
chmod 400 $3/minion.pem
echo "public $$" > $3/minion.pub
"""
SYSTEMCTL = """#!/bin/sh
echo "$*" >> {base}/systemctl
case "$*" in
"is-active --quiet salt-minion") test -e {base}/active;;
"restart salt-minion") touch {base}/active;;
esac
"""


def packed(files: dict[str, str], *links: tarfile.TarInfo) -> str:
    """Return an archive of modules as the master packs it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
        for link in links:
            archive.addfile(link)
    return base64.b64encode(content.getvalue()).decode()


MODULES = packed({"modules/a.py": "a", "utils/metalk8s_expand/b.py": "b"})


class Host:
    """A host without a minion: its root, its programs and the store of its cluster."""

    def __init__(self, base: Path, store: ArtifactStore) -> None:
        self.base, self.store = base, store
        self.root, self.bin = base / "root", base / "bin"
        self.root.mkdir()
        self.bin.mkdir()
        self.paths = {name: f"{self.root}{getattr(install_minion, name)}" for name in CONSTANTS}
        self.paths["PYTHON"] = str(self.bin / "salt-python")
        self.program("ldconfig", "#!/bin/sh\n")
        self.program("salt-python", MAKES_KEY)
        self.program("systemctl", SYSTEMCTL.format(base=base))
        url, digest = store.put("salt-minion.tar", tar_of(SALT))
        self.request: dict[str, Any] = {
            "archive": {"url": url, "sha256": digest},
            "modules": MODULES,
            "files": {
                f"{self.root}/etc/salt/minion": {"content": "id: w-1\n", "mode": 0o640},
                f"{self.paths['MASTER_KEY']}": {"content": "master's key\n", "mode": 0o644},
            },
        }

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def run(self, mode: str = "install", python: str = sys.executable) -> dict[str, Any]:
        """Run the script as the master sends it, with the paths of this root."""
        source = SOURCE.replace('root="/"', f'root="{self.root}"')
        for name, path in self.paths.items():
            source, count = re.subn(rf"^{name} = .*$", f"{name} = {path!r}", source, flags=re.M)
            assert count == 1
        request = f"import json\nREQUEST = json.loads({json.dumps(self.request)!r})\n"
        done = subprocess.run(
            [python, *remote_script.OPTIONS, mode],
            input=request + source,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"PATH": f"{self.bin}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )
        assert (done.returncode, done.stderr) == (0, "")
        answer = host_facts.answer(done.stdout, install_minion.MARK)
        assert answer is not None
        return dict(answer)

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def calls(self) -> list[str]:
        log = self.base / "systemctl"
        return log.read_text().splitlines() if log.exists() else []

    def snapshot(self) -> dict[str, tuple[int, int, bytes]]:
        """Return the inode, the mode and the content of every file."""
        found = {}
        for path in self.root.rglob("*"):
            if path.is_file():
                status = path.stat()
                found[str(path)] = (status.st_ino, status.st_mode, path.read_bytes())
        return found


@pytest.fixture
def host(tmp_path: Path) -> Any:
    with ArtifactStore() as store:
        yield Host(tmp_path, store)


PYTHONS = [sys.executable, *([str(OLD)] if OLD else [])]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the script works as root only")


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).name)
def test_minion_is_installed_stopped_and_then_started(host: Host, python: str) -> None:
    answer = host.run(python=python)
    assert answer["public_key"].startswith("public ")
    assert answer["start"] is True
    assert len(answer["changed"]) == 5
    assert host.at("opt/salt/lib/x.py").read_text() == "x"
    assert stat.S_IMODE(host.at("etc/salt/minion").stat().st_mode) == 0o640
    modules = host.at("var/cache/salt/minion/extmods")
    assert (modules / "utils/metalk8s_expand/b.py").read_text() == "b"
    assert stat.S_IMODE(host.at("etc/salt/pki/minion/minion.pem").stat().st_mode) == 0o400
    assert not any("start" in call for call in host.calls()), "the master has not accepted the key"
    assert host.run("start", python) == {"started": True}
    assert host.calls()[-3:] == [
        "daemon-reload",
        "enable --quiet salt-minion",
        "restart salt-minion",
    ]


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).name)
def test_second_call_changes_nothing(host: Host, python: str) -> None:
    first = host.run(python=python)
    host.run("start", python)
    before = host.snapshot()
    assert host.run(python=python) == {
        "public_key": first["public_key"],
        "changed": [],
        "start": False,
    }
    assert host.snapshot() == before
    assert len(host.store.requests) == 1


def test_changed_file_restarts_the_minion(host: Host) -> None:
    host.run()
    host.run("start")
    path = f"{host.root}/etc/salt/minion"
    host.request["files"][path]["content"] = "id: w-1\nlog_level: info\n"
    answer = host.run()
    assert (answer["changed"], answer["start"]) == ([path], True)
    # The start failed: the next call requests it again.
    assert host.run()["start"] is True
    host.run("start")
    assert host.run()["start"] is False


def test_changed_mode_is_corrected(host: Host) -> None:
    host.run()
    host.at("etc/salt/minion").chmod(0o666)
    assert host.run()["changed"] == [f"{host.root}/etc/salt/minion"]
    assert stat.S_IMODE(host.at("etc/salt/minion").stat().st_mode) == 0o640


def test_stopped_minion_is_started(host: Host) -> None:
    host.run()
    host.run("start")
    (host.base / "active").unlink()
    answer = host.run()
    assert (answer["changed"], answer["start"]) == ([], True)


def test_minion_runs_older_files_after_a_failed_call(host: Host) -> None:
    """A call that ends after a change leaves a note for the next one."""
    host.run()
    host.run("start")
    request = dict(host.request)
    path = f"{host.root}/etc/salt/minion"
    host.request["files"][path]["content"] = "id: w-1\nx: y\n"
    host.request["modules"] = packed({"/escaped": "x"})
    assert "error" in host.run()
    host.request = {**request, "modules": MODULES}
    answer = host.run()
    assert (answer["changed"], answer["start"]) == ([], True)


def test_modules_are_replaced_as_a_whole(host: Host) -> None:
    host.run()
    modules = host.at("var/cache/salt/minion/extmods")
    host.request["modules"] = packed({"modules/c.py": "c"})
    assert host.run()["changed"] == [str(modules)]
    assert [str(path.relative_to(modules)) for path in modules.rglob("*.py")] == ["modules/c.py"]
    assert {path.name for path in modules.parent.iterdir()} == {"extmods"}


def link(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


@pytest.mark.parametrize(
    "archive",
    [
        packed({"../escaped": "x"}),
        packed({"/escaped": "x"}),
        packed({"modules/../../escaped": "x"}),
        packed({"..": "x"}),
        packed({}, link("modules", tarfile.SYMTYPE, "/")),
        packed({"a": "x"}, link("b", tarfile.LNKTYPE, "a")),
        packed({}, link("fifo", tarfile.FIFOTYPE, "")),
    ],
)
def test_entry_outside_of_the_modules_is_refused(host: Host, archive: str) -> None:
    host.run()
    before = (host.at("var/cache/salt/minion/extmods/modules/a.py")).read_text()
    host.request["modules"] = archive
    assert "the archive of modules has the entry" in host.run()["error"]
    assert host.at("var/cache/salt/minion/extmods/modules/a.py").read_text() == before
    assert not list(host.base.rglob("escaped"))


def test_existing_key_is_kept(host: Host) -> None:
    keys = host.at("etc/salt/pki/minion")
    keys.mkdir(parents=True)
    (keys / "minion.pem").write_text("own secret")
    (keys / "minion.pub").write_text("own public")
    answer = host.run()
    assert answer.get("public_key") == "own public", answer
    assert (keys / "minion.pem").read_text() == "own secret"


def test_half_of_a_key_is_replaced_by_a_whole_one(host: Host) -> None:
    keys = host.at("etc/salt/pki/minion")
    keys.mkdir(parents=True)
    (keys / "minion.pem").write_text("a secret without a public key")
    answer = host.run()
    number = answer["public_key"].split()[1]
    assert (keys / "minion.pem").read_text() == f"secret {number}\n"
    assert {path.name for path in keys.iterdir()} == {
        "minion.pem",
        "minion.pub",
        "minion_master.pub",
    }


def test_private_key_is_not_in_the_answer(host: Host) -> None:
    assert "secret" not in json.dumps(host.run())


def test_failed_program_is_an_error_with_its_output(host: Host) -> None:
    host.program("salt-python", "#!/bin/sh\necho no module named salt >&2\nexit 1\n")
    assert "no module named salt" in host.run()["error"]
    host.program("systemctl", "#!/bin/sh\necho Unit not found >&2\nexit 5\n")
    assert "Unit not found" in host.run("start")["error"]


def test_wrong_checksum_installs_no_file(host: Host) -> None:
    host.request["archive"]["sha256"] = "0" * 64
    assert "has the SHA-256" in host.run()["error"]
    assert not host.at("opt").exists()
    assert not host.at("etc").exists()


@pytest.mark.parametrize("name", ["absent.tar", "raw.tar"])
def test_store_without_archive_is_an_error(host: Host, name: str) -> None:
    host.store.put("raw.tar", b"SSH-2.0-OpenSSH\r\n", raw=True)
    host.request["archive"]["url"] = f"{host.store.url}/{name}"
    assert host.run()["error"]


def test_script_has_syntax_of_python_3_6() -> None:
    ast.parse(SOURCE, feature_version=(3, 6))
