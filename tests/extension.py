"""How the tests get the extension: synced from the tree, or with ``INSTALLED=1`` from a wheel that pip has installed.

Decided once, before anything of it is imported, for this process and for all that tests start.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
INSTALLED = os.environ.get("INSTALLED", "") not in ("", "0")
MODE = "installed" if INSTALLED else "synced"
_NEVER_SERVED = shutil.ignore_patterns("__pycache__", "*.egg-info", ".mypy_cache")


def wheel(base: Path) -> Path:
    """Build the wheel into ``base``, from a copy: the tree keeps no build directory, and stale files of one never get in."""
    source = base / "source"
    shutil.copytree(ROOT / "salt", source / "salt", ignore=_NEVER_SERVED)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    _run("build", "--wheel", "--no-isolation", "--outdir", str(base), str(source))
    shutil.rmtree(source)
    [made] = base.glob("*.whl")
    return made


def install(base: Path) -> Path:
    """Build the wheel and let pip install it below ``base``; the directory that has to be on Python's path."""
    site = base / "site-packages"
    _run(
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel(base)),
    )
    return site


def _run(*module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *module], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(module)} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        )


def _library() -> Path:
    if not INSTALLED:
        return ROOT / "salt" / "_utils"
    given = Path(os.environ["INSTALLED"])
    if given.is_absolute():
        # The process that started this one set it.
        return given
    base = Path(tempfile.mkdtemp(prefix="metalk8s-expand-"))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    site = install(base)
    # Every salt-run and salt-call that a test starts must find the extension too.
    os.environ["INSTALLED"] = os.environ["PYTHONPATH"] = str(site)
    return site


# What is on Python's path in this run, and the package in it.
LIBRARY = _library()
PACKAGE = LIBRARY / "metalk8s_expand"


def plugin(kind: str, name: str) -> Path:
    """Return the path of a plugin's file."""
    return (PACKAGE / kind if INSTALLED else ROOT / "salt" / f"_{kind}") / f"{name}.py"


def load(kind: str, name: str) -> Any:
    """Import a plugin as a module, without the dunders of Salt's loader."""
    spec = importlib.util.spec_from_file_location(f"{kind}_{name}", plugin(kind, name))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def served(tree: str) -> Path:
    """Return the path of an SLS tree, which a master's file_roots name."""
    if not INSTALLED:
        return ROOT / "salt" / tree
    return PACKAGE / "srv" / ("beside" if tree == "metalk8s_expand" else "salt/metalk8s") / tree


def lay_out(ext: Path, *kinds: str) -> None:
    """Fill Salt's ``extension_modules`` as ``saltutil.sync_all`` does; with nothing when it is installed."""
    ext.mkdir(parents=True, exist_ok=True)
    for kind in () if INSTALLED else kinds:
        # Symlinks, because plugins refuse a library from another path, and this process may have
        # imported the library of the tree.
        (ext / kind).symlink_to(ROOT / "salt" / f"_{kind}")


@dataclass(frozen=True)
class Copy:
    """An extension that a test may change: its library, its plugins by kind, and the environment in which Salt takes it."""

    library: Path
    plugins: Path
    environment: dict[str, str]


def lay_out_copy(base: Path, ext: Path, *kinds: str) -> Copy:
    """Lay out the same files as copies."""
    ext.mkdir(parents=True, exist_ok=True)
    if not INSTALLED:
        for kind in (*kinds, "utils"):
            shutil.copytree(ROOT / "salt" / f"_{kind}", ext / kind, ignore=_NEVER_SERVED)
        return Copy(ext / "utils" / "metalk8s_expand", ext, dict(os.environ))
    site = base / "site-packages"
    shutil.copytree(LIBRARY, site, ignore=_NEVER_SERVED)
    return Copy(
        site / "metalk8s_expand", site / "metalk8s_expand", {**os.environ, "PYTHONPATH": str(site)}
    )


def strangers() -> list[str]:
    """Return the modules of the extension imported from another path (none expected)."""
    loaded = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
    ours = {
        name: file
        for name, file in loaded.items()
        if name.partition(".")[0] == "metalk8s_expand" and file
    }
    return [
        f"{name}: {file}"
        for name, file in ours.items()
        if not Path(file).resolve().is_relative_to(PACKAGE.resolve())
    ]
