"""Collect programs from Debian packages.

They are the container runtime, the CNI plugins and the proxy of a node, and tools of the images.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from metalk8s_lab.builders import chroot, rootfs
from metalk8s_lab.builders.cache import cached, digest
from metalk8s_lab.settings import Settings

_PACKAGES = ("containerd", "runc", "containernetworking-plugins", "haproxy", "busybox-static")
# The path in a Debian system → the path on a node.
NODE_PROGRAMS = {
    "/usr/bin/containerd": "usr/local/bin/containerd",
    "/usr/bin/containerd-shim-runc-v2": "usr/local/bin/containerd-shim-runc-v2",
    "/usr/bin/ctr": "usr/local/bin/ctr",
    "/usr/sbin/runc": "usr/local/bin/runc",
    "/usr/sbin/haproxy": "usr/local/bin/haproxy",
    **{
        f"/usr/lib/cni/{name}": f"opt/cni/bin/{name}"
        for name in ("bridge", "host-local", "loopback", "portmap")
    },
}
# Tools of the hosts' own system that some images need too.
_IMAGE_PROGRAMS = ("/usr/sbin/nft", "/usr/sbin/xtables-nft-multi")
BUSYBOX = "busybox"
_RECIPE = 1  # raise it when a change of the steps below changes their result


def key() -> str:
    """Return a digest of the input of the files."""
    return digest(rootfs.key(), _PACKAGES, NODE_PROGRAMS, _IMAGE_PROGRAMS, _RECIPE)


def build(settings: Settings) -> Path:
    """Return a directory with ``node/`` and ``image/``, ``busybox`` and the list of its applets.

    The content of ``node/`` and ``image/`` belongs at /.
    """
    return cached(
        settings.cache / "debs" / key(),
        "node programs from Debian packages",
        lambda into: _make(settings, into),
    )


def _make(settings: Settings, into: Path) -> None:
    with chroot.build_root(settings, "debs") as system:
        system.install(*_PACKAGES)
        for source, target in NODE_PROGRAMS.items():
            _copy(system, source, into / "node" / target)
            for library in system.libraries(source):
                if not (system.system / library.lstrip("/")).exists():
                    _copy(system, library, into / "node/usr/local/lib" / Path(library).name)
        for program in _IMAGE_PROGRAMS:
            for path in [program, *system.libraries(program)]:
                _copy(system, path, into / "image" / _merged(path))
        plugins = next(system.root.glob("usr/lib/*/xtables"))
        shutil.copytree(plugins, into / "image" / plugins.relative_to(system.root))
        _copy(system, "/usr/bin/busybox", into / BUSYBOX)
        (into / "applets").write_text(system.run("busybox", "--list"))


def _copy(system: chroot.Chroot, path: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(system.root / path.lstrip("/"), target)


def _merged(path: str) -> str:
    """Return the path without the links of a merged /usr: /lib64/x is /usr/lib64/x."""
    return path.lstrip("/") if path.startswith("/usr/") else f"usr{path}"
