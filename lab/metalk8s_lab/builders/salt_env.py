"""Pack Salt in a virtual environment at /opt/salt: one archive for minions, one for the master."""

from __future__ import annotations

from pathlib import Path

from metalk8s_lab.builders import chroot, rootfs, salt_python, tarball
from metalk8s_lab.builders.cache import cached, digest, file_digest
from metalk8s_lab.settings import KUBERNETES_CLIENT_VERSION, Settings

_HOME = "opt/salt"
_RECIPE = 2  # raise it when a change of the steps below changes their result
_PIP = ("pip/", "pip-")
_UNUSED = ("libcloud/",)  # the drivers of salt-cloud; Salt works without them


def key(settings: Settings) -> str:
    """Return a digest of the input of the environments."""
    pinned = file_digest(settings.constraints) if settings.constraints.exists() else None
    python = salt_python.key(settings.salt_version)
    return digest(
        rootfs.key(),
        settings.salt_version,
        KUBERNETES_CLIENT_VERSION,
        pinned,
        _PIP,
        _UNUSED,
        _RECIPE,
        *python,
    )


def build(settings: Settings) -> Path:
    """Return the directory with ``salt-minion.tar`` and ``salt-master.tar``."""
    place = settings.cache / "salt" / f"{settings.salt_version}-{key(settings)}"
    return cached(
        place, f"Salt {settings.salt_version} from PyPI", lambda into: _make(settings, into)
    )


def _make(settings: Settings, into: Path) -> None:
    with chroot.build_root(settings, "salt") as system:
        system.install("gcc", "libc6-dev", "python3-dev", "python3-venv")
        python = salt_python.install(system, settings.salt_version, f"/{_HOME}/python")
        system.run(python, "-m", "venv", f"/{_HOME}", timeout=300)
        pip = [f"/{_HOME}/bin/pip", "install", "--quiet"]
        if settings.constraints.exists():
            (system.root / "constraints.txt").write_text(settings.constraints.read_text())
            pip += ["--constraint", "/constraints.txt"]
        system.run(*pip, f"salt=={settings.salt_version}", timeout=1800)
        _pack(system, into / "salt-minion.tar", with_pip=False)
        system.run(*pip, f"kubernetes=={KUBERNETES_CLIENT_VERSION}", timeout=900)
        _pack(system, into / "salt-master.tar", with_pip=True)
        (into / "freeze.txt").write_text(system.run(f"/{_HOME}/bin/pip", "freeze"))


def _pack(system: chroot.Chroot, target: Path, *, with_pip: bool) -> None:
    """Compile all Python files and pack the environment.

    The files never change, so Python need not check them: a start then reads half as much. The step
    also replaces the bytecode of pip. That is valid by time stamps, which our archives do not keep,
    so every host would compile it again.
    """
    python = [
        f"/{_HOME}/bin/python",
        "-m",
        "compileall",
        "-q",
        "-f",
        "-j",
        "0",
        "--invalidation-mode",
        "unchecked-hash",
    ]
    # Salt contains files for other Python versions that do not compile: pack their source alone.
    system.run("sh", "-c", '"$@" || true', "sh", *python, f"/{_HOME}", timeout=600)
    tarball.write(
        target, tarball.tree(system.root / _HOME, _HOME, lambda path: _is_needed(path, with_pip))
    )


def _is_needed(path: str, with_pip: bool) -> bool:
    """Return whether a node needs this file.

    It needs no tests, no headers and no wheels, which only serve to make other environments.
    """
    below = path.partition("site-packages/")[2]
    if (below + "/").startswith(_UNUSED if with_pip else (*_UNUSED, *_PIP)):
        return False
    parts = path.split("/")
    is_test = not {"tests", "test"}.isdisjoint(parts[:-1])
    return not (
        is_test or path.startswith(("include/", "share/")) or path.endswith((".whl", ".pyi", ".c"))
    )
