"""Test that image archives have the format of container runtimes and are reproducible."""

import hashlib
import io
import json
import os
import tarfile

import pytest
from metalk8s_lab.builders import binaries, images, tarball
from metalk8s_lab.builders.images import Image
from metalk8s_lab.builders.tarball import Entry


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program"
    path.write_bytes(b"\x7fELF")
    return path


@pytest.fixture
def image(program):
    entries = (
        Entry("usr/bin/program", 0o755, source=program),
        Entry("bin", link="usr/bin"),
        Entry("tmp", 0o1777),
    )
    return Image("program", "registry.example/program:1.0", ("/usr/bin/program",), entries)


def read(path):
    with tarfile.open(path) as archive:
        return {
            member.name: (member, archive.extractfile(member).read() if member.isfile() else None)
            for member in archive
        }


def test_archive_manifest_names_config_layer_and_reference(image, tmp_path):
    images.write(image, tmp_path / "image.tar")
    found = read(tmp_path / "image.tar")
    (manifest,) = json.loads(found["manifest.json"][1])
    assert manifest["RepoTags"] == ["registry.example/program:1.0"]
    config, layer = found[manifest["Config"]][1], found[manifest["Layers"][0]][1]
    assert manifest["Config"] == f"{hashlib.sha256(config).hexdigest()}.json"
    assert json.loads(config)["rootfs"]["diff_ids"] == [
        f"sha256:{hashlib.sha256(layer).hexdigest()}"
    ]
    assert json.loads(config)["config"]["Entrypoint"] == ["/usr/bin/program"]
    assert json.loads(config)["config"]["Env"][0].startswith("PATH=/usr/local/sbin:")


def test_layer_contains_the_files_of_the_image(image, tmp_path):
    images.write(image, tmp_path / "image.tar")
    layer = next(
        content
        for name, (_, content) in read(tmp_path / "image.tar").items()
        if name.endswith("/layer.tar")
    )
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        members = {member.name: member for member in archive}
    assert list(members) == ["bin", "tmp", "usr", "usr/bin", "usr/bin/program"]
    assert members["bin"].linkname == "usr/bin"
    assert (members["tmp"].mode, members["usr/bin/program"].mode) == (0o1777, 0o755)


def test_same_files_make_the_same_bytes(image, program, tmp_path):
    images.write(image, tmp_path / "a.tar")
    os.utime(program, (1, 1))
    images.write(image, tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_archive_members_belong_to_root_and_have_no_time(image, tmp_path):
    images.write(image, tmp_path / "image.tar")
    assert {
        (member.uid, member.gid, member.mtime)
        for member, _ in read(tmp_path / "image.tar").values()
    } == {(0, 0, 0)}


def test_duplicate_entry_name_raises_value_error(tmp_path):
    with pytest.raises(ValueError, match="etc/passwd is given twice"):
        tarball.write(
            tmp_path / "x.tar", [Entry("etc/passwd", content=b""), Entry("etc/passwd", content=b"")]
        )


def test_tree_keeps_links_and_omits_filtered_paths(tmp_path):
    (tmp_path / "lib/tests").mkdir(parents=True)
    (tmp_path / "lib/tests/test_x.py").write_text("")
    (tmp_path / "lib/x.py").write_text("")
    (tmp_path / "lib64").symlink_to("lib")
    found = {
        entry.name: entry.link
        for entry in tarball.tree(tmp_path, "opt/x", lambda path: "tests" not in path)
    }
    assert found == {"opt/x/lib/x.py": None, "opt/x/lib64": "lib"}


def test_all_images_contain_every_image_of_the_cluster(tmp_path):
    names = [name for module in binaries.MODULES for name in module.programs]
    (tmp_path / "image/usr/sbin").mkdir(parents=True)
    (tmp_path / "image/usr/sbin/nft").write_text("")
    (tmp_path / "applets").write_text("sh\nbusybox\nwget\n")
    found = {
        each.reference: each
        for each in images.all_images({name: tmp_path / name for name in names}, tmp_path, [])
    }
    assert sorted(found) == [
        "docker.io/flannel/flannel:v0.26.7",
        "docker.io/library/busybox:1.37",
        "docker.io/metalk8s/salt-master:lab",
        "registry.k8s.io/coredns/coredns:v1.12.1",
        "registry.k8s.io/etcd:3.6.5-0",
        "registry.k8s.io/kube-apiserver:v1.34.4",
        "registry.k8s.io/kube-controller-manager:v1.34.4",
        "registry.k8s.io/kube-proxy:v1.34.4",
        "registry.k8s.io/kube-scheduler:v1.34.4",
        "registry.k8s.io/pause:3.10.1",
    ]
    proxy = {entry.name for entry in found["registry.k8s.io/kube-proxy:v1.34.4"].entries}
    assert {
        "usr/local/bin/kube-proxy",
        "usr/sbin/nft",
        "etc/passwd",
        "etc/nsswitch.conf",
        "tmp",
    } <= proxy


def test_extended_image_has_an_additional_layer(image, tmp_path):
    images.write(image, tmp_path / "base.tar")
    images.extend(
        tmp_path / "base.tar",
        "registry.example/program:2.0",
        [Entry("opt/x", content=b"x")],
        tmp_path / "more.tar",
    )
    base, found = read(tmp_path / "base.tar"), read(tmp_path / "more.tar")
    (before,), (manifest,) = (json.loads(archive["manifest.json"][1]) for archive in (base, found))
    assert manifest["RepoTags"] == ["registry.example/program:2.0"]
    assert manifest["Layers"][:-1] == before["Layers"]
    layers = [found[name][1] for name in manifest["Layers"]]
    config = json.loads(found[manifest["Config"]][1])
    assert config["rootfs"]["diff_ids"] == [
        f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers
    ]
    assert len(config["history"]) == 2
    with tarfile.open(fileobj=io.BytesIO(layers[-1])) as archive:
        assert archive.getnames() == ["opt", "opt/x"]
