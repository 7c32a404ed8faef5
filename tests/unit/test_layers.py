"""What import-linter cannot see: the plugin directories, the tree that Salt serves, the probe that stands alone."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SALT = ROOT / "salt"
LIBRARY = SALT / "_utils" / "metalk8s_expand"
PLUGINS = sorted(
    path
    for kind in ("modules", "pillar", "roster", "runners", "states")
    for path in (SALT / f"_{kind}").glob("*.py")
)
# The scripts are sent to bare hosts, where the library is not installed.
PROBES = tuple(
    LIBRARY / "remote" / f"{name}.py"
    for name in ("host_facts", "install_minion", "read_logs", "reset_host")
)
# Plugins only translate: other clients, processes and threads belong in the library.
LOGIC = {
    "kubernetes",
    "urllib3",
    "requests",
    "http",
    "socket",
    "subprocess",
    "threading",
    "multiprocessing",
    "concurrent",
    "ssl",
}


def imports(path: Path) -> Iterator[str]:
    for found in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(found, ast.Import):
            yield from (name.name for name in found.names)
        elif isinstance(found, ast.ImportFrom) and found.level == 0:
            yield found.module or ""


def test_salt_is_never_a_package() -> None:
    assert not (SALT / "__init__.py").exists()


@pytest.mark.parametrize(
    "path",
    [path for path in PLUGINS if path not in PROBES],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_plugins_hold_no_logic(path: Path) -> None:
    assert LOGIC.isdisjoint(name.partition(".")[0] for name in imports(path))


@pytest.mark.parametrize("kind", ["modules", "pillar", "roster", "runners", "states"])
def test_plugin_directories_are_packages(kind: str) -> None:
    assert (SALT / f"_{kind}" / "__init__.py").is_file()


@pytest.mark.parametrize(
    "probe", [path for path in PROBES if path.exists()], ids=lambda path: path.name
)
def test_the_probe_stands_alone(probe: Path) -> None:
    foreign = {
        name for name in imports(probe) if name.partition(".")[0] not in sys.stdlib_module_names
    }
    assert foreign == set()


@pytest.mark.parametrize(
    "path", sorted((LIBRARY / "domain").rglob("*.py")), ids=lambda path: path.name
)
def test_the_domain_imports_the_standard_library_and_itself(path: Path) -> None:
    ours = ("metalk8s_expand.domain", "metalk8s_expand.errors")
    foreign = {
        name for name in imports(path) if name.partition(".")[0] not in sys.stdlib_module_names
    }
    assert {name for name in foreign if not name.startswith(ours)} == set()


@pytest.mark.parametrize("word", ["utils", "helpers", "common", "misc"])
def test_no_file_without_a_subject(word: str) -> None:
    assert list(LIBRARY.rglob(f"*{word}*.py")) == []
