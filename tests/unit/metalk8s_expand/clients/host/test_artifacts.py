"""Test archives and images with a real tar, a store on loopback and a ``ctr`` that records its input."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.host import artifacts
from metalk8s_expand.errors import DeployError, UnreachableError
from metalk8s_expand.remote import install_minion
from tests.fakes.artifact_store import ArtifactStore, Entry, tar_of

CTR = """#!/bin/sh
# As containerd's client: it reads an archive to its end, and the images are there afterwards.
case "$*" in
*" list --quiet")
    [ -e {base}/dead ] && {{ echo "cannot dial containerd.sock" >&2; exit 1; }}
    cat {base}/images;;
*" import "*)
    echo "$*" >> {base}/calls
    tmp={base}/input.$$
    cat > $tmp
    if grep -q BROKEN $tmp; then echo "unrecognized image format" >&2; exit 1; fi
    if grep -q STOPPED $tmp; then kill -9 $$; fi
    grep -a -o 'registry/[a-z:0-9.]*' $tmp >> {base}/images;;
*) exit 64;;
esac
"""


@pytest.fixture
def store() -> Any:
    with ArtifactStore() as started:
        yield started


class Host:
    """A root and a cache of archives, and a container runtime without images."""

    def __init__(self, base: Path, store: ArtifactStore) -> None:
        self.base, self.store = base, store
        self.root, self.cache, self.bin = base / "root", base / "cache", base / "bin"
        self.root.mkdir()
        self.bin.mkdir()
        self.program("ldconfig", f"#!/bin/sh\necho x >> {base}/ldconfig\n")
        self.program("ctr", CTR.format(base=base))
        (base / "images").write_text("")

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def unpack(self, content: bytes, sha256: str = "", name: str = "node.tar") -> bool:
        url, digest = self.store.put(name, content)
        return artifacts.unpack(url, sha256 or digest, name, str(self.root), str(self.cache))

    def at(self, path: str) -> Path:
        return self.root / path

    def files(self) -> set[str]:
        return {
            str(path.relative_to(self.root))
            for path in self.root.rglob("*")
            if path.is_symlink() or not path.is_dir()
        }

    def image(self, name: str, content: bytes | None = None) -> dict[str, str]:
        """Return an image whose archive is in the store."""
        reference = f"registry/{name}:1"
        body = content if content is not None else tar_of({"index.json": reference})
        url, digest = self.store.put(f"{name}.tar", body)
        return {"reference": reference, "url": url, "sha256": digest}

    @property
    def images(self) -> list[str]:
        return sorted((self.base / "images").read_text().split())

    @property
    def imports(self) -> int:
        calls = self.base / "calls"
        return len(calls.read_text().splitlines()) if calls.exists() else 0


@pytest.fixture
def host(tmp_path: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path, store)
    monkeypatch.setenv("PATH", f"{made.bin}:{os.environ['PATH']}")
    monkeypatch.setattr(install_minion, "CACHE", str(made.cache))
    return made


NODE = {"usr/bin/kubelet": Entry("a program", 0o755), "etc/x.conf": "x"}


class TestArchives:
    def test_archive_is_unpacked_with_its_modes(self, host: Host) -> None:
        assert host.unpack(tar_of(NODE))
        assert host.files() == set(NODE)
        assert stat.S_IMODE(host.at("usr/bin/kubelet").stat().st_mode) == 0o755
        assert host.at("usr/bin/kubelet").stat().st_uid == os.getuid()
        assert (host.base / "ldconfig").exists()
        assert [path.name for path in host.cache.iterdir()] == ["node.tar.unpacked"]

    def test_second_call_requests_and_changes_nothing(self, host: Host) -> None:
        host.unpack(tar_of(NODE))
        host.at("etc/x.conf").write_text("the operator's")
        assert not host.unpack(tar_of(NODE))
        assert host.at("etc/x.conf").read_text() == "the operator's"
        assert len(host.store.requests) == 1

    def test_pending_change(self, host: Host) -> None:
        body = tar_of(NODE)
        _, digest = host.store.put("node.tar", body)
        pending = "node.tar would be unpacked"
        assert artifacts.pending("node.tar", digest, str(host.cache)) == pending
        host.unpack(body)
        assert artifacts.pending("node.tar", digest, str(host.cache)) is None
        assert artifacts.pending("node.tar", "0" * 64, str(host.cache)) == pending

    def test_wrong_checksum_leaves_no_file_and_no_marker(self, host: Host) -> None:
        with pytest.raises(DeployError, match="has the SHA-256") as error:
            host.unpack(tar_of(NODE), "0" * 64)
        assert "0" * 64 in error.value.message
        assert "curl --head http://127.0.0.1" in str(error.value.hint)
        assert (host.files(), list(host.cache.iterdir())) == (set(), [])
        assert host.unpack(tar_of(NODE))

    @pytest.mark.parametrize("content", [b"", b"<html>", tar_of(NODE)[:700]])
    def test_damaged_archive_leaves_no_file_and_no_marker(self, host: Host, content: bytes) -> None:
        with pytest.raises(DeployError, match=r"node\.tar cannot be unpacked"):
            host.unpack(content, "0" * 64)
        assert (host.files(), list(host.cache.iterdir())) == (set(), [])

    def test_large_file_that_is_no_archive_is_an_error(self, host: Host) -> None:
        """tar ends before it has read everything."""
        with pytest.raises(DeployError, match=r"node\.tar cannot be unpacked"):
            host.unpack(os.urandom(4 << 20))
        assert host.files() == set()

    def test_interrupted_transfer_leaves_no_file(self, host: Host) -> None:
        body = tar_of({"big": "x" * 3_000_000})
        url, digest = host.store.put("node.tar", body, sent=1_500_000)
        with pytest.raises((DeployError, UnreachableError)):
            artifacts.unpack(url, digest, "node.tar", str(host.root), str(host.cache))
        assert (host.files(), list(host.cache.iterdir())) == (set(), [])

    def test_missing_archive_names_its_url(self, host: Host) -> None:
        url = f"{host.store.url}/absent.tar"
        with pytest.raises(UnreachableError, match=r"cannot be fetched: .*404") as error:
            artifacts.unpack(url, "0" * 64, "node.tar", str(host.root), str(host.cache))
        assert url in error.value.message
        assert url in str(error.value.hint)

    def test_store_that_speaks_another_protocol_is_an_error(self, host: Host) -> None:
        url, digest = host.store.put("node.tar", b"SSH-2.0-OpenSSH\r\n", raw=True)
        with pytest.raises(UnreachableError, match="cannot be fetched"):
            artifacts.unpack(url, digest, "node.tar", str(host.root), str(host.cache))

    def test_proxy_of_the_environment_is_not_used(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        assert host.unpack(tar_of(NODE))

    def test_new_archive_replaces_files_and_keeps_the_remaining_ones(self, host: Host) -> None:
        host.unpack(tar_of(NODE))
        host.at("etc/own").write_text("the operator's")
        kubelet = host.at("usr/bin/kubelet").stat().st_ino
        assert host.unpack(tar_of({"usr/bin/kubelet": Entry("newer", 0o755)}))
        assert host.at("usr/bin/kubelet").read_text() == "newer"
        assert host.at("usr/bin/kubelet").stat().st_ino != kubelet, (
            "a running program keeps its file"
        )
        assert host.files() == {*NODE, "etc/own"}

    def test_marker_of_an_older_archive_does_not_survive_a_half_way_change(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A return to the older archive unpacks it again."""
        old, new = tar_of(NODE), tar_of({"etc/x.conf": "new"})
        host.unpack(old)

        def killed(words: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(install_minion, "command", killed)
        with pytest.raises(KeyboardInterrupt):
            host.unpack(new)
        monkeypatch.undo()
        monkeypatch.setenv("PATH", f"{host.bin}:{os.environ['PATH']}")
        assert host.at("etc/x.conf").read_text() == "new"
        assert host.unpack(old)
        assert host.at("etc/x.conf").read_text() == "x"

    def test_killed_call_is_repeated(self, host: Host) -> None:
        body = tar_of({"usr/bin/kubelet": Entry("a program", 0o755), "big": "x" * 3_000_000})
        url, digest = host.store.put("node.tar", body, stalls_at=2_000_000)
        program = (
            "from metalk8s_expand.remote import install_minion as i;"
            f"i.unpack({url!r}, {digest!r}, 'node.tar', {str(host.root)!r}, {str(host.cache)!r})"
        )
        library = str(Path(install_minion.__file__).parents[2])
        process = subprocess.Popen(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": library}
        )
        staging = host.cache / "node.tar.unpacking"
        deadline = time.monotonic() + 60
        while not (staging / "big").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
        process.wait(60)
        assert staging.exists()
        assert host.files() == set()
        assert host.unpack(body)
        assert host.files() == {"usr/bin/kubelet", "big"}
        assert not staging.exists()

    def test_merged_usr_links_are_kept(self, host: Host) -> None:
        host.at("usr/lib").mkdir(parents=True)
        host.at("usr/lib/libc.so").write_text("libc")
        host.at("lib").symlink_to("usr/lib")
        assert host.unpack(tar_of({"lib/systemd/x.service": "x", "lib/y": "y"}))
        assert host.at("lib").is_symlink()
        assert host.files() == {"lib", "usr/lib/libc.so", "usr/lib/systemd/x.service", "usr/lib/y"}

    def test_modes_of_existing_directories_are_kept(self, host: Host) -> None:
        host.at("etc").mkdir(mode=0o711)
        host.unpack(tar_of({"etc": Entry(None, 0o777), "etc/x.conf": "x"}))
        assert stat.S_IMODE(host.at("etc").stat().st_mode) == 0o711

    def test_links_are_replaced_and_not_followed(self, host: Host) -> None:
        host.at("opt").mkdir()
        host.at("target").write_text("kept")
        host.at("opt/file").symlink_to("../target")
        host.at("opt/link").symlink_to("old")
        host.at("opt/dangling").symlink_to("nowhere")
        body = {
            "opt/file": "new",
            "opt/link": Entry("", link="new"),
            "opt/dangling/inner": "x",
        }
        host.unpack(tar_of(body))
        assert (host.at("target").read_text(), host.at("opt/file").read_text()) == ("kept", "new")
        assert not host.at("opt/file").is_symlink()
        assert os.readlink(host.at("opt/link")) == "new"
        assert host.at("opt/dangling/inner").read_text() == "x"

    def test_target_on_another_file_system_gets_the_same_files(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Many hosts have /var on a file system of its own. Each call replaces links and files."""
        rename = os.rename

        def across(source: str, target: str) -> None:
            if str(source).startswith(str(host.cache)) != str(target).startswith(str(host.cache)):
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            rename(source, target)

        monkeypatch.setattr(os, "rename", across)
        host.at("target").write_text("kept")
        host.at("etc").mkdir()
        host.at("etc/file").symlink_to("../target")
        for number in ("1", "2"):
            body = {
                "etc/file": Entry(number, 0o600),
                "opt/salt/bin/python3": Entry("", link=f"python{number}"),
                "opt/salt/lib/x.py": number,
            }
            assert host.unpack(tar_of(body))
            assert host.at("etc/file").read_text() == number
            assert stat.S_IMODE(host.at("etc/file").lstat().st_mode) == 0o600
            assert os.readlink(host.at("opt/salt/bin/python3")) == f"python{number}"
            assert host.at("opt/salt/lib/x.py").read_text() == number
            assert host.files() == {"target", *body}
        assert host.at("target").read_text() == "kept"

    def test_archive_with_many_warnings_is_unpacked(self, host: Host) -> None:
        """tar warns of each file that is newer than the host's clock."""
        body = {
            f"opt/{'x' * 60}/{number}": Entry("x", mtime=4_000_000_000) for number in range(1500)
        }
        started = time.monotonic()
        host.unpack(tar_of(body))
        assert len(host.files()) == 1500
        assert time.monotonic() - started < 60

    def test_path_outside_of_the_root_is_not_written(self, host: Host) -> None:
        body = tar_of({"../escaped": "x", "etc/x.conf": "x"})
        with pytest.raises(DeployError):
            host.unpack(body)
        assert not (host.base / "escaped").exists()
        assert not list(host.base.rglob("escaped"))


class TestImages:
    def test_present_images_are_not_missing(self, host: Host) -> None:
        images = [host.image("pause"), host.image("etcd")]
        assert artifacts.missing(images) == images
        (host.base / "images").write_text("registry/pause:1\nregistry/etcd:10\n")
        assert artifacts.missing(images) == [images[1]]

    def test_runtime_that_does_not_run_is_an_error(self, host: Host) -> None:
        (host.base / "dead").touch()
        with pytest.raises(DeployError, match="cannot dial containerd") as error:
            artifacts.missing([host.image("pause")])
        assert "containerd" in str(error.value.hint)
        assert error.value.log

    def test_images_are_imported(self, host: Host) -> None:
        images = [host.image(name) for name in ("pause", "etcd", "apiserver", "coredns", "proxy")]
        assert artifacts.import_all(images) == [image["reference"] for image in images]
        assert host.images == sorted(image["reference"] for image in images)
        assert artifacts.missing(images) == []

    def test_archive_arrives_unchanged(self, host: Host) -> None:
        body = tar_of({"index.json": "registry/pause:1", "blob": "x" * 2_500_000})
        artifacts.import_all([host.image("pause", body)])
        [arrived] = host.base.glob("input.*")
        assert arrived.read_bytes() == body

    def test_archive_smaller_than_a_block_is_imported(self, host: Host) -> None:
        artifacts.import_all([host.image("pause", b"registry/pause:1")])
        assert host.images == ["registry/pause:1"]

    @pytest.mark.parametrize("tail", [0, 30_000, 3_000_000])
    def test_wrong_checksum_ends_no_import(self, host: Host, tail: int) -> None:
        """The archive may also end before its file does."""
        body = tar_of({"index.json": "registry/pause:1"}) + b"\0" * tail
        image = {**host.image("pause", body), "sha256": "0" * 64}
        with pytest.raises(DeployError, match="images cannot be imported") as error:
            artifacts.import_all([image])
        assert "has the SHA-256" in error.value.problems[0]
        assert "but the pillar says" in error.value.problems[0]
        assert (host.images, list(host.base.glob("input.*"))) == ([], [])

    def test_interrupted_transfer_ends_no_import(self, host: Host) -> None:
        body = tar_of({"index.json": "registry/pause:1", "blob": "x" * 2_500_000})
        url, digest = host.store.put("pause.tar", body, sent=1_500_000)
        image = {"reference": "registry/pause:1", "url": url, "sha256": digest}
        with pytest.raises(DeployError, match="images cannot be imported"):
            artifacts.import_all([image])
        assert host.images == []

    def test_failed_image_is_named_and_the_remaining_ones_are_imported(self, host: Host) -> None:
        broken = host.image("broken", tar_of({"index.json": "BROKEN"}))
        absent = {**host.image("absent"), "url": f"{host.store.url}/nowhere.tar"}
        good = [host.image(name) for name in ("pause", "etcd", "proxy")]
        with pytest.raises(DeployError) as error:
            artifacts.import_all([good[0], broken, good[1], absent, good[2]])
        first, second = error.value.problems
        assert first == "registry/broken:1: unrecognized image format"
        assert second.startswith("registry/absent:1: ")
        assert "404" in second
        assert error.value.log
        assert "curl --head" in str(error.value.hint)
        assert host.images == sorted(image["reference"] for image in good)

    def test_killed_import_is_an_error(self, host: Host) -> None:
        with pytest.raises(DeployError) as error:
            artifacts.import_all([host.image("x", tar_of({"index.json": "STOPPED"}))])
        assert "ctr ended with -9" in error.value.problems[0]

    def test_missing_runtime_is_an_error(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        (host.bin / "ctr").unlink()
        monkeypatch.setenv("PATH", str(host.bin))
        with pytest.raises(DeployError, match="images cannot be imported"):
            artifacts.import_all([host.image("pause")])

    def test_few_images_are_imported_at_once(self, host: Host) -> None:
        """Each request waits a moment, so that the transfers overlap."""
        images = [host.image(f"i{number}") for number in range(7)]
        host.store.delay = 0.1
        artifacts.import_all(images)
        assert host.store.most <= artifacts.AT_ONCE
        assert host.store.most > 1
        assert host.imports == 7
