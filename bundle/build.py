"""Write the archive that installs the extension on a MetalK8s bootstrap host, with its checksum.

``make bundle`` runs it. It needs a Python and nothing else. The same files give the same bytes:
names are sorted, and times, owners and modes are fixed.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import re
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "metalk8s-expand"
# The other trees and plugins of salt/ are for a master without MetalK8s, or MetalK8s has their
# names: docs/explanations/metalk8s.rst.
TREES = ("_modules", "_output", "_roster", "_runners", "_states", "_utils", "metalk8s_expand")
LEFT_OUT = ("_roster/kubernetes_nodes.py",)
SUFFIXES = (".py", ".sls")
BLOCK = 512


def version(root: Path) -> str:
    """Return the version that the library states."""
    text = (root / "salt/_utils/metalk8s_expand/__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if not match:
        raise SystemExit("bundle: salt/_utils/metalk8s_expand/__init__.py has no __version__")
    return match[1]


def files(root: Path) -> dict[str, bytes]:
    """Return the content of each file of the archive by its path in it, without the checksums."""
    content = {
        "install": (root / "bundle/install.py").read_bytes(),
        "LICENSE": (root / "LICENSE").read_bytes(),
        "VERSION": f"{version(root)}\n".encode(),
        "pillar/metalk8s_expand.sls": (root / "pillar/metalk8s_expand.sls").read_bytes(),
        "pillar/metalk8s_expand.schema.json": (
            root / "pillar/metalk8s_expand.schema.json"
        ).read_bytes(),
    }
    for path in _tree_files(root / "salt"):
        content[f"salt/{path.relative_to(root / 'salt').as_posix()}"] = path.read_bytes()
    return content


def with_sums(content: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return these files and the file of their checksums."""
    return {**content, "SHA256SUMS": sums(content).encode()}


def sums(content: Mapping[str, bytes]) -> str:
    """Return the checksums of these files, as ``sha256sum --check`` reads them."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))


def archive(root: Path, content: Mapping[str, bytes]) -> bytes:
    """Return the bytes of the archive of these files: tar's format ustar, compressed by gzip."""
    top = f"{NAME}-{version(root)}"
    plain = b""
    for name, data in sorted(with_sums(content).items()):
        mode = 0o755 if name == "install" else 0o644
        plain += _header(f"{top}/{name}", len(data), mode) + data + bytes(-len(data) % BLOCK)
    plain += bytes(2 * BLOCK)
    packed = io.BytesIO()
    # gzip.compress writes another header since Python 3.11.
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as file:
        file.write(plain)
    return packed.getvalue()


def _header(path: str, size: int, mode: int) -> bytes:
    """Return tar's header of a file. That of Python's tarfile depends on the version of Python."""
    prefix, name = "", path
    while len(name.encode()) > 100:
        first, _, name = name.partition("/")
        prefix = f"{prefix}/{first}".lstrip("/")

    def packed(checksum: bytes) -> bytes:
        return struct.pack(
            "100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x",
            name.encode(), b"%07o" % mode, b"%07o" % 0, b"%07o" % 0, b"%011o" % size,
            b"%011o" % 0, checksum, b"0", b"", b"ustar\x0000", b"root", b"root", b"", b"",
            prefix.encode(),
        )  # fmt: skip

    return packed(b"%06o\0 " % sum(packed(b" " * 8)))


def write(root: Path, content: Mapping[str, bytes], directory: Path) -> Path:
    """Write the archive of these files and its checksum to a directory; return its path."""
    data = archive(root, content)
    path = directory / f"{NAME}-{version(root)}.tar.gz"
    directory.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.with_name(f"{path.name}.sha256").write_text(sums({path.name: data}), encoding="ascii")
    return path


def main(argv: Sequence[str]) -> int:
    """Write the archive and its checksum; print the path and the checksum."""
    parser = argparse.ArgumentParser(prog="bundle/build.py", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=ROOT / "dist")
    path = write(ROOT, files(ROOT), parser.parse_args(argv).directory)
    print(f"{path}\n{path.with_name(f'{path.name}.sha256').read_text(encoding='ascii')}", end="")
    return 0


def _tree_files(salt: Path) -> Iterator[Path]:
    for tree in TREES:
        for path in sorted((salt / tree).rglob("*")):
            name = path.relative_to(salt).as_posix()
            # The wheel needs the plugins' directories as packages, Salt does not.
            is_package_mark = path.parent.parent == salt and path.name == "__init__.py"
            if path.suffix in SUFFIXES and name not in LEFT_OUT and not is_package_mark:
                yield path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
