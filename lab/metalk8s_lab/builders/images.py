"""Write container images without a container engine.

An image is a docker-archive with one uncompressed layer. The same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import platform
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from metalk8s_lab.builders import salt_image, tarball
from metalk8s_lab.builders.cache import file_digest
from metalk8s_lab.builders.tarball import Entry
from metalk8s_lab.settings import KUBERNETES_VERSION

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin:/opt/salt/bin"
_BASE = (
    Entry(
        "etc/passwd",
        0o644,
        content=(
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
        ),
    ),
    Entry("etc/group", 0o644, content=b"root:x:0:\nnogroup:x:65534:\n"),
    Entry("etc/nsswitch.conf", 0o644, content=b"hosts: files dns\n"),
    Entry("tmp", 0o1777),
    Entry("root", 0o700),
    Entry("run"),
)
_IPTABLES = [
    f"{family}{suffix}"
    for family in ("iptables", "ip6tables")
    for suffix in ("", "-save", "-restore")
]


@dataclass(frozen=True)
class Image:
    """An image: the name of its file, its reference, its entrypoint and its files."""

    name: str
    reference: str
    entrypoint: tuple[str, ...]
    entries: tuple[Entry, ...]


def all_images(programs: dict[str, Path], debian: Path, master: Sequence[Entry]) -> list[Image]:
    """Return every image of the lab.

    They hold the built programs, the files from Debian and the files of the Salt master.
    """
    tools = _merged_usr(debian / "image")
    kube = [
        _kube(name, programs)
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    ]
    iptables = [Entry(f"usr/sbin/{name}", link="xtables-nft-multi") for name in _IPTABLES]
    etcd = [
        _program(f"usr/local/bin/{name}", programs[name]) for name in ("etcd", "etcdctl", "etcdutl")
    ]
    return [
        _image(
            "pause",
            "registry.k8s.io/pause:3.10.1",
            "/pause",
            [_program("pause", programs["pause"])],
        ),
        _image("etcd", "registry.k8s.io/etcd:3.6.5-0", "/usr/local/bin/etcd", etcd),
        *kube,
        _kube("kube-proxy", programs, tools),
        _image(
            "coredns",
            "registry.k8s.io/coredns/coredns:v1.12.1",
            "/coredns",
            [_program("coredns", programs["coredns"])],
        ),
        _image(
            "flannel",
            "docker.io/flannel/flannel:v0.26.7",
            "/opt/bin/flanneld",
            [_program("opt/bin/flanneld", programs["flanneld"]), *tools, *iptables],
        ),
        _image("salt-master", salt_image.REFERENCE, "/opt/salt/bin/salt-master", list(master)),
        _image("busybox", "docker.io/library/busybox:1.37", "/bin/sh", _busybox(debian)),
    ]


def _image(name: str, reference: str, entrypoint: str, entries: list[Entry]) -> Image:
    return Image(name, reference, (entrypoint,), (*_BASE, *entries))


def _kube(name: str, programs: dict[str, Path], more: list[Entry] | None = None) -> Image:
    path = f"usr/local/bin/{name}"
    entries = [_program(path, programs[name]), *(more or [])]
    return _image(name, f"registry.k8s.io/{name}:{KUBERNETES_VERSION}", f"/{path}", entries)


def _program(path: str, source: Path) -> Entry:
    return Entry(path, 0o755, source=source)


def _merged_usr(directory: Path) -> list[Entry]:
    """Return programs with their libraries, and the links that lead to the dynamic linker."""
    links = [Entry(name, link=f"usr/{name}") for name in ("bin", "sbin", "lib", "lib64")]
    return [
        *(replace(entry, name=entry.name.lstrip("/")) for entry in tarball.tree(directory, "")),
        *links,
    ]


def _busybox(debian: Path) -> list[Entry]:
    applets = [name for name in (debian / "applets").read_text().split() if name != "busybox"]
    return [
        _program("bin/busybox", debian / "busybox"),
        *(Entry(f"bin/{name}", link="busybox") for name in applets),
    ]


def write(image: Image, target: Path) -> None:
    """Write an image as an archive for ``ctr images import`` and ``docker load``."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        layer = Path(scratch) / "layer.tar"
        tarball.write(layer, image.entries)
        digest = file_digest(layer)
        config = json.dumps(_config(image, digest), sort_keys=True).encode()
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        layer_name = f"{digest}/layer.tar"
        manifest = [{"Config": config_name, "RepoTags": [image.reference], "Layers": [layer_name]}]
        entries = [
            Entry(config_name, 0o644, content=config),
            Entry(layer_name, 0o644, source=layer),
            Entry("manifest.json", 0o644, content=json.dumps(manifest).encode()),
        ]
        tarball.write(target, entries)


def extend(base: Path, reference: str, entries: Sequence[Entry], target: Path) -> None:
    """Write an archive as ``write`` does: the image in ``base`` with an additional layer."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        with tarfile.open(base) as archive:
            archive.extractall(scratch, filter="data")
        [manifest] = json.loads((Path(scratch) / "manifest.json").read_text())
        config = json.loads((Path(scratch) / manifest["Config"]).read_text())
        layer = Path(scratch) / "layer.tar"
        tarball.write(layer, entries)
        added = file_digest(layer)
        config["rootfs"]["diff_ids"].append(f"sha256:{added}")
        config["history"] *= 2
        text = json.dumps(config, sort_keys=True).encode()
        name = f"{hashlib.sha256(text).hexdigest()}.json"
        layers = [*manifest["Layers"], f"{added}/layer.tar"]
        described = [{"Config": name, "RepoTags": [reference], "Layers": layers}]
        old = [Entry(path, 0o644, source=Path(scratch) / path) for path in manifest["Layers"]]
        new = [Entry(layers[-1], 0o644, source=layer), Entry(name, 0o644, content=text)]
        tarball.write(
            target,
            [*old, *new, Entry("manifest.json", 0o644, content=json.dumps(described).encode())],
        )


def _config(image: Image, layer_digest: str) -> dict[str, object]:
    machine = platform.machine()
    return {
        "architecture": _ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": {
            "Env": [f"PATH={_PATH}"],
            "Entrypoint": list(image.entrypoint),
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        "history": [{"created_by": "metalk8s-expand lab"}],
    }
