"""Pack all artifacts of the hosts with their checksums into a directory.

Any HTTP server can serve the directory.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from metalk8s_lab.builders import binaries, debs, images, rootfs, salt_env, salt_image, tarball
from metalk8s_lab.builders.cache import cached, digest, file_digest
from metalk8s_lab.builders.tarball import Entry
from metalk8s_lab.settings import Settings

_SOURCES = ("artifacts.py", "images.py", "salt_image.py", "tarball.py")
_CLIENTS = ("kubectl", "etcdctl", "crictl")


def key(settings: Settings) -> str:
    """Return a digest of the input of the artifacts."""
    builder = binaries.Builder(settings)
    files = {name: path.stat() for name, path in binaries.prebuilt(settings.prebuilt).items()}
    given = {name: (stat.st_size, stat.st_mtime_ns) for name, stat in files.items()}
    built = [
        builder.key(module) for module in binaries.MODULES if not set(module.programs) <= set(given)
    ]
    own = [file_digest(Path(__file__).parent / name) for name in _SOURCES]
    return digest(rootfs.key(), salt_env.key(settings), debs.key(), built, given, own)


def build(settings: Settings) -> Path:
    """Return the directory with all artifacts; build it if it is not in the cache."""
    place = settings.cache / "artifacts" / key(settings)
    if place.exists():
        return place
    programs, debian, salt = (
        binaries.build(settings),
        debs.build(settings),
        salt_env.build(settings),
    )

    def make(into: Path) -> None:
        with salt_image.entries(settings, salt / "salt-master.tar") as master:
            _make(into, programs, debian, salt, master)

    return cached(place, "packing the artifacts", make)


def _make(
    into: Path, programs: dict[str, Path], debian: Path, salt: Path, master: Sequence[Entry]
) -> None:
    for name in ("salt-minion.tar", "salt-master.tar"):
        (into / name).hardlink_to(salt / name)
    node = [
        Entry(entry.name.lstrip("/"), 0o755, entry.source)
        for entry in tarball.tree(debian / "node", "")
    ]
    node += [
        _program("usr/local/bin/kubelet", programs["kubelet"]),
        _program("opt/cni/bin/flannel", programs["flannel"]),
    ]
    tarball.write(into / "node.tar", node)
    tarball.write(
        into / "client.tar",
        [_program(f"usr/local/bin/{name}", programs[name]) for name in _CLIENTS],
    )
    (into / "images").mkdir()
    made = {
        f"images/{image.name}.tar": image for image in images.all_images(programs, debian, master)
    }
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda item: images.write(item[1], into / item[0]), made.items()))
    _describe(into, {name: image.reference for name, image in made.items()})


def _program(path: str, source: Path) -> Entry:
    return Entry(path, 0o755, source=source)


def _describe(directory: Path, references: dict[str, str]) -> None:
    """Write checksums for ``sha256sum --check``, and JSON with sizes and image names too."""
    described: dict[str, dict[str, object]] = {}
    for path in sorted(path for path in directory.rglob("*.tar")):
        name = str(path.relative_to(directory))
        described[name] = {"sha256": file_digest(path), "size": path.stat().st_size}
        if name in references:
            described[name]["image"] = references[name]
    (directory / "artifacts.json").write_text(
        json.dumps(described, indent=2, sort_keys=True) + "\n"
    )
    sums = [f"{facts['sha256']}  {name}\n" for name, facts in sorted(described.items())]
    (directory / "SHA256SUMS").write_text("".join(sums))
