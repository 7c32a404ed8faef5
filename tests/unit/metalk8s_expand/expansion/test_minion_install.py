"""Test the installation of a minion over real SSH: its order, its errors and what it sends."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import salt.config

from metalk8s_expand.clients.salt.file_server import FileServer
from metalk8s_expand.errors import ConflictError, DeployError, UnreachableError
from metalk8s_expand.expansion import minion_install
from metalk8s_expand.remote import install_minion
from tests.fakes.clock import FakeClock
from tests.fakes.keys import FakeKeys
from tests.fakes.minions import FakeMinions
from tests.unit.metalk8s_expand.conftest import Sshd

PEM = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkq\n-----END PUBLIC KEY-----\n"
OTHER = PEM.replace("MIIB", "MIIC")
SALTENV = "metalk8s-2.0"
REQUEST = {"archive": {}, "modules": "", "files": {}}


class Host:
    """A host that answers the script over SSH, and the keys that the master has."""

    def __init__(self, sshd: Sshd, clock: FakeClock) -> None:
        self.sshd, self.clock = sshd, clock
        self.keys = FakeKeys(clock=clock)
        self.minions = FakeMinions(keys=self.keys)
        self.log = sshd.base / "modes"
        self.log.unlink(missing_ok=True)
        self.answer({"public_key": PEM, "changed": ["/etc/salt/minion"], "start": True})

    def answer(self, install: dict[str, Any] | None, start: dict[str, Any] | None = None) -> None:
        """Set the answers of the script by its mode; None prints no answer."""
        for mode, reply in (("install", install), ("start", start or {"started": True})):
            text = "x\n" if reply is None else f"{install_minion.MARK}{json.dumps(reply)}\n"
            (self.sshd.base / mode).write_text(f"banner of a login\n{text}")
        base = self.sshd.base
        self.sshd.force(
            f"cat > {base}/script\n"
            'case "$SSH_ORIGINAL_COMMAND" in *install*) m=install;; *) m=start;; esac\n'
            f"echo $m >> {self.log}\ncat {base}/$m"
        )

    def run(self) -> dict[str, Any]:
        return minion_install.run_minion({}, self.sshd.target(), REQUEST, self.clock)

    @property
    def modes(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []


@pytest.fixture
def host(sshd: Sshd, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(sshd, clock)
    monkeypatch.setattr(minion_install, "Keys", lambda opts: made.keys)
    monkeypatch.setattr(minion_install, "Minions", lambda opts: made.minions)
    return made


def test_minion_is_installed_accepted_and_then_started(host: Host) -> None:
    assert host.run() == {"/etc/salt/minion": "written", "key": "accepted", "minion": "started"}
    assert host.modes == ["install", "start"]
    assert host.keys.added == ["w-1"]


def test_second_run_changes_nothing(host: Host) -> None:
    host.run()
    host.answer({"public_key": PEM, "changed": [], "start": False})
    assert host.run() == {}
    assert host.modes == ["install", "start", "install"]


def test_key_of_another_host_starts_no_minion(host: Host) -> None:
    host.keys.known["w-1"] = ("minions", OTHER)
    with pytest.raises(ConflictError, match="but the host shows"):
        host.run()
    assert host.modes == ["install"]
    assert host.keys.known["w-1"] == ("minions", OTHER)


@pytest.mark.parametrize("mode", ["install", "start"])
def test_failure_on_the_host_is_an_error(host: Host, mode: str) -> None:
    failed = {"error": "tar cannot extract \x1b[2J"}
    good = {"public_key": PEM, "changed": [], "start": True}
    host.answer(failed if mode == "install" else good, failed)
    with pytest.raises(DeployError, match=f"the host cannot {mode} its minion: tar") as error:
        host.run()
    assert "\x1b" not in error.value.message
    assert error.value.node == "w-1"
    assert error.value.hint
    assert error.value.log


def test_host_without_answer_is_unreachable(host: Host) -> None:
    host.answer(None)
    with pytest.raises(UnreachableError, match="no answer to the install of its minion") as error:
        host.run()
    assert "banner of a login" in error.value.message
    assert "check_ssh w-1" in str(error.value.hint)
    assert host.keys.known == {}


def test_silent_minion_is_an_error(host: Host) -> None:
    host.minions.pings_at = host.clock.time + 1000
    with pytest.raises(DeployError, match=r"test\.ping"):
        host.run()


def test_request_precedes_the_script(host: Host) -> None:
    host.run()
    first, second, *_ = (host.sshd.base / "script").read_text().splitlines()
    assert (first, second) == ("import json", "REQUEST = json.loads('{}')")


@pytest.fixture
def opts(tmp_path: Path) -> dict[str, Any]:
    """Return the options of a master with a tree of modules and the unit of the minion."""
    tree = tmp_path / "tree"
    for path in (
        "_modules/a.py",
        "_modules/__pycache__/a.cpython-311.pyc",
        "_utils/metalk8s_expand/b.py",
        "_runners/not_for_minions.py",
        "_pillar/not_for_minions.py",
        "metalk8s/roles/x.sls",
    ):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(f"content of {path}")
    (tree / "minion.service").write_text("[Unit]\n")
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "master.pub").write_text(OTHER)
    found: dict[str, Any] = salt.config.master_config(None)
    found.update(
        {
            "cachedir": str(tmp_path / "cache"),
            "extension_modules": str(tmp_path / "ext"),
            "file_roots": {SALTENV: [str(tree)]},
            "pki_dir": str(tmp_path / "pki"),
        }
    )
    return found


def unpacked(text: str) -> dict[str, str]:
    content = {}
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(text)), mode="r:gz") as archive:
        for member in archive:
            source = archive.extractfile(member)
            assert source is not None
            assert (member.mode, member.uid, member.mtime) == (0o644, 0, 0)
            content[member.name] = source.read().decode()
    return content


def test_packed_modules_are_those_that_a_minion_synchronizes(opts: dict[str, Any]) -> None:
    packed = minion_install.packed_modules(FileServer(opts), SALTENV)
    assert unpacked(packed) == {
        "modules/a.py": "content of _modules/a.py",
        "utils/metalk8s_expand/b.py": "content of _utils/metalk8s_expand/b.py",
    }
    assert minion_install.packed_modules(FileServer(opts), SALTENV) == packed


def test_request_has_configuration_unit_and_key_of_the_master(opts: dict[str, Any]) -> None:
    request = minion_install.request_of(
        opts, SALTENV, {"url": "u", "sha256": "s"}, {"id": "w-1"}, "minion.service"
    )
    assert request["archive"] == {"url": "u", "sha256": "s"}
    assert unpacked(request["modules"])
    files = request["files"]
    assert "w-1" in files["/etc/salt/minion"]["content"]
    assert files["/etc/salt/minion"]["mode"] == 0o640
    assert files["/etc/systemd/system/salt-minion.service"]["content"] == "[Unit]\n"
    assert files[install_minion.MASTER_KEY]["content"].strip() == OTHER.strip()
    assert json.loads(json.dumps(request)) == request


def test_unit_that_the_tree_does_not_have_is_an_error(opts: dict[str, Any]) -> None:
    with pytest.raises(UnreachableError, match="file server"):
        minion_install.request_of(opts, SALTENV, {}, {}, "absent.service")


def test_file_server_lists_files_below_a_directory(opts: dict[str, Any]) -> None:
    files = FileServer(opts)
    assert list(files.files("_modules", SALTENV)) == ["_modules/a.py"]
    assert files.files("_grains", SALTENV) == {}
    assert files.files("_modules", "metalk8s-9") == {}
