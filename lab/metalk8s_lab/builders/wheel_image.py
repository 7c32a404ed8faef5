"""Build the Salt master's image with this project, which pip installs from a wheel.

The project is an additional layer over the unchanged image.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from metalk8s_lab.builders import chroot, images, tarball
from metalk8s_lab.builders.cache import cached, digest, file_digest
from metalk8s_lab.command import run
from metalk8s_lab.settings import LAB_DIR, Settings

REFERENCE = "docker.io/metalk8s/salt-master:wheel"
ARCHIVE = "salt-master.tar"
SOURCES = ("salt", "setup.cfg", "pyproject.toml")
_REPOSITORY = LAB_DIR.parent
_PIP = ("/opt/salt/bin/pip", "--quiet", "--no-cache-dir", "--disable-pip-version-check")
_OFFLINE = ("--no-index", "--no-deps")


def build(settings: Settings, artifacts: Path) -> Path:
    """Return the directory with the archive of the image; build it from the current tree."""
    place = settings.cache / "wheel" / key(artifacts)
    return cached(
        place,
        "image of Salt's master with the wheel",
        lambda into: _make(settings, artifacts, into),
    )


def key(artifacts: Path) -> str:
    """Return a digest of the input of the image."""
    tops = [_REPOSITORY / name for name in SOURCES]
    found = [
        path
        for top in tops
        for path in ([top] if top.is_file() else top.rglob("*"))
        if _counts(path)
    ]
    own = [file_digest(Path(__file__).parent / name) for name in ("images.py", "wheel_image.py")]
    return digest(
        artifacts.name,
        own,
        {str(path.relative_to(_REPOSITORY)): file_digest(path) for path in sorted(found)},
    )


def _counts(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _make(settings: Settings, artifacts: Path, into: Path) -> None:
    with chroot.build_root(settings, "wheel") as system:
        run(["tar", "-C", system.root, "-xf", artifacts / "salt-master.tar"], timeout=300)
        for name in SOURCES:
            source, target = _REPOSITORY / name, system.root / "src" / name
            target.parent.mkdir(exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        system.run(
            *_PIP,
            "wheel",
            *_OFFLINE,
            "--no-build-isolation",
            "--wheel-dir=/wheel",
            "/src",
            timeout=300,
        )
        [wheel] = (system.root / "wheel").glob("*.whl")
        system.run(*_PIP, "install", *_OFFLINE, "--no-compile", f"/wheel/{wheel.name}", timeout=300)
        [packages] = (system.root / "opt/salt/lib").glob("python3*/site-packages")
        inside = f"/{packages.relative_to(system.root)}/metalk8s_expand"
        compiling = ("-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
        system.run("/opt/salt/bin/python", *compiling, inside, timeout=300)
        below = f"{packages.relative_to(system.root)}"
        entries = list(
            tarball.tree(packages, below, lambda path: path.startswith("metalk8s_expand"))
        )
        images.extend(artifacts / "images" / ARCHIVE, REFERENCE, entries, into / ARCHIVE)
