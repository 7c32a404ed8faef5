"""Tests of the file server client with Salt's real file server and several backends."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import salt.config

from metalk8s_expand.clients.salt.file_server import FileServer
from metalk8s_expand.errors import UnreachableError

DEPLOY = "metalk8s.orchestrate.deploy_node"


def opts(base: Path, **values: Any) -> dict[str, Any]:
    found: dict[str, Any] = salt.config.master_config(None)
    found.update(
        {"cachedir": str(base / "cache"), "extension_modules": str(base / "ext"), **values}
    )
    return found


def tree(base: Path, *paths: str) -> str:
    for path in paths:
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_text("{}")
    base.mkdir(parents=True, exist_ok=True)
    return str(base)


@pytest.mark.parametrize(
    "path", ["metalk8s/orchestrate/deploy_node.sls", "metalk8s/orchestrate/deploy_node/init.sls"]
)
def test_directories(tmp_path: Path, path: str) -> None:
    roots = {
        "metalk8s-2.0": [tree(tmp_path / "a"), tree(tmp_path / "b", path)],
        "metalk8s-1.9": [tree(tmp_path / "c", "x.sls")],
    }
    files = FileServer(opts(tmp_path, file_roots=roots))
    assert [files.has(DEPLOY, name) for name in ("metalk8s-2.0", "metalk8s-1.9", "metalk8s-3")] == [
        True,
        False,
        False,
    ]
    assert {"metalk8s-1.9", "metalk8s-2.0"} <= set(files.saltenvs())


def test_any_environment(tmp_path: Path) -> None:
    """Salt can serve one directory for every saltenv."""
    root = tree(tmp_path / "any" / "metalk8s-2.0", "metalk8s/orchestrate/deploy_node.sls")
    files = FileServer(opts(tmp_path, file_roots={"__env__": [str(Path(root).parent / "__env__")]}))
    assert files.has(DEPLOY, "metalk8s-2.0")
    assert not files.has(DEPLOY, "metalk8s-3")


def test_asked_once(tmp_path: Path) -> None:
    files = FileServer(opts(tmp_path, file_roots={"metalk8s-2.0": [tree(tmp_path / "a")]}))
    assert not files.has(DEPLOY, "metalk8s-2.0")
    tree(tmp_path / "a", "metalk8s/orchestrate/deploy_node.sls")
    assert not files.has(DEPLOY, "metalk8s-2.0")


def test_a_backend_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = FileServer(opts(tmp_path, file_roots={}))

    class Broken:
        def find_file(self, path: str, saltenv: str) -> Any:
            raise subprocess.CalledProcessError(128, "git")

        def envs(self) -> Any:
            raise OSError("no such mirror")

    monkeypatch.setattr(FileServer, "_server", Broken())
    with pytest.raises(UnreachableError, match="cannot be read: CalledProcessError"):
        files.has(DEPLOY, "metalk8s-2.0")
    with pytest.raises(UnreachableError, match="no such mirror"):
        files.saltenvs()
